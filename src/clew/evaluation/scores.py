"""Scores of a segmentation against the truth: variation of information, adapted Rand error, CREMI score."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable, checked_table, overlap_table, relabel_table


@dataclass(frozen=True)
class Scores:
    """How far a segmentation is from the truth; 0 is perfect. Voxels of truth 0 are ignored, nothing else is.

    Parameters
    ----------
    voi_split
        H(segmentation | truth) in bits: objects that fell apart.
    voi_merge
        H(truth | segmentation) in bits: segments that hold several objects.
    voi_sum
        Both together.
    adapted_rand_error
        1 − 2PR/(P + R) of the pairs of voxels, in [0, 1].
    cremi_score
        sqrt(voi_sum · adapted_rand_error).
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
    segmentation
        (z, y, x) whole numbers of any size. Voxels of 0 count as one segment.
    truth
        (z, y, x) whole numbers; voxels of 0 are ignored.

    Raises
    ------
    InputError
        If the shapes differ, ids are negative or not whole numbers, or no voxel is annotated.
    """
    return score_table(overlap_table(segmentation, truth))


def score_table(table: OverlapTable) -> Scores:
    """Score an overlap table.

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
    """Scores of many segmentations of one set of fragments, from one overlap table of the fragments.

    Parameters
    ----------
    table
        Overlap of the fragments with the truth.
    ids
        (fragments,) ids of the fragments.
    lookups
        For each segmentation (fragments,) the segment of each fragment.
    """
    return [score_table(relabel_table(table, ids, lookup)) for lookup in lookups]


def best_threshold(thresholds: Sequence[float], scores: Sequence[Scores]) -> tuple[float, Scores]:
    """The threshold of the smallest VOI sum, with its scores; of equal ones the first.

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
    """Refuse a table without a voxel."""
    if not len(table.counts):
        raise InputError("the truth must hold at least one annotated voxel, but all of it is 0; check its region")


def segment_sizes(table: OverlapTable) -> NDArray[np.float64]:
    """Voxels of the segment of each pair."""
    return _sizes(table.segments, table.counts)


def object_sizes(table: OverlapTable) -> NDArray[np.float64]:
    """Voxels of the true object of each pair."""
    return _sizes(table.truths, table.counts)


def _sizes(ids: NDArray[np.uint64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    _, number = np.unique(ids, return_inverse=True)
    return np.bincount(number, weights=counts)[number].astype(np.float64)
