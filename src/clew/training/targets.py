"""Training targets made from labels.

Affinities, grown boundaries, connected components.

Labels are (z, y, x) whole numbers, 0 = background. Paper: a target affinity is 1 where both voxels are of one object.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.arrays import as_array, as_whole
from clew.errors import InputError
from clew.kernels.erosion import erode_labels
from clew.kernels.label_components import label_components
from clew.labels import Labels, as_labels, check_same_shape, inside_mask
from clew.space import Box


def affinity_targets(
    labels: ArrayLike, offsets: Sequence[Sequence[int]], mask: ArrayLike | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Target affinities of a label volume, and where they hold.

    Exact at block borders when the block is read with a context as wide as the offsets. Paper: a target affinity is 1 where
    both voxels are of one object (arXiv 1709.02974).

    Parameters
    ----------
    labels : (z, y, x) whole numbers
        0 = background.
    offsets : (channel, 3) ints
        Pairs (v, v + offset) in voxels (z, y, x), one channel each; any length, any sign.
    mask : (z, y, x) bool or numbers, optional
        Above 0 where somebody annotated. Without it, everywhere.

    Returns
    -------
    targets : (channel, z, y, x) bool
        True where both voxels of the pair carry the same non-zero label.
    valid : (channel, z, y, x) bool
        False where the pair leaves the volume or touches a voxel that nobody annotated.

    Raises
    ------
    InputError
        If the labels are negative or not whole numbers, or shapes do not fit.

    Examples
    --------
    >>> targets, valid = clew.affinity_targets(np.array([[[1, 1, 2]]]), offsets=[(0, 0, -1)])
    >>> targets[0, 0, 0].tolist(), valid[0, 0, 0].tolist()
    ([False, True, False], [False, True, True])
    """
    volume = as_labels(labels, "labels")
    annotated = _as_mask(mask, volume)
    steps = _as_offsets(offsets)
    targets = np.zeros((len(steps), *volume.shape), bool)
    valid = np.zeros(targets.shape, bool)
    foreground, whole = volume != 0, Box.whole(volume.shape)
    for channel, offset in enumerate(steps):
        there = whole.shifted(offset).overlap(whole)
        here = there.within(whole.shifted(offset))
        same = np.equal(volume[here], volume[there], out=targets[channel][here])
        same &= foreground[here]
        if annotated is None:
            valid[channel][here] = True
        else:
            both = np.logical_and(annotated[here], annotated[there], out=valid[channel][here])
            same &= both
    return targets, valid


def grow_boundaries(labels: ArrayLike, steps: int, per_section: bool = False, mask: ArrayLike | None = None) -> Labels:
    """Erode every label, so that background grows between objects.

    Each step clears the voxels that touch another label or background through a face. The volume's border is no
    boundary, nor is the border to voxels that nobody annotated. Exact at block borders with a context of `steps`
    voxels.

    Parameters
    ----------
    labels : (z, y, x) whole numbers
        0 = background.
    steps : int
        Voxels to erode. The paper: 3 to 4 in xy only for CREMI, 1 to 4 in 3D for FIB-25.
    per_section : bool
        Erode in y and x only (serial sections).
    mask : (z, y, x) bool or numbers, optional
        Above 0 where somebody annotated. Other voxels keep their label.

    Returns
    -------
    (z, y, x) uint64

    Raises
    ------
    InputError
        If the labels are negative or not whole numbers, or steps is negative.

    Examples
    --------
    >>> clew.grow_boundaries(np.array([[[1, 1, 1, 2, 2, 2]]]), steps=1)
    array([[[1, 1, 0, 0, 2, 2]]], dtype=uint64)
    """
    volume = as_labels(labels, "labels")
    if (steps := as_whole(steps, "steps")) == 0:
        return volume.copy()
    annotated = _as_mask(mask, volume)
    unknown = np.zeros(volume.shape, np.uint8) if annotated is None else (~annotated).view(np.uint8)
    return erode_labels(volume, unknown, steps, per_section)


def split_components(labels: ArrayLike) -> Labels:
    """Give each connected component of the nearest-neighbour affinity graph an id.

    Two voxels are in one component when a path of face-touching voxels of one non-zero label joins them: two pieces of
    one neuron that meet only outside a crop become two objects, as MALIS needs it. Not local: a component may span any
    number of blocks.

    Parameters
    ----------
    labels : (z, y, x) whole numbers
        0 = background.

    Returns
    -------
    (z, y, x) uint64
        Components 1 .. n in the order of their first voxels; 0 stays 0.

    Raises
    ------
    InputError
        If the labels are negative or not whole numbers.

    Examples
    --------
    >>> clew.split_components(np.array([[[5, 5, 0, 5]]]))
    array([[[1, 1, 0, 2]]], dtype=uint64)
    """
    return label_components(as_labels(labels, "labels"))


def _as_mask(mask: ArrayLike | None, volume: Labels) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    annotated = np.ascontiguousarray(inside_mask(mask))
    check_same_shape(annotated, volume, ("mask", "labels"))
    return annotated


def _as_offsets(offsets: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    steps = as_array(offsets, "offsets")
    if steps.ndim != 2 or steps.shape[1] != 3 or steps.dtype.kind not in "ui":
        raise InputError(f"offsets must be a list of whole (z, y, x) steps such as (-1, 0, 0), not {offsets!r}")
    return [tuple(int(o) for o in offset) for offset in steps]
