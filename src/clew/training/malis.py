"""The constrained MALIS loss: how much each affinity matters to the segmentation.

The *maximin edge* of two voxels is the weakest edge on the strongest path between them. With affinities A and target
affinities T, a training crop gives two spanning forests:

- positive pass, on min(A, T): P(e) = pairs of voxels of one object whose maximin edge is e; kept where T(e) = 1;
- negative pass, on max(A, T): N(e) = pairs of voxels of different objects whose maximin edge is e; kept where T(e) = 0.

Each pass is divided by its own sum, and the loss of a crop is Σ (P(e)/ΣP + N(e)/ΣN) · (T(e) − A(e))². *Objects* are the
connected components of the target affinity graph (two pieces of one neuron that meet only outside the crop count as
two).

In *windows*, the crop is cut along a grid, each window is a crop of its own, and their losses are averaged by the edges
that they hold. A whole crop of K objects has at most K − 1 edges that carry N; its windows together have many more.

Ties: the stronger edge first, then T = 1 before T = 0, then the lower edge number (channel, z, y, x); strength is
compared in float32. Masked edges are in neither forest. Background voxels join the forests but bring no pairs.

Paper: section on the constrained MALIS loss and its quasi-linear computation. Cost: a sort of the edges that a local test
leaves (little more than those of the forests), no histograms.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise, product, starmap
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from clew.arrays import as_array
from clew.errors import InputError
from clew.kernels.components import parent_type, unite_links
from clew.kernels.malis import place_weights, spanning_forest
from clew.kernels.malis_general import count_pairs_by_label
from clew.labels import Labels, as_labels, inside_mask
from clew.space import NEAREST_OFFSETS, Box
from clew.training.targets import affinity_targets

_MOST_EDGES = 2**32 - 1
"""Edge numbers are stored in 32 bits."""
_FULL = np.float32(1).view(np.int32)
"""Bits of the strongest affinity."""

Pairs = NDArray[np.int64]
Weights = NDArray[np.float32]
Passes = Literal[1, 2]


class _Forest(NamedTuple):
    """Edges of one pass, and the voxel pairs that each one joins.

    Edges are indices into the (3, z, y, x) of the affinities.
    """

    edges: NDArray[np.uint32]
    pairs: Pairs

    @property
    def scale(self) -> float:
        """The factor that makes the weights of the pass sum to 1."""
        total = self.pairs.sum()
        return 1 / total if total else 0.0


def constrained_malis_loss(
    prediction: torch.Tensor,
    labels: ArrayLike | torch.Tensor,
    *,
    mask: ArrayLike | torch.Tensor | None = None,
    window: Sequence[int] | None = None,
    start: Sequence[int] = (0, 0, 0),
) -> torch.Tensor:
    """Constrained MALIS loss of predicted affinities, with its exact gradient.

    The weights of the edges count as constants. The forests are computed on the CPU, outside the GIL, those of a batch in
    threads; the prediction may be on any device. Not local: it is a property of a whole crop, or of a whole window.

    Parameters
    ----------
    prediction : (3, z, y, x) or (batch, 3, z, y, x) tensor of floats
        Affinities in [0, 1] of the offsets (-1,0,0), (0,-1,0), (0,0,-1).
    labels : (z, y, x) or (batch, z, y, x) whole numbers
        0 = background. They need not be split into components.
    mask : bool or numbers, optional
        Of the shape of the labels, above 0 where somebody annotated, or of the shape of the prediction, above 0 for the edges
        to use.
    window : (z, y, x) ints, optional
        As in `malis_weights`.
    start : (z, y, x) ints
        As in `malis_weights`.

    Returns
    -------
    scalar tensor
        Σ w · (target − prediction)², the mean over the crops of a batch.

    Raises
    ------
    InputError
        If shapes do not fit, affinities are not in [0, 1], or labels are negative or not whole numbers.

    Examples
    --------
    Two of the three pairs of voxels are joined no better than by the edge of affinity 0.5:

    >>> import torch
    >>> prediction = torch.tensor([1.0, 0.5, 1.0]).reshape(1, 1, 1, 3).repeat(3, 1, 1, 1).requires_grad_()
    >>> clew.constrained_malis_loss(prediction, np.array([[[1, 1, 1]]])).backward()
    >>> [round(gradient, 3) for gradient in prediction.grad[2, 0, 0, 1:].tolist()]
    [-0.667, -0.0]
    """
    if prediction.ndim not in (4, 5):
        raise InputError(f"prediction must be ([batch,] 3, z, y, x), not of shape {tuple(prediction.shape)}")
    weigh = partial(_signed_weights, window=window, start=start)
    if prediction.ndim == 4:
        return _crop_loss(prediction, weigh(prediction, _as_array(labels), _as_array(mask)))
    all_labels, all_masks = _as_array(labels), [None] * len(prediction) if mask is None else _as_array(mask)
    if not len(prediction) == len(all_labels) == len(all_masks) > 0:
        raise InputError(
            "prediction, labels and mask must hold the same number of crops,"
            f" not {len(prediction)}, {len(all_labels)} and {len(all_masks)}"
        )
    with ThreadPoolExecutor(min(len(prediction), os.cpu_count() or 1)) as pool:
        weights = list(pool.map(weigh, prediction, all_labels, all_masks))
    return torch.stack([_crop_loss(*crop) for crop in zip(prediction, weights, strict=True)]).mean()


def malis_weights(
    affinities: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    passes: Passes = 2,
    window: Sequence[int] | None = None,
    start: Sequence[int] = (0, 0, 0),
) -> tuple[Weights, Weights]:
    """Normalised weights of MALIS: what (1 - A)² and A² weigh in the loss.

    Parameters
    ----------
    affinities : (3, z, y, x) floats
        In [0, 1], of the offsets (-1,0,0), (0,-1,0), (0,0,-1).
    labels : (z, y, x) whole numbers
        0 = background. They need not be split into components.
    mask : (z, y, x) or (3, z, y, x) bool or numbers, optional
        Above 0 where somebody annotated, or for the edges to use.
    passes : 1 or 2
        2: constrained MALIS. 1: MALIS on the affinities as they are, for comparison; pairs of one object give the
        first weights, pairs of different objects the second ones, and an edge may carry both.
    window : (z, y, x) ints, optional
        Voxels of the windows in which pairs are counted, each as a crop of its own; without it, in the whole crop. Edges
        between windows have no weight.
    start : (z, y, x) ints
        Voxel at which the grid of windows has a corner. Windows that the faces of the crop cut are smaller.

    Returns
    -------
    positive, negative : (3, z, y, x) float32
        Of two passes never both at one edge. Each sums to 1, or to 0 where there are no pairs; in windows, each window's
        sum is its share of the edges that are not masked.

    Raises
    ------
    InputError
        If shapes do not fit, affinities are not in [0, 1], labels are negative or not whole numbers, or windows are larger
        than the crop.

    Examples
    --------
    Two objects of two voxels each: the edge between them joins all four pairs that must not be merged.

    >>> affinities = np.full((3, 1, 1, 4), 0.9, np.float32)
    >>> positive, negative = clew.malis_weights(affinities, np.array([[[1, 1, 2, 2]]]))
    >>> positive[2, 0, 0].tolist(), negative[2, 0, 0].tolist()
    ([0.0, 0.5, 0.0, 0.5], [0.0, 0.0, 1.0, 0.0])
    """
    strengths, volume = _checked(affinities, labels)
    if window is None:
        valid = None if mask is None else _valid_edges(mask, volume)
        return _weights(strengths, volume, valid, passes, np.float32)
    return _weights_in_windows(strengths, volume, mask, passes, window, start)


def malis_pairs(affinities: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None) -> tuple[Pairs, Pairs]:
    """Voxel pairs per edge, (3, z, y, x) int64, of the two passes.

    First the positive, then the negative pass; the inputs are those of `malis_weights`.
    """
    strengths, volume = _checked(affinities, labels)
    forests = _forests(strengths, volume, None if mask is None else _valid_edges(mask, volume))
    positive, negative = np.zeros(strengths.shape, np.int64), np.zeros(strengths.shape, np.int64)
    for forest, pairs in zip(forests, (positive, negative), strict=True):
        pairs.ravel()[forest.edges] = forest.pairs
    return positive, negative


def check_window(window: Sequence[int], shape: Sequence[int]) -> None:
    """Refuse windows that hold no edge or do not fit into a crop.

    Windows and crop have the shapes (z, y, x).
    """
    if len(window) != 3 or not all(2 <= side <= size for side, size in zip(window, shape, strict=True)):
        raise InputError(
            f"the windows of MALIS must have at least 2 voxels along z, y and x and fit into the crop of {tuple(shape)} "
            f"voxels, not be of {tuple(window)}"
        )


def window_boxes(shape: Sequence[int], window: Sequence[int], start: Sequence[int]) -> Iterator[Box]:
    """Boxes of a grid of windows with a corner at `start`, cut by a crop's faces.

    All arguments are (z, y, x) voxels.
    """
    sides = []
    for size, step, first in zip(shape, window, start, strict=True):
        ends = sorted({0, *range(first % step, size, step), size})
        sides.append([slice(low, high) for low, high in pairwise(ends)])
    yield from starmap(Box, product(*sides))


def unconstrained_malis_pairs(
    affinities: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None
) -> tuple[Pairs, Pairs]:
    """Pairs of equal and of different label per maximin edge of the affinities.

    The general form of MALIS; a label may stand in several components. Called with min(A, T) its first result where
    T = 1, and with max(A, T) its second where T = 0, are those of `malis_pairs` for labels split into components.
    It is slower. Ties are ordered as in `malis_weights`.

    Parameters
    ----------
    affinities : (3, z, y, x) floats
    labels : (z, y, x) whole numbers
    mask : (z, y, x) or (3, z, y, x) bool or numbers, optional
        As in `malis_weights`.

    Returns
    -------
    same, different : (3, z, y, x) int64
    """
    strengths, volume = _checked(affinities, labels)
    targets, inside_volume = affinity_targets(volume, NEAREST_OFFSETS)
    valid = inside_volume if mask is None else _valid_edges(mask, volume)
    edges = np.flatnonzero(valid)
    weakness = _FULL - (strengths.ravel()[edges].view(np.int32) & np.int32(2**31 - 1))
    records = 2 * weakness.astype(np.int64) + ~targets.ravel()[edges] << 32 | edges
    order = np.sort(records) & 2**32 - 1
    same, different = np.zeros(strengths.shape, np.int64), np.zeros(strengths.shape, np.int64)
    steps = np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1])
    indices = np.unique(volume, return_inverse=True)[1].ravel() + 1
    indices[volume.ravel() == 0] = 0
    count_pairs_by_label(order, steps, indices, same.ravel(), different.ravel())
    return same, different


def _objects(labels: ArrayLike, mask: ArrayLike | None) -> Labels:
    """Components of the target affinity graph without the masked edges.

    They are 1, 2, …; background is 0.
    """
    volume = as_labels(labels, "labels")
    targets = affinity_targets(volume, NEAREST_OFFSETS)[0]
    if mask is not None:
        targets &= _valid_edges(mask, volume)
    along_z, along_y, along_x = targets.view(np.uint8)
    parents = np.empty(volume.size, parent_type(volume.size))
    unite_links(along_x | along_y << 1 | along_z << 2, parents)
    while (parents != (above := parents[parents])).any():
        parents = above
    return np.where(volume == 0, np.uint64(0), parents.reshape(volume.shape).astype(np.uint64) + np.uint64(1))


def _crop_loss(prediction: torch.Tensor, weights: NDArray[Any]) -> torch.Tensor:
    signed = torch.from_numpy(weights).to(prediction.device)
    error = (signed > 0).to(signed.dtype) - prediction
    return (signed.abs() * error.square()).sum()


def _signed_weights(
    prediction: torch.Tensor,
    labels: ArrayLike,
    mask: ArrayLike | None,
    window: Sequence[int] | None,
    start: Sequence[int],
) -> NDArray[Any]:
    """Weights of both passes of a crop in one array, negative for the negative pass."""
    strengths, volume = _checked(prediction.detach().to("cpu", torch.float32).numpy(), labels)
    kind: type = np.float64 if prediction.dtype == torch.float64 else np.float32
    if window is None:
        positive, negative = _weights(strengths, volume, None if mask is None else _valid_edges(mask, volume), 2, kind)
    else:
        positive, negative = _weights_in_windows(strengths, volume, mask, 2, window, start)
    return np.subtract(positive, negative, out=positive).astype(kind, copy=False)


def _weights_in_windows(
    strengths: NDArray[np.float32],
    volume: Labels,
    mask: ArrayLike | None,
    passes: Passes,
    window: Sequence[int],
    start: Sequence[int],
) -> tuple[Weights, Weights]:
    """Weights of both passes, in each window by itself, times its share of the edges."""
    check_window(window, volume.shape)
    boxes = list(window_boxes(volume.shape, window, start))
    allowed = _valid_edges(mask, volume)
    inside = [_edges_inside(allowed, box) for box in boxes]
    edges = np.array([np.count_nonzero(valid) for valid in inside])
    result = np.zeros((2, *strengths.shape), np.float32)
    for box, valid, share in zip(boxes, inside, edges / max(edges.sum(), 1), strict=True):
        if share > 0:
            parts = np.ascontiguousarray(strengths[(..., *box)]), np.ascontiguousarray(volume[box])
            result[(..., *box)] = _weights(*parts, valid, passes, np.float32)
            result[(..., *box)] *= share
    return result[0], result[1]


def _edges_inside(valid: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    """The valid edges of a window, without those that leave it."""
    inside = valid[(slice(None), *box)].copy()
    inside[0, 0] = inside[1, :, 0] = inside[2, :, :, 0] = False
    return inside


def _weights(
    strengths: NDArray[np.float32], volume: Labels, valid: NDArray[np.bool_] | None, passes: Passes, kind: type
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights of both passes of a crop, each summing to 1.

    They sum to 0 where there are no pairs.
    """
    if passes == 1:
        same, different = unconstrained_malis_pairs(strengths, _objects(volume, valid), valid)
        return (same / max(same.sum(), 1)).astype(kind), (different / max(different.sum(), 1)).astype(kind)
    weights: NDArray[Any] = np.zeros((2, *strengths.shape), kind)
    for part, forest in zip(weights, _forests(strengths, volume, valid), strict=True):
        place_weights(forest.edges, forest.pairs, forest.scale, part.ravel())
    return weights[0], weights[1]


def _forests(
    strengths: NDArray[np.float32], volume: Labels, valid: NDArray[np.bool_] | None
) -> tuple[_Forest, _Forest]:
    """The edges of the positive and the negative pass with their pairs."""
    both = spanning_forest(strengths, volume, valid)
    positive, negative = slice(0, both.inside), slice(both.inside, None)
    return _Forest(both.edges[positive], both.pairs[positive]), _Forest(both.edges[negative], both.pairs[negative])


def _checked(affinities: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float32], Labels]:
    volume = as_labels(labels, "labels")
    strengths = as_array(affinities, "affinities")
    if strengths.dtype.kind != "f":
        raise InputError(f"affinities must be floating point in [0, 1], not {strengths.dtype}")
    if strengths.shape != (3, *volume.shape):
        raise InputError(
            f"affinities must be (3, z, y, x) = {(3, *volume.shape)} like the labels, not {strengths.shape}"
        )
    if strengths.size > _MOST_EDGES:
        raise InputError(
            f"MALIS takes crops of up to {_MOST_EDGES // 3} voxels, not {volume.size}; take a smaller crop"
        )
    strengths = np.ascontiguousarray(strengths, dtype=np.float32)
    low, high = strengths.min(), strengths.max()
    if not (low >= 0 and high <= 1):
        raise InputError(f"affinities must be in [0, 1], but hold {low} to {high}; apply a sigmoid")
    return strengths, volume


def _valid_edges(mask: ArrayLike | None, volume: Labels) -> NDArray[np.bool_]:
    """Mark the edges that may be in the forests.

    They lie inside the volume, and a mask of voxels or of edges allows them.
    """
    if mask is None:
        return affinity_targets(volume, NEAREST_OFFSETS)[1]
    allowed = inside_mask(mask)
    if allowed.shape == volume.shape:
        return affinity_targets(volume, NEAREST_OFFSETS, allowed)[1]
    if allowed.shape != (3, *volume.shape):
        raise InputError(f"mask must be (z, y, x) or (3, z, y, x) like labels of {volume.shape}, not {allowed.shape}")
    return affinity_targets(volume, NEAREST_OFFSETS)[1] & allowed


def _as_array(values: Any) -> Any:
    if values is None:
        return None
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else as_array(values, "labels and mask")
