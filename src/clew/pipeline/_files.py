"""Inputs and outputs that several stages share.

They are opened, checked against each other, and written with their record.
"""

import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_ids
from clew.blockwise.ledger import PLAN
from clew.errors import InputError
from clew.grey import sample_pieces
from clew.labels import as_truth, inside_mask
from clew.pipeline._declare import Record
from clew.pipeline._progress import warn
from clew.replace import refuse_existing, written_beside
from clew.space import Box, Lengths
from clew.volumes.affinities import affinity_offsets, check_affinity_values
from clew.volumes.location import is_remote, join, normal_path, read_json
from clew.volumes.open import open_volume
from clew.volumes.place import Overlap, box_inside, check_voxel_sizes, overlap_of
from clew.volumes.save import record_of, refuse_output, save_volume
from clew.volumes.shared import METADATA
from clew.volumes.volume import LOSSY, PLACED, Volume
from clew.volumes.warnings import volume_warnings

SUGGESTED = ("suggested_threshold", "suggested_score")
"""Attributes that travel from the checkpoint along the outputs: the threshold chosen in training, and its score."""
FILE_NAMES = {
    "affinities": "affinities.zarr",
    "fragments": "fragments.zarr",
    "region_graph": "region_graph.h5",
    "merge_tree": "merge_tree.h5",
    "segmentation": "segmentation.zarr",
}
"""File names of what commands hand on, inside the folder of a run."""


def open_input(path: str, voxel_size: Lengths | None = None, offset: Lengths | None = None) -> Volume:
    """Open a volume that a command reads, and say what is strange about it."""
    _refuse_unfinished(path)
    volume = open_volume(path, voxel_size=voxel_size, offset=offset)
    _refuse_unfinished(volume.source)
    warn_all(f"{path}: {text}" for text in volume_warnings(volume))
    return volume


def is_growing(path: str) -> bool:
    """Whether a volume is one that a run in blocks has not finished."""
    unfinished = path.endswith(".zarr") and read_json(path, METADATA) is None
    return unfinished and read_json(join(path, "s0"), METADATA) is not None


def _refuse_unfinished(path: str) -> None:
    """Refuse what is not finished of a run: what is missing would be zeros."""
    if is_remote(path):
        return
    volume = Path(normal_path(path).removesuffix("/s0"))
    if (volume.parent / PLAN).exists() and is_growing(str(volume)):
        raise InputError(f"{volume} is not finished: clew status {volume.parent} says how far it is, and what to do")


def open_sized(path: str, voxel_size: Lengths | None) -> Volume:
    """Open a volume that a command reads.

    Where it says no voxel size, it has the given one.
    """
    try:
        return open_input(path)
    except InputError:
        if voxel_size is None:
            raise
    return open_input(path, voxel_size)


def open_together(paths: Sequence[str], voxel_size: Lengths | None) -> list[Volume]:
    """Open volumes that belong together.

    Those that say no voxel size have the given one, or else that of the first which says one.
    """
    for path in () if voxel_size else paths:
        with suppress(InputError):
            voxel_size = open_volume(path).voxel_size
            break
    return [open_sized(path, voxel_size) for path in paths]


def open_affinities(path: str, voxel_size: Lengths | None = None) -> Volume:
    """An affinity volume whose first three channels are the nearest neighbours."""
    source = open_sized(path, voxel_size)
    affinity_offsets(source)
    check_affinity_values(source)
    return source


def cover(path: str, source: Volume) -> tuple[Volume, Box]:
    """Open a volume (z, y, x) that covers another one, and find the box that does.

    It lies where voxel sizes and offsets say. Where the volume says no voxel size, it takes that of the other.
    """
    volume = open_sized(path, source.voxel_size)
    if volume.ndim != 3:
        raise InputError(f"{path} must be one volume (z, y, x), not of shape {volume.shape}")
    check_voxel_sizes(source, volume)
    place = box_inside(volume, source)
    warn_all(place.notes)
    return volume, place.box


def share(outer: Volume, part: Volume) -> Overlap:
    """The voxels that two volumes share; what a person should know about it is said."""
    both = overlap_of(outer, part)
    warn_all(both.notes)
    return both


def read_mask(volume: Volume, box: Box) -> NDArray[np.bool_]:
    """Which voxels of a box lie inside a mask."""
    return inside_of(volume.read(box), volume)


def check_mask_values(volume: Volume) -> None:
    """Refuse a mask of which a sample holds NaN or values below 0.

    It is for runs in blocks, which read the mask only later.
    """
    for piece in sample_pieces(volume) if volume.dtype.kind in "if" else ():
        inside_of(piece, volume)


def inside_of(values: NDArray[Any], mask: Volume) -> NDArray[np.bool_]:
    """Which values of a mask lie inside; an InputError says how to mend it."""
    mend = f"clew convert {shlex.quote(mask.source)} OUT.zarr --dtype uint8 --range 0,1 --fill 0"
    return inside_mask(values, mask.source, f"if these are outside: {mend}")


def read_covering_mask(path: str, source: Volume) -> NDArray[np.bool_]:
    """Which voxels of a volume lie inside a mask, which must cover it.

    An InputError where none does.
    """
    inside = read_mask(*cover(path, source))
    if not inside.any():
        raise InputError(f"{path} has no voxel inside: all its values there are 0")
    return inside


def read_ids(volume: Volume, box: Box | None = None) -> NDArray[np.uint64]:
    """The ids of a label volume, or of a box in it.

    An InputError for those that went through a compression that changes values.
    """
    refuse_lossy(volume)
    return as_ids(volume.read(... if box is None else box), volume.source)


def refuse_lossy(volume: Volume) -> None:
    """Refuse labels that went through a compression that changes values."""
    if LOSSY in volume.attributes:
        raise InputError(
            f"{volume.source} was compressed as {volume.attributes[LOSSY]}, which changes values: its ids are damaged; take "
            "labels from before, or save them as PNG or TIFF with LZW"
        )


def read_truth(volume: Volume, box: Box | None = None) -> NDArray[np.uint64]:
    """The ids of labels that people made, or of a box in them.

    −1 to −3 become CREMI's ids for voxels that nobody annotated.
    """
    return as_truth(volume.read(... if box is None else box), volume.source)


def warn_all(notes: Iterable[str]) -> None:
    """Say each of some sentences about inputs on standard error, only once."""
    for text in notes:
        warn(text)


def refuse_existing_outputs(overwrite: bool, *paths: str | None) -> None:
    """Refuse, before any work, files that exist.

    None stands for a file that is not asked for.
    """
    for path in paths:
        if path is not None:
            refuse_existing(Path(path), overwrite)


def refuse_outputs(overwrite: bool, *paths: str) -> None:
    """Refuse, before any work, outputs that exist or cannot be written."""
    for path in paths:
        refuse_output(path, overwrite)


def save_like(source: Volume, path: str, data: NDArray[Any], record: Record, overwrite: bool) -> None:
    """Write a volume with the voxel size and offset of another one.

    The path of that one is noted among the inputs.
    """
    record |= handed_on(source)
    save_volume(path, data, voxel_size=source.voxel_size, offset=source.offset, attributes=record, overwrite=overwrite)


def write_scores(
    rows: list[dict[str, Any]], path: Path, record: Record, further: Mapping[str, Any] | None = None
) -> None:
    """Write scores as JSON, with what they were made from.

    Further tables follow. An existing file is replaced.
    """
    with written_beside(path, overwrite=True) as partial:
        partial.write_text(
            json.dumps(record_of(record) | {"scores": rows} | dict(further or {}), indent=1, allow_nan=False) + "\n"
        )


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of numbers for JSON, which knows neither NaN nor infinity."""
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def handed_on(source: Volume) -> dict[str, Any]:
    """What is recorded with all that is made of a whole volume.

    That is the suggested threshold, and where its place is not known, that.
    """
    return suggestion(source.attributes) | unplaced(source)


def unplaced(source: Volume, part: Box | None = None) -> dict[str, bool]:
    """What is recorded with a copy of a volume that does not say where it lies.

    A part lies somewhere in the whole, so that nothing is recorded with it.
    """
    return {} if source.placed or part not in (None, Box.whole(source.shape)) else {PLACED: False}


def suggestion(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The suggested threshold and score among attributes."""
    return {name: attributes[name] for name in SUGGESTED if attributes.get(name) is not None}


def chosen_threshold(given: float | None, attributes: Mapping[str, Any], score: str, path: str) -> float:
    """The threshold that was given, else the suggested one of this score."""
    if given is not None:
        return given
    stored, suggested = attributes.get("suggested_score"), attributes.get("suggested_threshold")
    if stored == score and suggested is not None:
        return float(suggested)
    hint = "" if suggested is None else f" (but {suggested} for --score {stored})"
    raise InputError(
        f"no threshold is stored with {path} for the score {score}{hint}: give --threshold between 0 and 1"
    )
