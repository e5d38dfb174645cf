"""How much scores would differ with other neurons.

This is the bootstrap of whole true objects.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable
from clew.evaluation.scores import object_sizes, segment_sizes

FEWEST_NEURONS = 20
"""With fewer neurons no interval is given: resampling them would say little about others."""


def check_spread(count: int, what: str) -> None:
    """Refuse a spread over fewer than 20 of something."""
    if count < FEWEST_NEURONS:
        raise InputError(f"a spread needs at least {FEWEST_NEURONS} {what}, not {count}")


def object_bits(table: OverlapTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each true object adds to VOI.

    Parameters
    ----------
    table : OverlapTable

    Returns
    -------
    voxels : (objects,) float64
        Of each object, by ascending id.
    bits : (objects,) float64
        Bits of split and merge, added up over the voxels of the object. The VOI sum is `bits.sum() / voxels.sum()`.
    """
    segments, objects = segment_sizes(table), object_sizes(table)
    bits = table.counts * (np.log2(segments) + np.log2(objects) - 2 * np.log2(table.counts))
    _, places = np.unique(table.truths, return_inverse=True)
    return np.bincount(places, table.counts).astype(np.float64), np.bincount(places, bits).astype(np.float64)


def voi_intervals(tables: Iterable[OverlapTable], *, repeats: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Intervals (95 %) of the VOI sum of several segmentations of the same truth.

    Whole true objects are drawn, with replacement, and VOI is the mean over their voxels. All segmentations see the same
    draws: their differences are paired.

    Parameters
    ----------
    tables : iterable of OverlapTable
        Of the same true objects.
    repeats : int
    seed : int

    Returns
    -------
    (segmentations, 2) float64
        Low and high ends.

    Raises
    ------
    InputError
        If the truth has fewer than 20 objects.
    """
    voxels, bits = zip(*map(object_bits, tables), strict=True)
    count, costs = len(voxels[0]), np.stack(bits)
    check_spread(count, "true objects")
    rng, samples = np.random.default_rng(seed), np.empty((len(costs), repeats))
    for repeat in range(repeats):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        samples[:, repeat] = costs @ drawn / (voxels[0] @ drawn)
    return np.percentile(samples, (2.5, 97.5), axis=1).T
