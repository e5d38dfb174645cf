"""Annotated volumes from files: raw, labels and the mask of what is annotated.

Labels may cover a part of raw.
"""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.labels import special_ids, without_special
from clew.pipeline._files import open_sized, read_mask, read_truth, share
from clew.space import Box, Lengths, Triple
from clew.training.sampling import TrainingVolume
from clew.volumes.formats.cremi import CREMI_LAYOUT
from clew.volumes.open import list_datasets, open_volume
from clew.volumes.place import Overlap, embed
from clew.volumes.volume import Volume

SURROUNDINGS = 160
"""Voxels of raw that are read on each side of labels of a part: the context of the largest preset, in a turned crop."""


class AnnotatedVolume(NamedTuple):
    """A volume to train on.

    With its voxel size (z, y, x) in nm, and the voxel (z, y, x) of the raw file where it begins.
    """

    volume: TrainingVolume
    voxel_size: Lengths
    origin: Triple


def read_annotated(item: str, voxel_size: Lengths | None = None) -> AnnotatedVolume:
    """Read a volume from `FILE.h5` in CREMI layout, or `RAW,LABELS[,MASK]`.

    Without a mask file all voxels are annotated.

    Labels and mask may cover a part of raw, by their offsets: what is around them counts as not annotated, and raw is
    read only as far around as networks look. CREMI's ids for voxels that nobody annotated count as masked out.
    `voxel_size` in nm is that of raw where it does not say it; labels and mask then have that of raw.

    Raises
    ------
    InputError
        If raw is not uint8 or has one value, labels or mask have other voxels than raw or share none with it, or no voxel is
        annotated.
    """
    paths = paths_of(item)
    raw = open_sized(paths[0], voxel_size)
    others = [open_sized(path, raw.voxel_size) for path in paths[1:]]
    if raw.dtype != np.uint8:
        raise InputError(
            f"{paths[0]} must be uint8, not {raw.dtype}: clew convert {shlex.quote(paths[0])} OUT.zarr --dtype uint8"
        )
    parts = [share(raw, other) for other in others]
    box = with_surroundings(parts[0].outer, raw)
    ids, mask = read_labels(others, parts, box)
    if not (ids * mask).any():
        raise InputError(f"{item} has no annotated neuron: all labels inside the mask are 0")
    values = raw.read(box)
    grey = values[mask]
    if grey.min() == grey.max():
        raise InputError(f"{paths[0]} is {grey[0]} at all {grey.size:,} annotated voxels, so that there is nothing to learn: is it "
                         f"the right volume, and are all its chunks there? clew info {shlex.quote(paths[0])}")  # fmt: skip
    for path in paths:
        open_volume(
            path, voxel_size=raw.voxel_size
        ).close()  # in a zarr that vanished meanwhile, what is missing was read as 0
    return AnnotatedVolume(TrainingVolume(values, ids, mask), raw.voxel_size, box.low)


def paths_of(item: str) -> list[str]:
    """The paths of raw, labels and, if there is one, mask.

    They are given as `FILE.h5` in CREMI layout, or `RAW,LABELS[,MASK]`.
    """
    paths = item.split(",")
    if len(paths) == 1:
        present = {row.name for row in list_datasets(item)}
        if not any(f"{name}/".startswith(f"{CREMI_LAYOUT[0]}/") for name in present):
            raise InputError(
                f"{item} holds no {CREMI_LAYOUT[0]}, as a file in the layout of CREMI: give raw and labels as RAW,LABELS"
            )
        paths = [f"{item}:{name}" for name in CREMI_LAYOUT[:2]]
        paths += [f"{item}:{CREMI_LAYOUT[2]}"] if CREMI_LAYOUT[2] in present else []
    if len(paths) > 3:
        raise InputError(f"training data are FILE.h5, RAW,LABELS or RAW,LABELS,MASK, not {item!r}")
    return paths


def with_surroundings(part: Box, raw: Volume) -> Box:
    """The box of a part of raw with what networks see around it, inside the whole."""
    around = (SURROUNDINGS, SURROUNDINGS, SURROUNDINGS)
    return part.grown(around, around, inside=Box.whole(raw.shape))


def read_labels(
    volumes: Sequence[Volume], parts: Sequence[Overlap], box: Box
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Read ids in a box of raw, 0 where there are none, and the annotation mask.

    A voxel is annotated inside the labels and the mask.

    `parts` are the voxels that labels and mask share with raw.
    """
    ids, place = read_truth(volumes[0], parts[0].part), parts[0].outer
    labels, mask = embed(without_special(ids), place, box), embed(~special_ids(ids), place, box)
    if len(volumes) > 1:
        mask &= embed(read_mask(volumes[1], parts[1].part), parts[1].outer, box)
    return labels, mask
