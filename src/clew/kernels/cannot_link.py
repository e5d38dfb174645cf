"""Which regions may not merge: on which side of each split they lie.

A region has a chain of sides, by ascending split; two regions conflict where one split has them on different sides.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import at, inline

# columns of a side
SPLIT, SIDE, NEXT = 0, 1, 2
SEVERAL = -1
"""The side of a fragment that lies on several sides of one split: no other region has it."""


class Sides(NamedTuple):
    """The sides of m regions.

    Parameters
    ----------
    heads : (m,) int32
        First row of each region; -1 for none. Of length 0 where no region has a side: nothing is asked then.
    rows : (n, 3) int32
        Split, side and next row of the region, -1 for none.
    """

    heads: np.ndarray
    rows: np.ndarray


NO_SIDES = Sides(np.empty(0, np.int32), np.empty((0, 3), np.int32))
"""Those of any number of regions without any."""


def chained_sides(regions: np.ndarray, splits: np.ndarray, sides: np.ndarray, count: int) -> Sides:
    """Chain the sides of each of `count` regions.

    Parameters
    ----------
    regions, splits, sides : (n,) integers, at least one
        In the order of region, then split, each pair of these once.
    count : int

    Returns
    -------
    Sides
    """
    first = np.append(True, regions[1:] != regions[:-1])
    heads = np.full(count, -1, np.int32)
    heads[regions[first]] = np.flatnonzero(first)
    following = np.arange(1, len(regions) + 1)
    following[np.append(first[1:], True)] = -1
    return Sides(heads, np.stack([splits, sides, following], axis=1).astype(np.int32))


@inline
def conflict(sides, one, two):
    """Tell whether two regions lie on different sides of a split."""
    rows, mine, yours = sides.rows, np.int64(sides.heads[at(one)]), np.int64(sides.heads[at(two)])
    while mine >= 0 and yours >= 0:
        difference = np.int64(rows[at(mine), SPLIT]) - np.int64(rows[at(yours), SPLIT])
        if difference == 0 and (rows[at(mine), SIDE] != rows[at(yours), SIDE] or rows[at(mine), SIDE] == SEVERAL):
            return True
        if difference <= 0:
            mine = np.int64(rows[at(mine), NEXT])
        if difference >= 0:
            yours = np.int64(rows[at(yours), NEXT])
    return False


@inline
def unite_sides(sides, stays, goes):
    """Put the sides of both regions into the chain of the one that stays.

    They do not conflict: of a side that both have, one row is kept.
    """
    heads, rows = sides.heads, sides.rows
    mine, yours = np.int64(heads[at(stays)]), np.int64(heads[at(goes)])
    last = np.int64(-1)
    while mine >= 0 or yours >= 0:
        if mine >= 0 and yours >= 0 and rows[at(mine), SPLIT] == rows[at(yours), SPLIT]:
            yours = np.int64(rows[at(yours), NEXT])
            continue
        taken = mine
        if mine < 0 or (yours >= 0 and rows[at(yours), SPLIT] < rows[at(mine), SPLIT]):
            taken = yours
            yours = np.int64(rows[at(yours), NEXT])
        else:
            mine = np.int64(rows[at(mine), NEXT])
        if last < 0:
            heads[at(stays)] = taken
        else:
            rows[at(last), NEXT] = taken
        last = taken
