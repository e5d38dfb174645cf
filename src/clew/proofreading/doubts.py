"""Which decisions of a merge tree are the most doubtful."""

from collections.abc import Iterable
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.kernels.forest import unite_indices
from clew.kernels.merge_tree import region_sizes
from clew.kernels.relabel import positions_of
from clew.proofreading.corrections import Segments
from clew.segmentation.agglomeration import MergeTree

Rank = Literal["voi", "score", "size"]
"""Most expected VOI first; nearest to the threshold; or largest, of those that are nearer to it than to 0 or 1."""
NEAR = 0.25
"""From this probability of being wrong on, a merge is nearer to the threshold than to 0 or 1."""


class Doubt(NamedTuple):
    """A merge of the tree, and the contact at which to look.

    Parameters
    ----------
    merge : int
        Which one of the tree.
    contact : (2,) uint64
        Of the contacts between the two regions that with the largest sum of affinities, by its fragments.
    done : bool
        Whether the threshold does it.
    score : float
    voxels : (2,) int64
        Of a merge that is done, what it has joined: the smaller region, and the rest of the segment. Of another, the two segments.
    bits : float
        What VOI it costs if the decision is wrong, times the probability of that.
    """

    merge: int
    contact: NDArray[np.uint64]
    done: bool
    score: float
    voxels: NDArray[np.int64]
    bits: float


class Doubts:
    """The merges of a tree, the most doubtful first.

    Merges that are not done are ranked by the segments of the smallest fragments of their two regions. At the threshold a merge is
    as likely right as wrong; from there the probability of being wrong falls in proportion to the distance, to 0 at the scores 0
    and 1.

    Parameters
    ----------
    tree : MergeTree
    threshold : float
    rank : "voi", "score" or "size"
    """

    def __init__(self, tree: MergeTree, threshold: float, rank: Rank = "voi") -> None:
        self.tree, self.cut = tree, 1 - threshold
        self.scores = np.minimum.accumulate(tree.scores.astype(np.float64))
        self._ends = positions_of(tree.fragments, tree.merges)
        self._links = positions_of(tree.fragments, tree.must_link)
        order = {
            "voi": (-self._bits,),
            "score": (-self._wrong,),
            "size": (-self._voxels.min(axis=1), self._wrong < NEAR),
        }
        self.order = np.lexsort(order[rank])

    def next(self, segments: Segments, passed: Iterable[int]) -> Doubt | None:
        """The most doubtful merge that no edit has decided otherwise, but for some."""
        roots = segments.roots()
        divided = len(roots) > len(self.tree.fragments)
        places = positions_of(segments.graph.fragments, self.tree.merges) if divided else self._ends
        together = (roots[places[:, 0]] == roots[places[:, 1]]) | (places < 0).any(axis=1)
        open_ = together == self._done
        open_[list(passed)] = False
        for merge in self.order[open_[self.order]].tolist():
            ends = self._contact(segments, merge)
            if ends is not None and (roots[ends[0]] == roots[ends[1]]) == self._done[merge]:
                return self._doubt(segments, merge, ends)
        return None

    def _doubt(self, segments: Segments, merge: int, ends: NDArray[np.int64]) -> Doubt:
        done, voxels, roots = bool(self._done[merge]), self._voxels[merge], segments.roots()
        if not done:
            voxels = np.array([segments.graph.sizes[roots == roots[end]].sum() for end in ends])
        bits = float(self._voi(voxels[None])[0] * self._wrong[merge])
        return Doubt(merge, segments.graph.fragments[ends], done, float(self.scores[merge]), voxels, bits)

    def merge_of(self, one: int, other: int) -> int | None:
        """The merge that has joined two fragments, by their positions in the tree.

        None where none has.
        """
        parents, times = self._parents
        last = None
        while one != other:
            if times[other] < times[one]:
                one, other = other, one
            if times[one] == len(self._ends):
                return None
            last, one = int(times[one]), int(parents[one])
        return last

    @cached_property
    def _parents(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What each fragment is merged into, and when.

        The number of merges where it never is, -1 for links.
        """
        parents, times = self.tree.cuts[0], np.full(len(self.tree.fragments), len(self._ends))
        times[self._links[:, 1]] = -1
        times[self._ends[:, 1]] = np.arange(len(self._ends))
        return parents, times

    @cached_property
    def _voxels(self) -> NDArray[np.int64]:
        """Voxels of both sides of each decision, (n, 2)."""
        done = int(np.count_nonzero(self._done))  # a beginning: scores fall
        sizes = self.tree.sizes.copy()
        np.add.at(sizes, self._links[:, 0], sizes[self._links[:, 1]])
        small = region_sizes(self._ends[:done], sizes).min(axis=1)
        segments = self._regions(done)
        whole = np.bincount(segments, self.tree.sizes).astype(np.int64)[segments]
        rest = whole[self._ends[:done, 0]] - small
        return np.concatenate([np.stack([small, rest], axis=1), whole[self._ends[done:]]])

    @cached_property
    def _done(self) -> NDArray[np.bool_]:
        return self.scores > self.cut

    @cached_property
    def _wrong(self) -> NDArray[np.float64]:
        """Probability that the decision about each merge is wrong."""
        below = self.scores / max(self.cut, 1e-9)
        above = (1 - self.scores) / max(1 - self.cut, 1e-9)
        return np.where(self._done, above, below).clip(0, 1) / 2

    @cached_property
    def _bits(self) -> NDArray[np.float64]:
        """Expected VOI of each decision."""
        return self._voi(self._voxels) * self._wrong

    def _voi(self, voxels: NDArray[np.int64]) -> NDArray[np.float64]:
        """VOI between two parts and their union, in the whole volume, (n,)."""
        sizes, both = voxels.astype(np.float64), voxels.sum(axis=1).astype(np.float64)
        bits: NDArray[np.float64] = both * np.log2(both) - (sizes * np.log2(np.maximum(sizes, 1))).sum(axis=1)
        return bits / max(self.tree.sizes.sum(), 1)

    def _regions(self, merges: int) -> NDArray[np.int64]:
        """Position of the smallest fragment in the region of each, after some merges."""
        pairs = np.concatenate([self._links, self._ends[:merges]])
        return unite_indices(pairs[:, 0], pairs[:, 1], len(self.tree.fragments))

    def _contact(self, segments: Segments, merge: int) -> NDArray[np.int64] | None:
        """Positions of the fragments of the strongest contact of a merge."""
        regions = self._regions(merge)[segments.owners]
        one, other = (regions == end for end in self._ends[merge])
        return segments.strongest_contact(one, other)
