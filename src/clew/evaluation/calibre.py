"""Calibre: how thick neurons are, and what errors cost where they are thin.

The calibre of a voxel is the diameter of the largest ball that lies inside its neuron and holds the voxel, or one beside it (local
thickness: Hildebrand & Rüegsegger, Journal of Microscopy 1997). The middle and the membrane of a thick branch have one calibre.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from clew.arrays import as_array, as_triple
from clew.errors import InputError
from clew.evaluation.border import Mask, annotated_sections, section_runs
from clew.evaluation.overlap import OverlapTable, checked_table
from clew.evaluation.scores import check_annotated
from clew.labels import Labels, as_labels, check_same_shape, inside_mask, sizes_by_id
from clew.space import THIN, Box, Lengths, Triple, triple

BOUNDS = (THIN, 300.0)
"""Calibres in nm between thin, medium and thick: about a fifth of fly neuropil is thinner than 100 nm, half is thicker than 300."""
_SLAB = 1 << 24
"""Voxels that are measured at once, and context: the result does not depend on it."""


class CalibreCost(NamedTuple):
    """What a segmentation costs in the neurites of one class of calibre.

    Parameters
    ----------
    share : float
        Of the annotated voxels, those in the class.
    voi_split, voi_merge : float
        In bits, the part of the scores that these voxels bear. Over all classes they add up to the scores.
    """

    share: float
    voi_split: float
    voi_merge: float


def calibre_classes(
    labels: Any, voxel_size: Sequence[float], bounds: Sequence[float] = BOUNDS, *, annotated: ArrayLike | None = None
) -> NDArray[np.uint8]:
    """Divide neurons into classes by their calibre at each voxel.

    A neuron ends at face neighbours of another label or of 0. The border of the volume is no end, nor are voxels that nobody
    annotated: where a neuron is cut off there, it may be thicker than what is seen. Annotated sections that follow each other
    are measured in 3D, a single one in the section. Widths are those of balls of whole voxels, so a voxel more or less. Exact at
    block borders with a context of the largest bound and two voxels.

    Parameters
    ----------
    labels : (z, y, x) whole numbers
        0 = no neuron.
    voxel_size : (z, y, x) floats, nm
    bounds : floats, nm
        Calibres at which the next class begins, ascending.
    annotated : (z, y, x) bool or numbers, optional
        Above 0 where somebody annotated. Without it, all of the sections that hold labels.

    Returns
    -------
    (z, y, x) uint8
        1 below the first bound, 2 from there on, …; 0 where the label is 0 or nobody annotated.

    Raises
    ------
    InputError
        If labels are negative or not whole numbers, the voxel size is not three positive numbers, shapes differ, or bounds do
        not ascend from above 0.

    Examples
    --------
    >>> labels = np.zeros((9, 9, 20), int)
    >>> labels[3:6, 3:6, :10] = labels[1:8, 1:8, 10:] = 1  # 30 nm wide, then 70
    >>> clew.calibre_classes(labels, voxel_size=(10, 10, 10), bounds=(50, 500))[4, 4, ::5]
    array([1, 1, 2, 2], dtype=uint8)
    """
    volume, size, limits = as_labels(labels, "labels"), as_triple(voxel_size, "voxel_size"), checked_bounds(bounds)
    known = _as_known(annotated, volume)
    classes = ((volume != 0) & known).astype(np.uint8)
    for run, kept in _slabs(known, size, limits[-1]):
        part, here = volume[run], classes[run][kept]
        depths = _depths(part, known[run], size)
        for number, limit in enumerate(limits, start=2):
            radius = max(limit - min(size), 0) / 2
            wide = (_distance_to(depths >= radius, size) <= radius) & (depths >= 0)
            here[(_with_neighbours(wide, part) & (depths >= 0))[kept]] = number
    return classes


def calibres_at(
    labels: Any, voxel_size: Sequence[float], places: ArrayLike, *, annotated: ArrayLike | None = None
) -> NDArray[np.float64]:
    """The calibre in nm of neurons at some voxels.

    Parameters
    ----------
    labels : (z, y, x) whole numbers
        0 = no neuron.
    voxel_size : (z, y, x) floats, nm
    places : (n, 3) ints
        Voxels (z, y, x) of the labels.
    annotated : (z, y, x) bool or numbers, optional
        As of `calibre_classes`.

    Returns
    -------
    (n,) float64
        0 where the label is 0 or nobody annotated. Where a neuron has no end in its sections, infinite.

    Raises
    ------
    InputError
        As `calibre_classes`, and if a place lies outside of the volume.

    Examples
    --------
    >>> labels = np.zeros((9, 9, 20), int)
    >>> labels[3:6, 3:6, :10] = labels[1:8, 1:8, 10:] = 1
    >>> clew.calibres_at(labels, voxel_size=(10, 10, 10), places=[(4, 4, 2), (4, 4, 15)])
    array([30., 70.])
    """
    volume, size = as_labels(labels, "labels"), as_triple(voxel_size, "voxel_size")
    known, voxels = _as_known(annotated, volume), _as_places(places, volume.shape)
    found = np.zeros(len(voxels))
    for sections in section_runs(_sections(known)):
        here = np.flatnonzero((voxels[:, 0] >= sections.start) & (voxels[:, 0] < sections.stop))
        if len(here):
            part, depths = volume[sections], _depths(volume[sections], known[sections], size)
            inner = voxels[here] - (sections.start, 0, 0)
            found[here] = [_calibre_at(part, depths, size, triple(place)) for place in inner.tolist()]
    return found


def costs_by_calibre(tables: Sequence[OverlapTable]) -> list[CalibreCost]:
    """Divide the VOI among classes of calibre.

    Parameters
    ----------
    tables : sequence of OverlapTable
        For each class, the overlap of the segmentation with the truth in the voxels of this class.

    Returns
    -------
    list of CalibreCost
        One for each class.

    Raises
    ------
    InputError
        If all tables are empty.

    Examples
    --------
    The thin end of a neuron, here 1 of 4 voxels, was split off:

    >>> from clew.evaluation.calibre import costs_by_calibre
    >>> segmentation, truth, thin = np.array([[[5, 6, 6, 6]]]), np.ones((1, 1, 4), int), np.array([[[1, 0, 0, 0]]])
    >>> tables = [clew.overlap_table(segmentation, truth * part) for part in (thin, 1 - thin)]
    >>> [round(cost.voi_split, 2) for cost in costs_by_calibre(tables)]
    [0.5, 0.31]
    """
    segments, truths, counts = (np.concatenate(column) for column in zip(*map(_columns, tables), strict=True))
    check_annotated(OverlapTable(segments, truths, counts))
    which = np.repeat(np.arange(len(tables)), [len(table.counts) for table in tables])
    _, pairs = np.unique(np.stack([segments, truths], axis=1), axis=0, return_inverse=True)
    pair, segment, neuron = (np.log2(sizes_by_id(ids.ravel(), counts)) for ids in (pairs, segments, truths))
    sums = [
        np.bincount(which, counts * bits, len(tables)) / counts.sum() for bits in (1, neuron - pair, segment - pair)
    ]
    return [CalibreCost(*map(float, costs)) for costs in zip(*sums, strict=True)]


def checked_bounds(bounds: Sequence[float]) -> tuple[float, ...]:
    """Check bounds of calibre: at least one, ascending from above 0."""
    limits = as_array(bounds, "bounds").astype(np.float64)
    if limits.ndim != 1 or not limits.size or not np.isfinite(limits).all() or (np.diff(limits, prepend=0) <= 0).any():
        raise InputError(
            f"bounds of calibre must be numbers in nm that ascend from above 0, such as 100,300, not {bounds}"
        )
    return tuple(limits.tolist())


def _columns(table: OverlapTable) -> tuple[Labels, Labels, NDArray[np.int64]]:
    checked = checked_table(table)
    return checked.segments, checked.truths, checked.counts


def _as_known(annotated: ArrayLike | None, volume: Labels) -> Mask:
    """Where somebody annotated; by default all of the sections that hold labels."""
    if annotated is None:
        return np.broadcast_to(annotated_sections(volume)[:, None, None], volume.shape)
    known = inside_mask(annotated, "annotated")
    check_same_shape(known, volume, ("annotated", "labels"))
    return known


def _sections(known: Mask) -> Mask:
    return np.asarray(known.any(axis=(1, 2)))


def _as_places(places: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    voxels = as_array(places, "places")
    if voxels.ndim != 2 or voxels.shape[1] != 3 or voxels.dtype.kind not in "ui":
        raise InputError(f"places must be a list of voxels (z, y, x), not of shape {voxels.shape} and {voxels.dtype}")
    if ((voxels < 0) | (voxels >= np.array(shape))).any():
        raise InputError(
            f"places must lie inside the labels of shape {shape}, but reach from {voxels.min(0)} to {voxels.max(0)}"
        )
    return voxels.astype(np.int64)


def _slabs(known: Mask, size: Lengths, reach: float) -> Iterator[tuple[slice, slice]]:
    """Annotated sections in pieces: with their context, and what is kept of these."""
    context = int(np.ceil(reach / size[0])) + 2
    thick = max(1, _SLAB // (known.shape[1] * known.shape[2]) - 2 * context)
    for sections in section_runs(_sections(known)):
        for first in range(sections.start, sections.stop, thick):
            last = min(first + thick, sections.stop)
            low = max(first - context, sections.start)
            yield slice(low, min(last + context, sections.stop)), slice(first - low, last - low)


def _depths(labels: Labels, known: Mask, size: Lengths) -> NDArray[np.float64]:
    """How far voxels are from the outermost voxels of their neuron, in nm.

    All voxels so near are of the same neuron. Infinite where there is no end, -1 outside of neurons.
    """
    border = np.zeros(labels.shape, bool)
    for here, there in _neighbours(labels.shape):
        differs = (labels[here] != labels[there]) & known[here] & known[there]
        border[here] |= differs
        border[there] |= differs
    return np.where((labels != 0) & known, _distance_to(border, size), -1.0)


def _distance_to(voxels: Mask, size: Lengths) -> NDArray[np.float64]:
    """Distance in nm to the nearest of some voxels; infinite where there is none."""
    if not voxels.any():
        return np.full(voxels.shape, np.inf)
    return np.asarray(distance_transform_edt(~voxels, sampling=size))


def _with_neighbours(voxels: Mask, labels: Labels) -> Mask:
    """Some voxels, and their face neighbours in the same neuron.

    So the roughness of a surface is not thin.
    """
    grown = voxels.copy()
    for here, there in _neighbours(labels.shape):
        same = labels[here] == labels[there]
        grown[here] |= same & voxels[there]
        grown[there] |= same & voxels[here]
    return grown


def _neighbours(shape: tuple[int, ...]) -> Iterator[tuple[Box, Box]]:
    whole = Box.whole(shape)
    for axis in range(3):
        step = triple(int(axis == other) for other in range(3))
        there = whole.shifted(step).overlap(whole)
        yield there.shifted(-offset for offset in step), there


def _calibre_at(labels: Labels, depths: NDArray[np.float64], size: Lengths, place: Triple) -> float:
    """The width of the widest ball in the neuron that holds the place.

    It may hold a neighbour of it in the neuron instead.
    """
    if depths[place] < 0:
        return 0.0
    neuron = labels == labels[place]
    widest = depths[neuron].max()
    if np.isinf(widest):
        return float(widest)
    near = Box.tile(place, (1, 1, 1)).grown((1, 1, 1), (1, 1, 1), inside=Box.whole(labels.shape))
    reach = triple(int(widest / step) + 2 for step in size)
    box = near.grown(reach, reach, inside=Box.whole(labels.shape))
    inside, deep = neuron[box], depths[box]
    widths = []
    for voxel in near.voxels():
        if neuron[voxel] and depths[voxel] >= 0 and sum(abs(a - b) for a, b in zip(voxel, place, strict=True)) <= 1:
            axes = [
                (np.arange(part.start, part.stop) - at) * step for part, at, step in zip(box, voxel, size, strict=True)
            ]
            away = np.sqrt(sum(axis**2 for axis in np.ix_(*axes)))
            widths.append(float(2 * deep[inside & (away <= deep)].max() + min(size)))
    return max(widths)
