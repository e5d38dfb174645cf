"""Merges and splits that a person made, replayed at any threshold."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.kernels.forest import unite_indices
from clew.kernels.relabel import positions_of
from clew.proofreading.pieces import Division, divided_graph, owners_of, resolve_pairs
from clew.proofreading.split import contact_strengths, minimum_cut
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.region_graph import RegionGraph
from clew.segmentation.relabel import segment_lookup

Ids = NDArray[np.uint64]


def _no_pairs() -> Ids:
    return np.zeros((0, 2), np.uint64)


@dataclass(frozen=True)
class Correction:
    """One merge, or one split.

    Parameters
    ----------
    sources, sinks : (n,) uint64
        Fragments: of a merge, one each; of a split, two sides.
    cut : (k, 2) uint64
        Of a split, the contacts that it cuts, smaller fragment first; none of a merge.
    is_split : bool
    """

    sources: Ids
    sinks: Ids
    cut: Ids = field(default_factory=_no_pairs)
    is_split: bool = False

    @property
    def links(self) -> Ids:
        """Pairs of fragments that it joins.

        The two of a merge, those of each side of a split.
        """
        if not self.is_split:
            return np.sort(np.column_stack([self.sources, self.sinks]), axis=1)
        sides = [np.sort(np.column_stack([side[:-1], side[1:]]), axis=1) for side in (self.sources, self.sinks)]
        return np.concatenate(sides)


class Segments:
    """Fragments that hang together, while corrections change how.

    Parameters
    ----------
    graph : RegionGraph
    tree : MergeTree
        Of this graph.
    threshold : float
        Where the tree is cut before any correction.
    divisions : sequence of Division
        Fragments that are divided before any correction; corrections name their pieces.
    """

    def __init__(
        self, graph: RegionGraph, tree: MergeTree, threshold: float, divisions: Sequence[Division] = ()
    ) -> None:
        if not np.array_equal(graph.fragments, tree.fragments):
            raise InputError("region graph and merge tree must be of the same fragments")
        self.graph = divided_graph(graph, divisions)
        fragments = self.graph.fragments
        self._ends = positions_of(fragments, self.graph.edges).astype(np.int32)  # half of what is held for each contact
        # contacts are in the order of their smaller fragments: those of one segment are found without a look at all
        self._firsts = np.append(0, np.cumsum(np.bincount(self._ends[:, 0], minlength=len(fragments))))
        self.owners = np.arange(len(fragments))
        if divisions:
            self.owners = positions_of(graph.fragments, owners_of(fragments, divisions))
        segments = segment_lookup(tree, threshold)[self.owners]
        self._joined = segments[self._ends[:, 0]] == segments[self._ends[:, 1]]
        links = positions_of(fragments, resolve_pairs(tree.must_link, divisions))
        self._links: set[tuple[int, int]] = set(map(tuple, links.tolist()))
        if divisions:  # what is divided may have given its segment the name, and falls apart
            self._roots = np.zeros(len(fragments), np.int64)
            self._unite_anew(self._roots[:1])
        else:
            self._roots = self._places(segments)
        self._begun = self._joined.copy(), self._links.copy(), self._roots

    def restart(self) -> None:
        """Take all corrections back."""
        joined, links, self._roots = self._begun
        self._joined, self._links = joined.copy(), links.copy()

    def correct(self, *corrections: Correction) -> None:
        """Do corrections in their order: cut what each cuts, then join what it joins."""
        touched = [np.zeros(0, np.int64)]
        for correction in corrections:
            cut, links = self._places(correction.cut), self._places(correction.links)
            self._joined[self._rows_of(cut)] = False
            self._links.difference_update(map(tuple, cut.tolist()))
            self._links.update(map(tuple, links.tolist()))
            touched += [cut.ravel(), links.ravel()]
        self._unite_anew(np.unique(self._roots[np.concatenate(touched)]))

    def roots(self) -> NDArray[np.int64]:
        """Position of the smallest fragment that each fragment hangs together with.

        The array is one's own: later corrections do not change it.
        """
        return self._roots

    def lookup(self) -> Ids:
        """The segment of each fragment, the smallest fragment in it."""
        return self.graph.fragments[self._roots]

    def hold(self, correction: Correction) -> bool:
        """Whether a correction holds: what it joins is together, what it splits apart."""
        if correction.is_split:
            return self.are_apart(correction.sources, correction.sinks)
        one, other = (self._roots[self._places(ids)] for ids in (correction.sources, correction.sinks))
        return bool((one == other).all())

    def root_of(self, fragment: int) -> int:
        """Position of the smallest fragment that one hangs together with."""
        return int(self._roots[self._places(np.array([fragment], np.uint64))[0]])

    def members(self, root: int) -> NDArray[np.int64]:
        """Positions of the fragments that hang together with one, ascending."""
        return np.flatnonzero(self._roots == root)

    def strongest_contact(self, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Positions (2,) of the fragments of the strongest contact of two sets.

        None where they do not touch.
        """
        rows = self._rows_from(np.flatnonzero(one | other))
        low, high = self._ends[rows].T
        rows = rows[(one[low] & other[high]) | (other[low] & one[high])]
        if not len(rows):
            return None
        return self._ends[rows[contact_strengths(self.graph, rows).argmax()]]

    def path(self, one: int, other: int) -> NDArray[np.int64]:
        """Positions of the fragments on the way from one to another of the same segment.

        Of all ways that whose weakest contact is the strongest; what a person joined counts as the strongest contact.

        Raises
        ------
        InputError
            For fragments of two segments.
        """
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

        if self._roots[one] != self._roots[other]:
            raise InputError("no path leads from one point to the other: they are in two segments")
        inside = self._roots == self._roots[one]
        members = np.flatnonzero(inside)
        ends, strengths = self._weighted(inside)
        order = np.argsort(-strengths, kind="stable")
        pairs, first = np.unique(np.sort(np.searchsorted(members, ends[order]), axis=1), axis=0, return_index=True)
        values = 1 / np.maximum(strengths[order][first], 1)
        costs = coo_matrix((values, tuple(pairs.T)), (len(members),) * 2).tocsr()
        start, at = np.searchsorted(members, [one, other]).tolist()
        before = breadth_first_order(minimum_spanning_tree(costs), start, directed=False)[1]
        way = [at]
        while way[-1] != start:
            way.append(int(before[way[-1]]))
        return members[way[::-1]]

    def _unite_anew(self, touched: NDArray[np.int64]) -> None:
        """Find out what hangs together in the segments with these roots."""
        inside = self._inside(touched)
        members = np.flatnonzero(inside)
        ends, _ = self._contacts_inside(inside)
        local = np.searchsorted(members, ends)
        self._roots = self._roots.copy()
        self._roots[members] = members[unite_indices(local[:, 0], local[:, 1], len(members))]

    def _inside(self, roots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which fragments belong to the segments with these roots."""
        chosen = np.zeros(len(self._roots), bool)
        chosen[roots] = True
        return chosen[self._roots]

    def _contacts_inside(self, inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The contacts and links that hold whole segments together.

        Their ends (n + k, 2), and the rows (n,) of the contacts, which come first.
        """
        rows = self._rows_from(np.flatnonzero(inside))
        rows = rows[self._joined[rows]]
        links = self._link_array()
        return np.concatenate([self._ends[rows], links[inside[links].all(axis=1)]]), rows

    def split(self, sources: Ids, sinks: Ids) -> Correction:
        """The minimum cut between two groups of fragments, not done yet.

        Raises
        ------
        InputError
            For a fragment on both sides, or where no path leads from one side to the other.
        """
        sides = [self._side(ids) for ids in (sources, sinks)]
        both = np.intersect1d(sides[0], sides[1])
        if both.size:
            raise InputError(f"fragment {self.graph.fragments[both[0]]} is on both sides of the split")
        roots = self.roots()
        if self.are_apart(sources, sinks):
            raise InputError("the two sides of the split are different segments already: nothing to split")
        inside = self._inside(roots[np.concatenate(sides)])
        ends, every = self._weighted(inside)
        cut = ends[minimum_cut(ends, every, self.graph.sizes, *sides)]
        pairs = np.unique(np.sort(self.graph.fragments[cut], axis=1), axis=0)
        one, other = (self.graph.fragments[side] for side in sides)
        return Correction(one, other, pairs, is_split=True)

    def are_apart(self, sources: Ids, sinks: Ids) -> bool:
        """Whether no segment holds fragments of both groups."""
        one, other = (self._roots[self._side(ids)] for ids in (sources, sinks))
        return not np.intersect1d(one, other).size

    def touch(self, segments: Ids) -> bool:
        """Whether some contact is one of two of these segments.

        Segments are named by their smallest fragments.
        """
        chosen = np.isin(self.graph.fragments[self._roots], segments)[self._ends].all(axis=1)
        one, other = self._roots[self._ends[chosen]].T
        return bool((one != other).any())

    def _weighted(self, inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The contacts and links inside whole segments, and their strengths."""
        ends, rows = self._contacts_inside(inside)
        strengths = contact_strengths(self.graph, rows)
        # a link is as strong as the strongest contact: what a person joined is cut last
        return ends, np.concatenate([strengths, np.full(len(ends) - len(rows), strengths.max(initial=1))])

    def _side(self, ids: Ids) -> NDArray[np.int64]:
        places = self._places(np.unique(ids))
        if not len(places) or (places < 0).any():
            raise InputError("each side of a split needs a fragment at least, and only fragments of the region graph")
        return places

    def _rows_of(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the contacts among some pairs of positions."""
        rows = self._rows_from(np.unique(pairs[:, 0]))
        count = len(self.graph.fragments)
        keys, wanted = (ends[:, 0].astype(np.int64) * count + ends[:, 1] for ends in (self._ends[rows], pairs))
        return rows[np.isin(keys, wanted)]

    def _rows_from(self, fragments: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the contacts whose smaller fragment is one of these.

        Ascending, as these are.
        """
        starts, lengths = self._firsts[fragments], self._firsts[fragments + 1] - self._firsts[fragments]
        return np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())

    def _places(self, ids: Ids) -> NDArray[np.int64]:
        """Positions of a few fragments, -1 for what is none."""
        fragments = self.graph.fragments
        places = np.minimum(np.searchsorted(fragments, ids), len(fragments) - 1)
        return np.where(fragments[places] == ids, places, -1)

    def _link_array(self) -> NDArray[np.int64]:
        return np.array(sorted(self._links), np.int64).reshape(-1, 2)


def replay(segments: Segments, corrections: Sequence[Correction]) -> tuple[Ids, list[int]]:
    """Do all corrections in their order, on segments without any.

    A later correction may undo what an earlier one did, and another threshold may join what was cut: after all, each correction
    either holds or is listed.

    Parameters
    ----------
    segments : Segments
    corrections : sequence of Correction

    Returns
    -------
    lookup : (m,) uint64
        The segment of each of `segments.graph.fragments`, the smallest fragment in it.
    broken : list of int
        Positions of the merges whose two fragments are apart, and of the splits of which a source and a sink are together.
    """
    segments.correct(*corrections)
    return segments.lookup(), [number for number, made in enumerate(corrections) if not segments.hold(made)]
