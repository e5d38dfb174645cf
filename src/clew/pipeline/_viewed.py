"""What a folder of a run holds to be looked at, also while the run is at work."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.ledger import PLAN, Ledger
from clew.documents import expect, parse_json, regular_file
from clew.errors import InputError
from clew.pipeline._files import FILE_NAMES, is_growing
from clew.pipeline._identity import record_in
from clew.space import Lengths
from clew.view.layers import Mark, Marks
from clew.volumes.location import find_location, is_remote, join, read_json
from clew.volumes.open import open_volume
from clew.volumes.shared import METADATA
from clew.volumes.volume import Volume

HELD = FILE_NAMES | {"raw": "raw.zarr", "truth": "truth.zarr", "errors": "errors.json"}
"""Names of what a folder of a run may hold: what commands hand on, what `demo` adds, and a list of errors."""
COLOURS = {"merge": "#d55e00", "split": "#0072b2"}
"""Of the marks of each kind of error, as in the plots."""


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
    for name, path in sources_of(there, plan, Path(folder)):
        there.setdefault(name, path)
    if not there.keys() - {"merge_tree", "region_graph", "errors"}:
        raise InputError(f"{folder} holds nothing to look at: wanted a volume, or the folder of a run with "
                         f"{FILE_NAMES['fragments']} or {FILE_NAMES['segmentation']}")  # fmt: skip
    return there


def read_marks(path: str) -> tuple[list[Marks], float | None]:
    """The errors that `clew evaluate --where` listed, and their threshold.

    Raises
    ------
    InputError
        For a file that is no such list.
    """
    document = parse_json(regular_file(Path(path)).read_bytes(), path)
    rows = expect(document, "errors", "a list of objects", path)
    marks = {kind: [_mark(row, path) for row in rows if row.get("kind") == kind] for kind in COLOURS}
    threshold = document.get("threshold")
    found = [Marks(f"{kind}s", COLOURS[kind], listed) for kind, listed in marks.items()]
    return found, threshold if isinstance(threshold, float) else None


def _mark(row: Mapping[str, Any], path: str) -> Mark:
    position = expect(row, "position_nm", "a list of numbers", path)
    segments, objects = (expect(row, name, "a list of numbers", path) for name in ("segments", "objects"))
    rank = expect(row, "rank", "a number", path)
    traced = "bits" not in row
    value = expect(row, "length_nm" if traced else "bits", "a number", path)
    cost = f"{value / 1000:.2f} µm of path" if traced else f"{value:.4f} bits"
    parts = f"segments {', '.join(map(str, segments))}; objects {', '.join(map(str, objects))}"
    return Mark(position, f"{row['kind']} {rank}, {cost}: {parts}", segments, rank)


def _is_there(path: str) -> bool:
    return is_growing(path) or read_json(path, METADATA) is not None if is_remote(path) else Path(path).exists()


def sources_of(there: Mapping[str, str], plan: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """The affinities and the raw volume that a run began with."""
    affinities = (
        there.get("affinities") or recorded_path(there.get("fragments"), "affinities", folder) or plan.get("affinities")
    )
    raw = plan.get("raw")
    if affinities and _opens(affinities):
        yield "affinities", affinities
        raw = recorded_path(affinities, "raw", folder) or raw
    if raw and _opens(raw):
        yield "raw", raw


def recorded_path(path: str | None, name: str, folder: Path) -> str | None:
    """A path that was given when a volume or table was made.

    Relative ones are looked for here and beside the run.
    """
    given = record_in(path).get("parameters", {}).get(name) if path else None
    if not isinstance(given, str):
        return None
    return next((each for each in (given, str(folder / given), str(folder.parent / given)) if _opens(each)), None)


def _opens(path: str) -> bool:
    try:
        find_location(path)
    except InputError:
        return False
    return True
