"""Segments at any threshold, looked up as a person moves it."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.relabel import segment_lookup

STEPS = 100
"""The threshold moves in hundredths, from 0 to `STEPS`."""
KEPT_LOOKUPS = 32
"""Thresholds whose segments are kept: 8 MB each for a million fragments."""


class Runs(NamedTuple):
    """Voxels in C order as runs of one id: the ids, and how many voxels each."""

    ids: NDArray[np.uint64]
    lengths: NDArray[np.int64]


def runs_of(values: NDArray[np.unsignedinteger]) -> Runs:
    """Voxels as runs of equal ids: ids are looked up once for each."""
    flat = np.ascontiguousarray(values).reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    return Runs(flat[starts].astype(np.uint64), np.diff(starts, append=flat.size))


class Cuts:
    """The cuts of a merge tree at all thresholds.

    Parameters
    ----------
    tree : MergeTree
    """

    def __init__(self, tree: MergeTree) -> None:
        self.fragments = np.asarray(tree.fragments, np.uint64)
        self.dtype = np.dtype(np.uint64 if self.fragments.size and self.fragments[-1] > 0xFFFFFFFF else np.uint32)
        self._ending = np.append(self.fragments, np.uint64(0))
        self._lookup = lru_cache(KEPT_LOOKUPS)(lambda step: np.append(segment_lookup(tree, step / STEPS), np.uint64(0)))

    def positions(self, ids: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Where ids stand among the fragments, −1 for 0.

        Raises
        ------
        InputError
            For an id that the tree does not know.
        """
        found = np.searchsorted(self.fragments, ids)
        strange = (self._ending[found] != ids) & (ids != 0)
        if strange.any():
            raise InputError(f"fragment {ids[strange][0]} is not in the merge tree, which was made of other fragments")
        return np.where(ids == 0, -1, found).astype(np.int32)

    def segments(self, positions: NDArray[np.int32], step: int) -> NDArray[np.uint64]:
        """The segments of fragments, by their positions, at a threshold in hundredths.

        0 for −1.
        """
        found: NDArray[np.uint64] = self._lookup(step)[positions]
        return found

    def members(self, segment: int, step: int) -> NDArray[np.uint64]:
        """The fragments of a segment, ascending."""
        return self.fragments[self._lookup(step)[:-1] == np.uint64(segment)]
