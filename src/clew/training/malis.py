"""The constrained MALIS loss: how much each affinity matters to the segmentation.

The *maximin edge* of two voxels is the weakest edge on the strongest path between them. With affinities A and target
affinities T, a training crop gives two spanning forests:

- positive pass, on min(A, T): P(e) = pairs of voxels of one object whose maximin edge is e; kept where T(e) = 1;
- negative pass, on max(A, T): N(e) = pairs of voxels of different objects whose maximin edge is e; kept where T(e) = 0.

Each pass is divided by its own sum, and the loss of a crop is Σ (P(e)/ΣP + N(e)/ΣN) · (T(e) − A(e))². *Objects* are the
connected components of the target affinity graph (two pieces of one neuron that meet only outside the crop count as
two). Ties: the stronger edge first, then T = 1 before T = 0, then the lower edge number (channel, z, y, x); strength is
compared in float32. Masked edges are in neither forest. Background voxels join the forests but bring no pairs.

Paper: section on the constrained MALIS loss and its quasi-linear computation. Cost: a sort of the edges that a local test
leaves (little more than those of the forests), no histograms.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from clew.errors import InputError
from clew.evaluation._labels import Labels, as_labels
from clew.kernels.components import parent_type, unite_links
from clew.kernels.malis import BUCKETS, count_edges, count_pairs, flag_edges, place_weights, scatter_edges
from clew.kernels.malis_general import count_pairs_by_label
from clew.training.targets import affinity_targets

_OFFSETS = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
_MOST_EDGES = 2**32 - 1
"""Edge numbers are stored in 32 bits."""
_FULL = np.float32(1).view(np.int32)
"""Bits of the strongest affinity."""

Pairs = NDArray[np.int64]


class _Forest(NamedTuple):
    """Edges of one pass, numbered through the (3, z, y, x) of the affinities, and the voxel pairs that each one joins."""

    edges: NDArray[np.uint32]
    pairs: Pairs

    @property
    def scale(self) -> float:
        """What makes the weights of the pass sum to 1."""
        total = self.pairs.sum()
        return 1 / total if total else 0.0


def constrained_malis_loss(
    prediction: torch.Tensor, labels: ArrayLike | torch.Tensor, *, mask: ArrayLike | torch.Tensor | None = None
) -> torch.Tensor:
    """Constrained MALIS loss of predicted affinities, with its exact gradient (the weights are constants).

    The forests are computed on the CPU, outside the GIL, those of a batch in threads; prediction may be on any device.
    Not local: it is a property of a whole crop.

    Parameters
    ----------
    prediction
        (3, z, y, x) or (batch, 3, z, y, x) affinities in [0, 1] of the offsets (-1,0,0), (0,-1,0), (0,0,-1).
    labels
        (z, y, x) or (batch, z, y, x) whole numbers, 0 = background. They need not be split into components.
    mask
        Shape of the labels, true where somebody annotated, or shape of the prediction, true for the edges to use.

    Returns
    -------
    Scalar tensor: Σ w · (target − prediction)², the mean over the crops of a batch.

    Raises
    ------
    InputError
        If shapes do not fit, affinities are not in [0, 1], or labels are negative or not whole numbers.
    """
    if prediction.ndim not in (4, 5):
        raise InputError(f"prediction must be ([batch,] 3, z, y, x), not of shape {tuple(prediction.shape)}")
    if prediction.ndim == 4:
        return _crop_loss(prediction, _signed_weights(prediction, _as_array(labels), _as_array(mask)))
    all_labels, all_masks = _as_array(labels), [None] * len(prediction) if mask is None else _as_array(mask)
    if not len(prediction) == len(all_labels) == len(all_masks) > 0:
        raise InputError(
            "prediction, labels and mask must hold the same number of crops,"
            f" not {len(prediction)}, {len(all_labels)} and {len(all_masks)}"
        )
    with ThreadPoolExecutor(min(len(prediction), os.cpu_count() or 1)) as pool:
        weights = list(pool.map(_signed_weights, prediction, all_labels, all_masks))
    return torch.stack([_crop_loss(*crop) for crop in zip(prediction, weights, strict=True)]).mean()


def malis_weights(
    affinities: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None, *, passes: Literal[1, 2] = 2
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normalised weights of MALIS: what (1 - A)² and A² weigh in the loss.

    Parameters
    ----------
    affinities
        (3, z, y, x) in [0, 1], of the offsets (-1,0,0), (0,-1,0), (0,0,-1).
    labels
        (z, y, x) whole numbers, 0 = background. They need not be split into components.
    mask
        (z, y, x), true where somebody annotated, or (3, z, y, x), true for the edges to use.
    passes
        2: constrained MALIS. 1: MALIS on the affinities as they are, for comparison; pairs of one object give the
        first weights, pairs of different objects the second ones, and an edge may carry both.

    Returns
    -------
    positive, negative
        (3, z, y, x) float32, each summing to 1 (or all 0 where there are no pairs); of two passes never both at one edge.

    Raises
    ------
    InputError
        If shapes do not fit, affinities are not in [0, 1], or labels are negative or not whole numbers.
    """
    if passes == 1:
        same, different = unconstrained_malis_pairs(affinities, _objects(labels, mask), mask)
        return _normalised(same), _normalised(different)
    shape, forests = _forests(affinities, labels, mask)
    positive, negative = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for forest, weights in zip(forests, (positive, negative), strict=True):
        place_weights(forest.edges, forest.pairs, forest.scale, weights.ravel())
    return positive, negative


def malis_pairs(affinities: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None) -> tuple[Pairs, Pairs]:
    """Voxel pairs per edge, (3, z, y, x) int64, of the positive and the negative pass; inputs as in `malis_weights`."""
    shape, forests = _forests(affinities, labels, mask)
    positive, negative = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for forest, pairs in zip(forests, (positive, negative), strict=True):
        pairs.ravel()[forest.edges] = forest.pairs
    return positive, negative


def unconstrained_malis_pairs(
    affinities: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None
) -> tuple[Pairs, Pairs]:
    """Pairs of equal and of different label per maximin edge, of the affinities as they are.

    The general form of MALIS; a label may stand in several components. Called with min(A, T) its first result where
    T = 1, and with max(A, T) its second where T = 0, are those of `malis_pairs` for labels split into components.
    Slower; inputs and order of ties as in `malis_weights`.

    Returns
    -------
    same, different
        (3, z, y, x) int64.
    """
    strengths, volume = _checked(affinities, labels)
    targets, inside_volume = affinity_targets(volume, _OFFSETS)
    valid = inside_volume if mask is None else _valid_edges(mask, volume)
    edges = np.flatnonzero(valid)
    weakness = _FULL - (strengths.ravel()[edges].view(np.int32) & np.int32(2**31 - 1))
    records = 2 * weakness.astype(np.int64) + ~targets.ravel()[edges] << 32 | edges
    order = np.sort(records) & 2**32 - 1
    same, different = np.zeros(strengths.shape, np.int64), np.zeros(strengths.shape, np.int64)
    steps = np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1])
    numbers = np.unique(volume, return_inverse=True)[1].ravel() + 1
    numbers[volume.ravel() == 0] = 0
    count_pairs_by_label(order, steps, numbers, same.ravel(), different.ravel())
    return same, different


def _objects(labels: ArrayLike, mask: ArrayLike | None) -> Labels:
    """Connected components of the target affinity graph without the masked edges, numbered from 1; background 0."""
    volume = as_labels(labels, "labels")
    targets = affinity_targets(volume, _OFFSETS)[0]
    if mask is not None:
        targets &= _valid_edges(mask, volume)
    along_z, along_y, along_x = targets.view(np.uint8)
    parents = np.empty(volume.size, parent_type(volume.size))
    unite_links(along_x | along_y << 1 | along_z << 2, parents)
    while (parents != (above := parents[parents])).any():
        parents = above
    return np.where(volume == 0, np.uint64(0), parents.reshape(volume.shape).astype(np.uint64) + np.uint64(1))


def _normalised(pairs: Pairs) -> NDArray[np.float32]:
    return (pairs / max(pairs.sum(), 1)).astype(np.float32)


def _crop_loss(prediction: torch.Tensor, weights: NDArray[Any]) -> torch.Tensor:
    signed = torch.from_numpy(weights).to(prediction.device)
    error = (signed > 0).to(signed.dtype) - prediction
    return (signed.abs() * error.square()).sum()


def _signed_weights(prediction: torch.Tensor, labels: ArrayLike, mask: ArrayLike | None) -> NDArray[Any]:
    """Weights of both passes of a crop in one array, negative for the negative pass."""
    shape, (positive, negative) = _forests(prediction.detach().to("cpu", torch.float32).numpy(), labels, mask)
    weights = np.zeros(shape, np.float64 if prediction.dtype == torch.float64 else np.float32)
    place_weights(positive.edges, positive.pairs, positive.scale, weights.ravel())
    place_weights(negative.edges, negative.pairs, -negative.scale, weights.ravel())
    return weights


def _forests(
    affinities: ArrayLike, labels: ArrayLike, mask: ArrayLike | None
) -> tuple[tuple[int, ...], tuple[_Forest, _Forest]]:
    """Shape of the affinities, and the edges of the positive and the negative pass with their pairs."""
    strengths, volume = _checked(affinities, labels)
    records, bounds = _ordered_edges(strengths, volume, mask)
    tree, counts = np.empty(volume.size, np.int32), np.empty(1024, np.int64)
    edges, pairs = np.empty(volume.size, np.uint32), np.empty(volume.size, np.int64)
    shape, spare = np.array(volume.shape), np.empty(int(np.diff(bounds).max()), np.uint64)
    inside, joined = count_pairs(records, bounds, shape, volume.ravel(), tree, spare, counts, edges, pairs)
    positive, negative = slice(0, inside), slice(inside, joined)
    return strengths.shape, (_Forest(edges[positive], pairs[positive]), _Forest(edges[negative], pairs[negative]))


def _ordered_edges(
    strengths: NDArray[np.float32], volume: Labels, mask: ArrayLike | None
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Records of the edges that a forest may need, in buckets, and where each bucket begins."""
    _, _, height, width = strengths.shape
    valid = np.empty((3, 0, 0, 0), bool) if mask is None else _valid_edges(mask, volume)
    bits, flags = strengths.view(np.int32), np.empty(volume.shape, np.uint8)
    ranks, last = np.empty((2, 3, height, width), np.int32), np.empty(width, np.uint8)
    flag_edges(bits, volume, valid, mask is not None, ranks, last, flags)
    bounds, positions = np.zeros(2 * BUCKETS + 1, np.int64), np.empty(width + 1, np.int32)
    count_edges(strengths, flags, positions, bounds[1:])
    np.cumsum(bounds, out=bounds)
    records = np.empty(bounds[-1], np.uint64)
    scatter_edges(strengths, bits, flags, positions, bounds[:-1].copy(), records)
    return records, bounds


def _checked(affinities: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float32], Labels]:
    volume = as_labels(labels, "labels")
    strengths = np.asarray(affinities)
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


def _valid_edges(mask: ArrayLike, volume: Labels) -> NDArray[np.bool_]:
    """Edges that may be in the forests: inside the volume, and allowed by a mask of voxels or of edges."""
    allowed = np.asarray(mask, dtype=bool)
    if allowed.shape == volume.shape:
        return affinity_targets(volume, _OFFSETS, allowed)[1]
    if allowed.shape != (3, *volume.shape):
        raise InputError(f"mask must be (z, y, x) or (3, z, y, x) like labels of {volume.shape}, not {allowed.shape}")
    return affinity_targets(volume, _OFFSETS)[1] & allowed


def _as_array(values: Any) -> Any:
    if values is None:
        return None
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
