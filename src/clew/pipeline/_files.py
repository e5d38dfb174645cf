"""Inputs and outputs that several stages share.

They are opened, checked against each other, and written with their record.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_ids
from clew.errors import InputError
from clew.pipeline._declare import Record
from clew.pipeline._progress import warn
from clew.replace import refuse_existing, written_beside
from clew.space import Box, Lengths
from clew.volumes.affinities import affinity_offsets
from clew.volumes.open import open_volume
from clew.volumes.place import check_voxel_sizes
from clew.volumes.save import record_of, refuse_output, save_volume
from clew.volumes.volume import Volume
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
    volume = open_volume(path, voxel_size=voxel_size, offset=offset)
    for text in volume_warnings(volume):
        warn(f"{path}: {text}")
    return volume


def open_affinities(path: str) -> Volume:
    """An affinity volume whose first three channels are the nearest neighbours."""
    source = open_input(path)
    affinity_offsets(source)
    return source


def open_like(path: str, source: Volume) -> Volume:
    """Open a volume that belongs to another one, and has its voxel size.

    Where the volume says no voxel size, it takes that of the other.

    Raises
    ------
    InputError
        For a volume that says another voxel size.
    """
    try:
        volume = open_input(path)
    except InputError:
        return open_input(path, source.voxel_size)
    check_voxel_sizes(source, volume)
    return volume


def read_like(path: str, shape: tuple[int, ...], source: Volume) -> NDArray[Any]:
    """Read all of a volume of a given shape (z, y, x) and voxel size.

    The voxel size must be that of `source`.
    """
    volume = open_like(path, source)
    if volume.shape != tuple(shape):
        raise InputError(f"{path} must have the shape {tuple(shape)} of {source.source}, not {volume.shape}")
    return volume.read()


def read_ids(volume: Volume, box: Box | None = None) -> NDArray[np.uint64]:
    """The ids of a label volume, or of a box in it."""
    return as_ids(volume.read(... if box is None else box), volume.source)


def read_ids_like(path: str, shape: tuple[int, ...], source: Volume) -> NDArray[np.uint64]:
    """Read all ids of a label volume of a given shape (z, y, x) and voxel size.

    The voxel size must be that of `source`.
    """
    return as_ids(read_like(path, shape, source), path)


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
    record |= suggestion(source.attributes)
    save_volume(path, data, voxel_size=source.voxel_size, offset=source.offset, attributes=record, overwrite=overwrite)


def write_scores(rows: list[dict[str, Any]], path: Path, record: Record) -> None:
    """Write scores as JSON, after what they were made from.

    An existing file is replaced.
    """
    with written_beside(path, overwrite=True) as partial:
        partial.write_text(json.dumps(record_of(record) | {"scores": rows}, indent=1, allow_nan=False) + "\n")


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
