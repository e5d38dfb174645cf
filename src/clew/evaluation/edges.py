"""Edges of a region graph against the truth: which contacts are right to merge.

VOI of a few sections hangs on one or two large neurons. A volume has thousands of contacts, and each of them is a decision
that a score takes: so networks and scores can be told apart with far less noise. What is asked is how well a score separates
contacts inside a neuron (to be merged) from contacts between two neurons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable
from clew.evaluation.spread import check_spread


@dataclass(frozen=True)
class EdgeTruth:
    """What the truth says of each edge of a region graph.

    Parameters
    ----------
    judged : (n,) bool
        Whether both fragments are known to belong to one neuron each. The other arrays count only there.
    same : (n,) bool
        Both fragments belong to the same neuron.
    neurons : (n, 2) uint64
        Ids of the neurons that the two fragments belong to.
    small, mixed : int
        Fragments that are not judged: too few annotated voxels (none at all among them), and too many of several neurons.
    """

    judged: NDArray[np.bool_]
    same: NDArray[np.bool_]
    neurons: NDArray[np.uint64]
    small: int
    mixed: int


@dataclass(frozen=True)
class EdgeCurve:
    """Precision and recall of merging all contacts of at least some score.

    There is one point for every score that occurs.

    Parameters
    ----------
    scores : (k,) float64
        The values, descending.
    precision, recall : (k,) float64
        Of the merged contacts, the share inside one neuron; of the contacts inside one neuron, the share that is merged.
    area : float
        Area under precision over recall (average precision); 1 is perfect.
    """

    scores: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    area: float


def judge_edges(
    edges: ArrayLike,
    fragments: ArrayLike,
    table: OverlapTable,
    *,
    minimum_voxels: int = 100,
    minimum_purity: float = 0.9,
) -> EdgeTruth:
    """Find out which contacts of a region graph lie inside one neuron.

    A contact lies inside one neuron where both fragments have the same majority neuron.

    Parameters
    ----------
    edges : (n, 2) uint64
        Ids of two touching fragments, as in `RegionGraph.edges`.
    fragments : (m,) uint64
        Ids of all fragments, ascending, as in `RegionGraph.fragments`.
    table : OverlapTable
        Overlap of the fragments with the truth.
    minimum_voxels : int
        Fragments of fewer annotated voxels are not judged.
    minimum_purity : float
        Fragments of which a smaller share belongs to their majority neuron are not judged: no merge of them is right.

    Raises
    ------
    InputError
        If an edge names a fragment that is not listed.
    """
    pairs, ids = np.asarray(edges, np.uint64).reshape(-1, 2), np.asarray(fragments, np.uint64)
    positions = np.searchsorted(ids, pairs)
    if len(pairs) and (len(ids) == 0 or (ids[np.minimum(positions, len(ids) - 1)] != pairs).any()):
        raise InputError(
            "edges must join listed fragments, but one is not listed; give fragments and region graph of one run"
        )
    neurons, voxels, annotated = majorities(ids, table)
    small = annotated < max(minimum_voxels, 1)
    mixed = ~small & (voxels < minimum_purity * annotated)
    judged = np.all(~(small | mixed)[positions], axis=1)
    owners = neurons[positions]
    same = judged & (owners[:, 0] == owners[:, 1])
    return EdgeTruth(judged, same, owners, int(np.count_nonzero(small)), int(np.count_nonzero(mixed)))


def edge_curve(scores: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None) -> EdgeCurve:
    """Precision and recall of a score over all its values.

    Parameters
    ----------
    scores : (n,) numbers
        Of the judged edges; larger means merge.
    same : (n,) bool
        Edges inside one neuron.
    weights : (n,) numbers of at least 0, optional
        Such as contact areas; without them each edge counts alike.

    Raises
    ------
    InputError
        If lengths differ, or no edge of weight lies inside a neuron.
    """
    values, inside, mass = _edge_arrays(scores, same, weights)
    if not (mass * inside).sum() > 0:
        raise InputError("no contact lies inside one neuron: nothing is to be merged, so there is no recall")
    order = np.argsort(-values, kind="stable")
    merged, right = np.cumsum(mass[order]), np.cumsum((mass * inside)[order])
    last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    merged, right = merged[last], right[last]
    recall = right / right[-1]
    precision = np.divide(right, merged, out=np.ones_like(right), where=merged > 0)
    area = float(np.diff(recall, prepend=0.0) @ precision)
    return EdgeCurve(values[order][last], precision, recall, area)


def edge_error(scores: ArrayLike, same: ArrayLike, threshold: float, weights: ArrayLike | None = None) -> float:
    """Share of the edges decided wrong when edges with 1 - score < threshold merge.

    Parameters as of `edge_curve`; scores in [0, 1].
    """
    values, inside, mass = _edge_arrays(scores, same, weights)
    if not mass.sum() > 0:
        raise InputError("no contact can be judged, so no share of them is wrong")
    return float(mass[(1 - values < threshold) != inside].sum() / mass.sum())


def smallest_error(scores: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, float]:
    """The threshold that decides the fewest edges wrong, and the share of these.

    Thresholds in between decide alike: it is the middle between the two scores beside it (of 0 and 1 at the ends), the
    smallest of several.

    Parameters as of `edge_curve`; scores in [0, 1].
    """
    values, inside, mass = _edge_arrays(scores, same, weights)
    if not mass.sum() > 0:
        raise InputError("no contact can be judged, so no share of them is wrong")
    costs, places = np.unique(1 - values, return_inverse=True)
    gains = np.bincount(places, np.where(inside, -mass, mass), len(costs))
    wrong = np.append(0.0, np.cumsum(gains)) + (mass * inside).sum()
    if len(costs) and costs[-1] >= 1:
        wrong = wrong[:-1]  # edges of score 0 merge at no threshold
    best = int(np.argmin(wrong))
    ends = np.concatenate([[0.0], costs, [1.0]])
    return float(ends[best : best + 2].mean()), float(wrong[best] / mass.sum())


def edge_samples(
    scores: Sequence[ArrayLike],
    truth: EdgeTruth,
    weights: ArrayLike | None = None,
    *,
    repeats: int = 1000,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Areas under the curves of several scores, for resampled neurons.

    Edges of one neuron are not independent, so whole neurons are drawn, with replacement; an edge counts as often as its
    neuron was drawn, between two neurons as often as both together. All scores see the same draws: their differences are
    paired.

    Parameters
    ----------
    scores : sequence of (n,) numbers
        Of all edges of the region graph.
    truth : EdgeTruth
        Of the same edges.
    weights : (n,) numbers, optional
        As of `edge_curve`, of all edges.
    repeats : int
    rng : numpy.random.Generator

    Returns
    -------
    (score, repeat) float64

    Raises
    ------
    InputError
        If fewer than 20 neurons take part.
    """
    judged = truth.judged
    neurons, indices = np.unique(truth.neurons[judged], return_inverse=True)
    check_spread(len(neurons), "neurons with judged contacts")
    one, other = indices.reshape(-1, 2).T
    values = [np.asarray(each, np.float64)[judged] for each in scores]
    same = truth.same[judged]
    mass = np.ones(len(same)) if weights is None else np.asarray(weights, np.float64)[judged]
    samples = np.full((len(values), repeats), np.nan)
    for repeat in range(repeats):
        drawn = np.bincount(rng.integers(len(neurons), size=len(neurons)), minlength=len(neurons))
        weight = mass * np.where(same, drawn[one], drawn[one] * drawn[other])
        if (weight * same).sum() > 0:
            samples[:, repeat] = [edge_curve(each, same, weight).area for each in values]
    return samples


def majorities(
    ids: NDArray[np.uint64], table: OverlapTable
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the majority neuron of each fragment, and count its voxels.

    Counted are the voxels in the majority neuron, and all annotated voxels. Of several equally large neurons the
    majority is the one of the smallest id.
    """
    listed = np.isin(table.segments, ids)
    segments, truths, counts = (array[listed] for array in (table.segments, table.truths, table.counts))
    positions = np.searchsorted(ids, segments)
    annotated = np.zeros(len(ids), np.int64)
    np.add.at(annotated, positions, counts)
    order = np.lexsort((truths, -counts, positions))
    first = order[np.flatnonzero(np.diff(positions[order], prepend=-1))]
    neurons, voxels = np.zeros(len(ids), np.uint64), np.zeros(len(ids), np.int64)
    neurons[positions[first]], voxels[positions[first]] = truths[first], counts[first]
    return neurons, voxels, annotated


def _edge_arrays(
    scores: ArrayLike, same: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    values, inside = np.asarray(scores, np.float64), np.asarray(same, bool)
    mass = np.ones(values.shape) if weights is None else np.asarray(weights, np.float64)
    if not values.shape == inside.shape == mass.shape or values.ndim != 1:
        raise InputError(
            f"scores, truth and weights must be lists of one length, not of shapes {values.shape}, {inside.shape} and "
            f"{mass.shape}"
        )
    if len(mass) and not (np.isfinite(values).all() and np.isfinite(mass).all() and mass.min() >= 0):
        raise InputError("scores must be finite, and weights finite numbers of at least 0")
    return values, inside, mass
