"""Annotated volumes from files: raw, labels of it or of a part of it, and the mask of what is annotated."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.labels import special_ids, without_special
from clew.pipeline._files import read_ids
from clew.space import Box, Lengths, Triple
from clew.training.sampling import TrainingVolume
from clew.volumes.formats.cremi import CREMI_LAYOUT
from clew.volumes.open import list_datasets, open_volume
from clew.volumes.volume import Volume

SURROUNDINGS = 160
"""Voxels of raw that are read on each side of labels of a part: the context of the largest preset, in a turned crop."""


class AnnotatedVolume(NamedTuple):
    """A volume to train on, its voxel size (z, y, x) in nm, and the voxel (z, y, x) of the raw file where it begins."""

    volume: TrainingVolume
    voxel_size: Lengths
    origin: Triple


def read_annotated(item: str) -> AnnotatedVolume:
    """A volume from `FILE.h5` in CREMI layout, or `RAW,LABELS[,MASK]`; voxels without a mask file are all annotated.

    Labels and mask may cover a part of raw, by their offsets: what is around them counts as not annotated, and raw is
    read only as far around as networks look. CREMI's ids for voxels that nobody annotated count as masked out.

    Raises
    ------
    InputError
        If raw is not uint8, labels or mask do not lie inside raw, or no voxel is annotated.
    """
    paths = paths_of(item)
    raw, *others = (open_volume(path) for path in paths)
    if raw.dtype != np.uint8:
        raise InputError(f"{paths[0]} must be uint8, not {raw.dtype}; convert it with clew convert --dtype uint8")
    starts = [start_inside(raw, other) for other in others]
    if None in starts:
        shapes = ", ".join(str(volume.shape) for volume in (raw, *others))
        raise InputError(
            f"{item}: labels and mask must have the shape of raw, or lie inside it by their offsets, not {shapes}"
        )
    places = [place for place in starts if place is not None]
    box = surroundings(places[0], others[0].shape, raw.shape)
    ids, mask = read_labels(others, places, box, paths[1])
    if not (ids * mask).any():
        raise InputError(f"{item} has no annotated neuron: all labels inside the mask are 0")
    values = raw.read(box)
    for path in paths:
        open_volume(path).close()  # in a zarr that vanished meanwhile, what is missing was read as 0
    z, y, x = (axis.start for axis in box)
    return AnnotatedVolume(TrainingVolume(values, ids, mask), raw.voxel_size, (z, y, x))


def paths_of(item: str) -> list[str]:
    """The paths of raw, labels and, if there is one, mask: `FILE.h5` in CREMI layout, or `RAW,LABELS[,MASK]`."""
    paths = item.split(",")
    if len(paths) == 1:
        present = {row.name for row in list_datasets(item)}
        paths = [f"{item}:{name}" for name in CREMI_LAYOUT[:2]]
        paths += [f"{item}:{CREMI_LAYOUT[2]}"] if CREMI_LAYOUT[2] in present else []
    if len(paths) > 3:
        raise InputError(f"training data are FILE.h5, RAW,LABELS or RAW,LABELS,MASK, not {item!r}")
    return paths


def start_inside(raw: Volume, other: Volume) -> Triple | None:
    """The voxel of raw where another volume begins, by their offsets; None where it does not lie inside raw.

    Volumes of one shape lie on each other, whatever their offsets say.
    """
    if other.shape == raw.shape:
        return 0, 0, 0
    steps = [(o - r) / size for o, r, size in zip(other.offset, raw.offset, raw.voxel_size, strict=True)]
    z, y, x = (round(step) for step in steps)
    whole = all(abs(step - start) < 0.01 for step, start in zip(steps, (z, y, x), strict=True))
    fits = all(a >= 0 and a + n <= all_ for a, n, all_ in zip((z, y, x), other.shape, raw.shape, strict=False))
    return (z, y, x) if other.ndim == 3 and whole and fits else None


def surroundings(start: Triple, shape: tuple[int, ...], whole: tuple[int, ...]) -> Box:
    """The box of a part with what networks look at around it, inside the whole."""
    around = (SURROUNDINGS, SURROUNDINGS, SURROUNDINGS)
    return Box.whole(shape).shifted(start).grown(around, around, inside=Box.whole(whole))


def read_labels(
    volumes: list[Volume], starts: list[Triple], box: Box, name: str
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Ids in a box of raw, 0 where there are none, and the mask of what is annotated: inside the labels and the mask."""
    ids = read_ids(volumes[0])
    annotated = ~special_ids(ids)
    labels, mask = embed(without_special(ids), starts[0], box), embed(annotated, starts[0], box)
    if len(volumes) > 1:
        mask &= embed(volumes[1].read() > 0, starts[1], box)
    return labels, mask


def embed(values: NDArray[Any], start: Triple, box: Box) -> NDArray[Any]:
    """What a box of raw holds of values that begin at `start` in raw; 0 around them."""
    shape = tuple(axis.stop - axis.start for axis in box)
    if values.shape == shape and start == tuple(axis.start for axis in box):
        return values
    filled = np.zeros(shape, values.dtype)
    target, source = [], []
    for axis, first, size in zip(box, start, values.shape, strict=True):
        low, high = max(axis.start, first), max(min(axis.stop, first + size), max(axis.start, first))
        target.append(slice(low - axis.start, high - axis.start))
        source.append(slice(low - first, high - first))
    filled[tuple(target)] = values[tuple(source)]
    return filled
