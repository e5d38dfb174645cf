"""Agglomeration: merge the best edge of the region graph again and again.

The result is one merge tree.
"""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_array, as_ids
from clew.errors import InputError
from clew.kernels import agglomeration as kernels
from clew.kernels import agglomeration_layout as layout
from clew.kernels.cannot_link import Sides
from clew.kernels.relabel import positions_of
from clew.segmentation.constraints import (
    Constraints,
    chain_sides,
    checked_constraints,
    linked_regions,
    sides_of_regions,
)
from clew.segmentation.histograms import contract_contacts
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph, checked_graph, edge_positions, strictly_ascending

SCORE_NAMES = (
    "mean, hist_quant_Q and hist_quant_Q_init_max with Q from 0 to 100, mean_top_K with K from 1 to 1000, aff75_his256"
)
_SCORE = re.compile(
    r"(?P<mean>mean)|hist_quant_(?P<percent>\d{1,3})(?P<maximum>_init_max)?|mean_top_(?P<largest>\d{1,4})"
)


class Score(NamedTuple):
    """A score name taken apart.

    The kind for the kernels, the percent of a quantile, whether it is init-with-max, and how many largest values.
    """

    kind: int
    percent: int
    maximum: bool
    largest: int


@dataclass(frozen=True)
class MergeTree:
    """All merges in the order in which they happened.

    Every threshold is a cut of this one tree.

    Parameters
    ----------
    fragments : (m,) uint64
        Ids, ascending.
    sizes : (m,) int64
        Voxels of each fragment.
    merges : (n, 2) uint64
        (survivor, absorbed): the smallest fragment ids of the two regions, the survivor's is the smaller.
    scores : (n,) float32
        The statistic in [0, 1] at which they merged.
    score : str
        Name of the statistic.
    must_link : (k, 2) uint64
        Smallest fragment and another one that are one region before the first merge, at every threshold.
    cannot_link : (l, 3) uint64
        The constraint of this name under which it was made (`Constraints`): no merge breaks it, nor may what joins dust.

    Examples
    --------
    >>> fragments = np.array([[[1, 1, 3, 3]]], np.uint64)
    >>> tree = clew.agglomerate(clew.build_region_graph(np.full((3, 1, 1, 4), 204, np.uint8), fragments))
    >>> tree.merges.tolist(), round(float(tree.scores[0]), 3)
    ([[1, 3]], 0.8)
    """

    fragments: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    merges: NDArray[np.uint64]
    scores: NDArray[np.float32]
    score: str
    must_link: NDArray[np.uint64] = field(default_factory=lambda: Constraints().must_link)
    cannot_link: NDArray[np.uint64] = field(default_factory=lambda: Constraints().cannot_link)

    @cached_property
    def cuts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each fragment, when and by which other one its region was taken in.

        The other is given by its position, the time as the score in 65535ths.

        Its own place and -1 where none did. The score is the lowest up to that merge, so that a threshold always keeps
        a beginning of the sequence.
        """
        fragments, merges = as_ids(self.fragments, "fragments"), as_ids(self.merges, "merges")
        links = as_ids(self.must_link, "must_link").reshape(-1, 2)
        steps = as_array(self.scores, "scores").astype(np.float64).reshape(-1)
        listed = fragments.ndim == 1 and strictly_ascending(fragments)
        if not listed or merges.shape != (len(steps), 2) or not ((steps >= 0) & (steps <= 1)).all():
            raise InputError(
                "the merge tree is broken: it must have ascending fragments, and two of them and a score in [0, 1] "
                "for each merge"
            )
        survivors, absorbed = positions_of(fragments, np.concatenate([links, merges])).T
        ordered = (survivors >= 0).all() and (survivors < absorbed).all()
        if not ordered or (np.bincount(absorbed, minlength=1) > 1).any():
            raise InputError(
                "the merge tree is broken: merges must be of its fragments, survivor < absorbed, each absorbed once"
            )
        parents, levels = np.arange(len(fragments)), np.full(len(fragments), -1)
        parents[absorbed] = survivors
        falling = np.minimum.accumulate(np.rint(steps * layout.FULL).astype(np.int64))
        # a link is above the best score, so that a threshold of 0 keeps it, too
        levels[absorbed] = np.concatenate([np.full(len(links), layout.FULL + 1), falling])
        return parents, levels


def parse_score(name: str) -> Score:
    """Take a score name apart.

    Raises
    ------
    InputError
        For an unknown name; the message lists those there are.
    """
    found = _SCORE.fullmatch("hist_quant_75" if name == "aff75_his256" else name)
    if not found:
        raise InputError(f"there is no score {name!r}: choose one of {SCORE_NAMES}")
    percent, largest = int(found["percent"] or 0), int(found["largest"] or 1)
    if percent > 100 or not 1 <= largest <= 1000:
        raise InputError(f"the number in score {name!r} is out of range: choose one of {SCORE_NAMES}")
    if found["mean"]:
        return Score(layout.MEAN, 0, False, 0)
    if found["largest"]:
        return Score(layout.TOP, 0, False, largest)
    return Score(layout.QUANTILE, percent, bool(found["maximum"]), 0)


def agglomerate(
    graph: RegionGraph,
    *,
    options: AgglomerationOptions = AgglomerationOptions(),
    constraints: Constraints = Constraints(),
) -> MergeTree:
    """Merge the best two regions again and again, into a merge tree.

    The best are those of the highest score. Edges that become parallel are pooled; it ends when no edge reaches the
    floor.

    The order is strict: higher score first, ties by the smaller key; the key of an edge is its pair of fragment ids, a
    pooled edge takes the largest of its keys. Scores along the sequence never rise (but for `mean_top_K`).
    Exact at block borders by reciprocal best edges, but for `mean_top_K`, which needs one queue of the whole graph.
    Paper, section 2.3.

    Parameters
    ----------
    graph : RegionGraph
    options : AgglomerationOptions
        Score and floor.
    constraints : Constraints
        What is one region before the first merge, and which regions never merge: an edge between these is dropped as if the two
        did not touch. The tree records both.

    Returns
    -------
    MergeTree

    Raises
    ------
    InputError
        For an unknown score, a floor outside [0, 1], a graph that is too large or inconsistent, or constraints that contradict
        each other or name other fragments.

    Examples
    --------
    Three fragments in a row: the first two merge at 0.9, the third joins them at 0.2.

    >>> affinities = np.zeros((3, 1, 1, 3), np.float32)
    >>> affinities[2, 0, 0] = 0, 0.9, 0.2
    >>> graph = clew.build_region_graph(affinities, np.array([[[1, 2, 3]]], np.uint64))
    >>> tree = clew.agglomerate(graph, options=clew.AgglomerationOptions(score="mean"))
    >>> tree.merges.tolist(), tree.scores.round(1).tolist() == np.float32([0.9, 0.2]).tolist()
    ([[1, 2], [1, 3]], True)
    """
    graph = checked_graph(graph)
    found = checked_constraints(constraints, graph.fragments)
    regions = linked_regions(graph.fragments, found.must_link)
    sides = sides_of_regions(found.cannot_link, graph.fragments, regions)
    linked = initial_graph(graph, options.score)
    if len(found.must_link):
        linked = _contracted(linked, regions)
    positions, levels = merge_edges(linked, options, 0, sides)
    scores = (levels / layout.FULL).astype(np.float32)
    merges = linked.fragments[positions]
    return MergeTree(graph.fragments, graph.sizes, merges, scores, options.score, found.must_link, found.cannot_link)


def initial_graph(graph: RegionGraph, score: str) -> RegionGraph:
    """The graph with what the score takes from each initial contact.

    With init-with-max it is one value, the largest.
    """
    if not parse_score(score).maximum:
        return graph
    starts = np.arange(len(graph.edges) + 1)
    return replace(
        graph, starts=starts, bins=graph.bins[graph.starts[1:] - 1], counts=np.ones(len(starts) - 1, np.int64)
    )


def contact_scores(graph: RegionGraph, score: str) -> NDArray[np.float32]:
    """The score of each contact by itself, before anything is merged.

    Parameters
    ----------
    graph : RegionGraph
    score : str
        As of `AgglomerationOptions.score`.

    Returns
    -------
    (n,) float32 in [0, 1], in the order of `graph.edges`

    Raises
    ------
    InputError
        For an unknown score, or a graph that is too large or inconsistent.
    """
    levels = kernels.first_levels(_rule(score, 0.0, 0), *_checked_tables(initial_graph(graph, score)))
    return (levels / layout.FULL).astype(np.float32)


def _contracted(graph: RegionGraph, regions: NDArray[np.uint64]) -> RegionGraph:
    """The graph of the region of each fragment, its edges in the order of their keys.

    Of contacts that become parallel the largest key counts, as everywhere.
    """
    ends = regions[edge_positions(graph.fragments, graph.edges)]
    rows, cells = contract_contacts(ends, (graph.starts, graph.bins, graph.counts))
    ids, indices = np.unique(regions, return_inverse=True)
    sizes = np.zeros(len(ids), np.int64)
    np.add.at(sizes, indices, graph.sizes)
    return RegionGraph(ids, sizes, np.sort(ends[rows], axis=1), *cells)


def merge_edges(
    graph: RegionGraph, options: AgglomerationOptions, minimum_size: int, cannot_link: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Merges (survivor, absorbed) and score levels in 65535ths.

    Regions are given by their positions in `graph.fragments`.

    With a `minimum_size` above 0 only edges with a region of fewer voxels are merged.
    `cannot_link` is (region, split, side), of the graph's fragments.
    """
    held, sides = np.zeros(len(graph.fragments), bool), chain_sides(cannot_link, graph.fragments)
    merged = run_merges(graph, options, minimum_size, held, sides)
    return merged.pairs[:, : layout.ABSORBED + 1], merged.levels


def run_merges(
    graph: RegionGraph, options: AgglomerationOptions, minimum_size: int, held: NDArray[np.bool_], sides: Sides
) -> kernels.Merged:
    """Merge best edges between regions that are neither held nor to stay apart.

    Edges must be in the order of their keys.
    """
    rule = _rule(options.score, options.floor, minimum_size)
    return kernels.merge_regions(rule, *_checked_tables(graph), held, sides)


def _rule(score: str, floor: float, minimum_size: int) -> layout.Rule:
    """Score and floor as the kernels take them."""
    kind, percent, _, largest = parse_score(score)
    if not 0 <= floor <= 1:
        raise InputError(f"floor must be in [0, 1], not {floor}")
    lowest = int(np.ceil(np.round(floor * layout.FULL / layout.level_step(kind), 6)))
    return layout.Rule(kind, percent, largest, lowest, minimum_size)


def _checked_tables(graph: RegionGraph) -> tuple[NDArray[np.int64], NDArray[np.int64], layout.Histograms]:
    """Ends of the edges, sizes of the regions and histograms, for the kernels."""
    if len(graph.edges) >= 2**30 or len(graph.fragments) >= 2**30:
        raise InputError(
            "the region graph is too large (2^30 edges or fragments or more): agglomerate it block by block"
        )
    histograms = layout.Histograms(graph.starts, graph.bins, graph.counts)
    return edge_positions(graph.fragments, graph.edges), graph.sizes, histograms
