"""Voxels near a border of the truth, which scores leave out.

The CREMI challenge does so; without them a score looks at topology alone.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from clew.arrays import as_array, as_triple
from clew.errors import InputError
from clew.kernels.border import clear_near_borders
from clew.labels import Labels, as_labels, inside_mask
from clew.space import Triple

Mask = NDArray[np.bool_]
FEWEST_PAIRS = 1000
"""With fewer neighbours across a border nothing is said of how well borders agree."""


def mask_borders(truth: Any, voxel_size: Sequence[float], distance: float = 25.0) -> Labels:
    """Set the voxels near a label border to 0, section by section.

    A border pixel is one with a 4-neighbour of another label (0 included); every pixel within `distance` of one is
    cleared, measured between pixel centres in the section. Exact at block borders with a context of `distance` plus one
    pixel.

    Parameters
    ----------
    truth : (z, y, x) whole numbers
    voxel_size : (z, y, x) floats
        In nm. Pixels need not be square.
    distance : float
        In nm; CREMI uses 25.

    Returns
    -------
    (z, y, x) uint64

    Raises
    ------
    InputError
        If labels are negative or not whole numbers, the voxel size is not three positive numbers or the distance is
        negative.

    Examples
    --------
    >>> truth = np.array([[[1, 1, 1, 1, 2, 2, 2, 2]]])
    >>> clew.mask_borders(truth, voxel_size=(40, 4, 4), distance=4)
    array([[[1, 1, 0, 0, 0, 0, 2, 2]]], dtype=uint64)
    """
    volume, size = as_labels(truth, "truth"), _checked_size(voxel_size, distance)
    result = np.empty_like(volume)
    _, height, width = volume.shape
    clear_near_borders(volume, _reach(height, width, size, distance), result)
    return result


def away_from_borders(
    truth: Any, voxel_size: Sequence[float], distance: float, *, annotated: Mask | None = None
) -> Mask:
    """Find the voxels in which only topology counts: far from borders of neurons.

    These are the voxels of the truth farther than `distance` from every border between two neurons. A border voxel has
    a face neighbour of another neuron, or is 0 and has two neurons within `distance` along each axis: membrane between them. Other
    voxels of 0 were annotated by nobody: they are no border. No voxel of 0 is part of the result. Where sections that follow each
    other are annotated, distances are measured in 3D, among these sections; where a single one is, in the section. Exact at block
    borders with a context of twice `distance`, and of one voxel.

    Parameters
    ----------
    truth : (z, y, x) whole numbers
    voxel_size : (z, y, x) floats, nm
    distance : float
        In nm, between voxel centres.
    annotated : (z,) bool, optional
        Where `truth` is a block, the sections that hold annotation in the whole volume; those of `truth` always count.

    Returns
    -------
    (z, y, x) bool

    Raises
    ------
    InputError
        If labels are negative or not whole numbers, the voxel size is not three positive numbers, the distance is negative
        or `annotated` is not one value for each section.

    Examples
    --------
    >>> truth = np.array([[[1, 1, 1, 0, 2, 2, 3, 3]]])
    >>> clew.away_from_borders(truth, voxel_size=(40, 4, 4), distance=0).astype(int)
    array([[[1, 1, 1, 0, 1, 0, 0, 1]]])
    """
    volume, size = as_labels(truth, "truth"), _checked_size(voxel_size, distance)
    inside = volume != 0
    for run in section_runs(annotated_sections(volume) | _as_sections(annotated, len(volume))):
        border = _beside_others(volume[run]) | membranes(volume[run], border_reach(voxel_size, distance))
        inside[run] &= _farther(border, size, distance)
    return inside


def border_agreement(segmentation: Any, truth: Any) -> float:
    """How well borders of a segmentation and of the truth agree.

    It says how many times as often as by chance a border of the truth is one of the segmentation, among face neighbours that are
    both annotated. Where both belong together it is about 10; truth of another place has 1.

    Parameters
    ----------
    segmentation, truth : (z, y, x) whole numbers

    Returns
    -------
    float
        NaN where one of them has fewer than 1000 pairs across a border.

    Raises
    ------
    InputError
        If the shapes differ, or ids are negative or not whole numbers.
    """
    segments, neurons = as_labels(segmentation, "segmentation"), as_labels(truth, "truth")
    if segments.shape != neurons.shape:
        raise InputError(f"segmentation and truth must have one shape, not {segments.shape} and {neurons.shape}")
    counted = np.zeros(4, np.int64)
    for axis in range(3):
        (a, b), (one, other) = ([_without(each, axis, planes) for planes in (1, -1)] for each in (segments, neurons))
        known = (one != 0) & (other != 0)
        borders, found = known & (one != other), known & (a != b)
        counted += [np.count_nonzero(each) for each in (known, borders, found, borders & found)]
    pairs, borders_of_truth, borders_of_segments, common = counted.tolist()
    if min(borders_of_truth, borders_of_segments) < FEWEST_PAIRS:
        return math.nan
    return common * pairs / (borders_of_truth * borders_of_segments)


def annotated_sections(truth: Labels) -> Mask:
    """The sections that hold annotation, (z,)."""
    return np.asarray((truth != 0).any(axis=(1, 2)))


def section_runs(annotated: Mask) -> list[slice]:
    """Annotated sections that follow each other, as slices."""
    ends = np.flatnonzero(np.diff(annotated.astype(np.int8), prepend=0, append=0))
    return [slice(int(first), int(last)) for first, last in ends.reshape(-1, 2)]


def _as_sections(annotated: Any, sections: int) -> Mask:
    """One bool for each section; none is marked where nothing is given."""
    if annotated is None:
        return np.zeros(sections, bool)
    marked = as_array(annotated, "annotated")
    if marked.shape != (sections,):
        raise InputError(f"annotated must be one value for each of {sections} sections, not of shape {marked.shape}")
    return inside_mask(marked)


def _beside_others(volume: Labels) -> Mask:
    """Voxels with a face neighbour of another label, where neither is 0."""
    border = np.zeros(volume.shape, bool)
    for axis in range(3):
        here, there = (_without(volume, axis, planes) for planes in (1, -1))
        differs = (here != there) & (here != 0) & (there != 0)
        for planes in (1, -1):
            _without(border, axis, planes)[differs] = True
    return border


def border_reach(voxel_size: Sequence[float], distance: float) -> Triple:
    """Voxels (z, y, x) within a distance along each axis."""
    z, y, x = (int(min(distance // size, 2.0**31)) for size in voxel_size)
    return z, y, x


def membranes(volume: Labels, reach: Triple) -> Mask:
    """Voxels of 0 in whose box, so many voxels to each side, lie two neurons."""
    empty = volume == 0
    if not empty.any() or empty.all():
        return np.zeros(volume.shape, bool)
    largest = _spread(volume, reach, np.maximum) - np.uint64(1)  # 0, no neuron, becomes the largest number
    return np.asarray(empty & (largest != _spread(volume - np.uint64(1), reach, np.minimum)))


def _spread(volume: Labels, reach: Triple, choose: np.ufunc) -> Labels:
    """The largest, or the smallest, in the box around each voxel."""
    # not by scipy's filters: they compare in float64, in which large ids are not exact
    for axis, steps in enumerate(reach):
        found = volume.copy()
        for step in range(1, min(steps, volume.shape[axis] - 1) + 1):
            for planes in (step, -step):
                here = _without(found, axis, -planes)
                choose(here, _without(volume, axis, planes), out=here)
        volume = found
    return volume


def _farther(border: Mask, size: NDArray[np.float64], distance: float) -> Mask:
    """Voxels farther than `distance` from a border voxel; all where there is none."""
    if not border.any():
        return np.ones(border.shape, bool)
    return np.asarray(distance_transform_edt(~border, sampling=size) > distance)


def _without(array: NDArray, axis: int, planes: int) -> NDArray:
    """The array without its first planes along an axis; negative: its last."""
    part = slice(planes, None) if planes > 0 else slice(None, planes)
    return array[(slice(None),) * axis + (part,)]


def _checked_size(voxel_size: Sequence[float], distance: float) -> NDArray[np.float64]:
    size = np.array(as_triple(voxel_size, "voxel_size"))
    if not 0 <= distance < np.inf:
        raise InputError(f"distance must be 0 nm or more, not {distance}")
    return size


def _reach(height: int, width: int, size: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Columns that a border pixel reaches, by distance in rows; -1 for none."""
    down, across = np.arange(height) * size[1], np.arange(width) * size[2]
    return np.searchsorted(across**2, distance**2 - down**2, side="right") - 1
