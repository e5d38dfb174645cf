"""Scores of a segmentation: variation of information, Rand error, CREMI score."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable, checked_table, overlap_table, relabel_table
from clew.labels import sizes_by_id


@dataclass(frozen=True)
class Scores:
    """How far a segmentation is from the truth; 0 is perfect.

    Voxels of truth 0 are ignored; all others count.

    Parameters
    ----------
    voi_split : float
        H(segmentation | truth) in bits: objects that fell apart.
    voi_merge : float
        H(truth | segmentation) in bits: segments that hold several objects.
    voi_sum : float
        Both together.
    adapted_rand_error : float
        1 − 2PR/(P + R) of the pairs of voxels, in [0, 1].
    cremi_score : float
        sqrt(voi_sum · adapted_rand_error).

    Examples
    --------
    >>> truth = np.array([[[1, 1, 2, 2]]])
    >>> clew.evaluate(truth, truth)
    Scores(voi_split=0.0, voi_merge=0.0, voi_sum=0.0, adapted_rand_error=0.0, cremi_score=0.0)
    """

    voi_split: float
    voi_merge: float
    voi_sum: float
    adapted_rand_error: float
    cremi_score: float


def evaluate(segmentation: Any, truth: Any) -> Scores:
    """Score a segmentation against the truth.

    Parameters
    ----------
    segmentation : (z, y, x) whole numbers
        Ids of any size. Voxels of 0 count as one segment.
    truth : (z, y, x) whole numbers
        Voxels of 0 are ignored.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        If the shapes differ, ids are negative or not whole numbers, or no voxel is annotated.

    Examples
    --------
    Two neurons merged into one segment cost one bit:

    >>> truth = np.array([[[1, 1, 2, 2]]])
    >>> scores = clew.evaluate(np.ones_like(truth), truth)
    >>> scores.voi_split, scores.voi_merge
    (0.0, 1.0)
    """
    return score_table(overlap_table(segmentation, truth))


def score_table(table: OverlapTable) -> Scores:
    """Score an overlap table.

    Parameters
    ----------
    table : OverlapTable

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        If it is empty.
    """
    table = checked_table(table)
    check_annotated(table)
    counts = table.counts.astype(np.float64)
    voxels = counts.sum()
    sizes, objects = segment_sizes(table), object_sizes(table)
    split = float(counts @ np.log2(objects / counts) / voxels)
    merge = float(counts @ np.log2(sizes / counts) / voxels)
    # P = Σp² / Σs² and R = Σp² / Σt² give 2PR/(P + R) = 2Σp² / (Σs² + Σt²); a size counts once per pair, so Σs² = Σ p·s
    rand = float(1 - 2 * (counts @ counts) / (counts @ sizes + counts @ objects))
    return Scores(split, merge, split + merge, rand, float(np.sqrt((split + merge) * rand)))


def score_thresholds(table: OverlapTable, ids: ArrayLike, lookups: Iterable[ArrayLike]) -> list[Scores]:
    """Scores of many segmentations of the same fragments, from one overlap table.

    Parameters
    ----------
    table : OverlapTable
        Overlap of the fragments with the truth.
    ids : (fragments,) whole numbers
        Ids of the fragments.
    lookups : iterable of (fragments,) whole numbers
        For each segmentation the segment of each fragment.

    Returns
    -------
    list of Scores
        One for each segmentation.

    Raises
    ------
    InputError
        If a fragment of the table is not among the ids.

    Examples
    --------
    >>> table = clew.overlap_table(np.array([[[1, 2, 3, 4]]]), np.array([[[7, 7, 8, 8]]]))
    >>> apart, right, merged = [1, 2, 3, 4], [1, 1, 3, 3], [1, 1, 1, 1]
    >>> [scores.voi_sum for scores in clew.score_thresholds(table, [1, 2, 3, 4], [apart, right, merged])]
    [1.0, 0.0, 1.0]
    """
    return [score_table(relabel_table(table, ids, lookup)) for lookup in lookups]


def best_threshold(thresholds: Sequence[float], scores: Sequence[Scores]) -> tuple[float, Scores]:
    """The threshold of the smallest VOI sum, with its scores.

    Of several equally good thresholds it is the first.

    Parameters
    ----------
    thresholds : sequence of float
    scores : sequence of Scores
        One for each threshold.

    Returns
    -------
    threshold : float
    scores : Scores

    Raises
    ------
    InputError
        If there are none, or not one score per threshold.
    """
    if len(thresholds) != len(scores) or not scores:
        raise InputError(f"one score per threshold is needed, not {len(scores)} for {len(thresholds)} thresholds")
    best = min(range(len(scores)), key=lambda i: scores[i].voi_sum)
    return thresholds[best], scores[best]


def check_annotated(table: OverlapTable) -> None:
    """Refuse a table without any voxel."""
    if not len(table.counts):
        raise InputError("the truth must hold at least one annotated voxel, but all of it is 0; check its region")


def segment_sizes(table: OverlapTable) -> NDArray[np.float64]:
    """Voxels of the segment of each pair."""
    return sizes_by_id(table.segments, table.counts).astype(np.float64)


def object_sizes(table: OverlapTable) -> NDArray[np.float64]:
    """Voxels of the true object of each pair."""
    return sizes_by_id(table.truths, table.counts).astype(np.float64)
