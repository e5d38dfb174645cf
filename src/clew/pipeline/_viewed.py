"""What a folder of a run holds to be looked at, also while the run is at work."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.ledger import PLAN, Ledger
from clew.errors import InputError
from clew.pipeline._files import FILE_NAMES
from clew.space import Lengths
from clew.volumes.location import find_location, is_remote, join, read_json
from clew.volumes.open import open_volume
from clew.volumes.shared import METADATA
from clew.volumes.volume import Volume

HELD = FILE_NAMES | {"raw": "raw.zarr", "truth": "truth.zarr"}
"""Names of what a folder of a run may hold: what commands hand on, and what `demo` adds."""


class Growing:
    """A volume that a run is writing: what is not yet there is 0.

    Parameters
    ----------
    path : str
        Of the array.
    voxel_size, offset : (z, y, x) floats
        In nm; they are stored when the run ends.
    """

    def __init__(self, path: str, voxel_size: Lengths, offset: Lengths) -> None:
        self.path, self.voxel_size, self.offset = path, voxel_size, offset
        volume = self._opened()
        self.shape, self.dtype, self.chunks = volume.shape, volume.dtype, volume.chunks

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        slices = [slice(*chosen.indices(n)) for chosen, n in zip(selection, self.shape, strict=True)]
        try:
            return self._opened().read(tuple(slices))
        except InputError:
            return np.zeros([part.stop - part.start for part in slices], self.dtype)

    def _opened(self) -> Volume:
        """Opened anew each time: what was missing a moment ago may be there."""
        return open_volume(self.path, voxel_size=self.voxel_size, offset=self.offset)


def is_run(path: str) -> bool:
    """Whether a path is the folder of a run, not a volume."""
    folder = Path(path)
    return not is_remote(path) and folder.is_dir() and any((folder / name).exists() for name in (PLAN, *HELD.values()))


def paths_of_run(folder: str) -> dict[str, str]:
    """What can be looked at of a run, by the names of the options of `clew view`.

    What it was made of is found by what is recorded, where it is still there.

    Raises
    ------
    InputError
        Where there is nothing to look at.
    """
    plan = Ledger(Path(folder)).plan() if (Path(folder) / PLAN).exists() else {}
    place = plan.get("volumes") or folder
    found = {name: join(place if file.endswith(".zarr") else folder, file) for name, file in HELD.items()}
    there = {name: path for name, path in found.items() if _is_there(path)}
    for name, path in _sources(there, plan, Path(folder)):
        there.setdefault(name, path)
    if not there.keys() - {"merge_tree", "region_graph"}:
        raise InputError(f"{folder} holds nothing to look at: wanted a volume, or the folder of a run with "
                         f"{FILE_NAMES['fragments']} or {FILE_NAMES['segmentation']}")  # fmt: skip
    return there


def is_growing(path: str) -> bool:
    """Whether a volume is one that a run in blocks has not finished."""
    unfinished = path.endswith(".zarr") and read_json(path, METADATA) is None
    return unfinished and read_json(join(path, "s0"), METADATA) is not None


def _is_there(path: str) -> bool:
    return is_growing(path) or read_json(path, METADATA) is not None if is_remote(path) else Path(path).exists()


def _sources(there: Mapping[str, str], plan: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """The affinities and the raw volume that a run began with."""
    affinities = (
        there.get("affinities") or _recorded(there.get("fragments"), "affinities", folder) or plan.get("affinities")
    )
    if affinities and _opens(affinities):
        yield "affinities", affinities
        raw = _recorded(affinities, "raw", folder)
    else:
        raw = plan.get("raw")
    if raw and _opens(raw):
        yield "raw", raw


def _recorded(path: str | None, name: str, folder: Path) -> str | None:
    """A path that was given when a volume was made.

    Relative ones are looked for here and beside the run.
    """
    if path is None:
        return None
    with suppress(InputError):
        given = open_volume(path).attributes.get("parameters", {}).get(name)
        if isinstance(given, str):
            return next(
                (each for each in (given, str(folder / given), str(folder.parent / given)) if _opens(each)), None
            )
    return None


def _opens(path: str) -> bool:
    try:
        find_location(path)
    except InputError:
        return False
    return True
