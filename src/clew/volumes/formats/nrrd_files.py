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
from clew.volumes.volume import Stored, first_line

SUFFIXES = (".nrrd", ".nhdr")
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
        raise InputError(f"{path} cannot be read as NRRD: {first_line(error)}") from error
    axes, spatial = _axes(header, array.shape, path)
    voxel_size, offset, source = _place(header, spatial)
    return Stored(array, Geometry(axes, voxel_size, offset, source), "NRRD", path, _plain(header))


def _check_data_file(path: Path, header: Mapping[str, Any]) -> None:
    """Refuse data in a file that is gone or outside of the folder."""
    name = header.get("data file") or header.get("datafile")
    if name is None:
        return
    refuse_outside(path, path.parent / name)
    if not (path.parent / name).is_file():
        raise InputError(f"{path} takes its data from {name}, which is not there")


def _axes(header: Mapping[str, Any], shape: tuple[int, ...], path: str) -> tuple[tuple[str, ...], list[int]]:
    """Names of the axes, slowest first, and the numbers of z, y and x.

    Numbers count in the order of the file, from the fastest.
    """
    kinds = [str(kind).lower() for kind in header.get("kinds") or ()]
    if len(kinds) != len(shape):
        names = default_axes(shape, path)
        return names, [len(shape) - 1 - names.index(axis) for axis in "zyx"]
    places = [number for number, kind in enumerate(kinds) if kind in DOMAIN]
    if len(places) != 3:
        raise InputError(f"{path}: its kinds {kinds} must have three axes of kind domain or space")
    others = iter("ct")
    named = {
        number: "xyz"[places.index(number)] if number in places else next(others, "?") for number in range(len(kinds))
    }
    return tuple(named[number] for number in reversed(range(len(kinds)))), places[::-1]


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
    return triple(float(f or 0) * length for f, length in zip(factors, lengths, strict=True)), None, where


def _plain(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in header.items()}
