"""NRRD: `.nrrd`, or `.nhdr` with the data in another file."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clew.documents import regular_file
from clew.errors import InputError
from clew.memory import refuse_beyond_memory
from clew.space import Lengths, triple
from clew.volumes.geometry import Geometry, default_axes, nanometers
from clew.volumes.outside import refuse_outside
from clew.volumes.recognition import reason
from clew.volumes.volume import Stored, first_line

SUFFIXES = (".nrrd", ".nhdr")
STRAIGHT = 1.001
"""Axes along x, y and z, but for rounding: what all components are together, of the largest of each."""
DOMAIN = ("domain", "space", "none", "???")
"""Kinds of axes that are places; the others are channels and the like."""


def open_nrrd(path: str) -> Stored:
    """Open a NRRD file, which is read whole.

    The first axis of the file is the fastest, x unless `space directions` say otherwise.
    """
    import nrrd

    try:
        header = nrrd.read_header(str(regular_file(path)))
        _check_data_file(Path(path), header)
        refuse_beyond_memory(
            math.prod(map(int, header["sizes"])), f"to read {path}", "write it as OME-Zarr or .npy elsewhere"
        )
        array, _ = nrrd.read(path, index_order="C")
    except InputError:
        raise
    except Exception as error:  # pynrrd raises what it likes for damaged files
        raise InputError(f"{path} cannot be read as NRRD: {reason(path, first_line(error), 'NRRD')}") from error
    axes, spatial, warnings = _axes(header, array.shape, path)
    voxel_size, offset, source = _place(header, spatial)
    geometry = Geometry(axes, voxel_size, None if warnings else offset, source, warnings=warnings)
    return Stored(array, geometry, "NRRD", path, _plain(header))


def _check_data_file(path: Path, header: Mapping[str, Any]) -> None:
    """Refuse data in a file that is gone or outside of the folder."""
    name = header.get("data file") or header.get("datafile")
    if name is None:
        return
    refuse_outside(path, path.parent / name)
    if not (path.parent / name).is_file():
        raise InputError(f"{path} takes its data from {name}, which is not there")


def _axes(
    header: Mapping[str, Any], shape: tuple[int, ...], path: str
) -> tuple[tuple[str, ...], list[int], tuple[str, ...]]:
    """Names of the axes, slowest first, the numbers of z, y and x, and warnings.

    Numbers count in the order of the file, from the fastest.
    """
    kinds = [str(kind).lower() for kind in header.get("kinds") or ()]
    if len(kinds) == len(shape):
        places = [number for number, kind in enumerate(kinds) if kind in DOMAIN]
        others = iter("ct")
        named = {number: next(others, "?") for number in range(len(kinds)) if number not in places}
    else:
        names = default_axes(shape, path)[::-1]
        places = [names.index(axis) for axis in "xyz"]
        named = dict(enumerate(names))
    if len(places) != 3:
        raise InputError(f"{path}: its kinds {kinds} must have three axes of kind domain or space")
    spatial, warnings = _directions(header, places)
    named |= dict(zip(places, spatial, strict=True))
    numbers = [places[spatial.index(axis)] for axis in "zyx"]
    return tuple(named[number] for number in reversed(range(len(shape)))), numbers, warnings


def _directions(header: Mapping[str, Any], places: list[int]) -> tuple[str, tuple[str, ...]]:
    """Which of x, y and z the axes of the file are, from the fastest.

    With a warning where they are not along these.
    """
    if header.get("space directions") is None:
        return "xyz", ()
    directions = np.array([header["space directions"][axis] for axis in places], float)
    along = np.abs(directions).argmax(axis=1)
    lengths = directions[range(3), along]
    if sorted(along) != [0, 1, 2] or np.abs(directions).sum() > STRAIGHT * np.abs(lengths).sum():
        return "xyz", ("its space directions are oblique: it is read as stored, x fastest, and its place is not",)
    names = "".join("xyz"[axis] for axis in along)
    back = [name for name, length in zip(names, lengths, strict=True) if length < 0]
    mirrored = f"{' and '.join(back)} run backwards in space: it is read as stored, and its place is not"
    return names, (mirrored,) if back else ()


def _place(header: Mapping[str, Any], spatial: list[int]) -> tuple[Lengths | None, Lengths | None, str]:
    """Voxel size and offset in nm (z, y, x), and where they were found."""
    directions, spacings = header.get("space directions"), header.get("spacings")
    units = header.get("space units") if directions is not None else header.get("units")
    found = [nanometers(str(unit).strip('"')) for unit in units or ()]
    if directions is not None:
        lengths = [float(np.linalg.norm(np.asarray(directions[axis], float))) for axis in spatial]
        factors = [found[0]] * 3 if len(set(found)) == 1 else [None] * 3
        where = "space directions"
    elif spacings is not None:
        lengths = [float(spacings[axis]) for axis in spatial]
        factors = [found[axis] if len(found) > axis else None for axis in spatial]
        where = "spacings"
    else:
        return None, None, "its header has neither space directions nor spacings"
    if None in factors or not np.isfinite(lengths).all() or min(lengths) <= 0:
        return None, None, f"its {where} have no unit of length"
    origin = header.get("space origin")
    offset = None
    if directions is not None and origin is not None and np.isfinite(origin).all():
        offset = triple(float(found[0] or 0) * float(place) for place in reversed(origin))
    return triple(float(f or 0) * length for f, length in zip(factors, lengths, strict=True)), offset, where


def _plain(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in header.items()}
