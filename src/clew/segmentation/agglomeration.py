"""Agglomeration: merge the best edge of the region graph again and again; the result is one merge tree."""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_array, as_ids
from clew.errors import InputError
from clew.kernels import agglomeration as kernels
from clew.kernels import agglomeration_layout as layout
from clew.kernels.relabel import positions_of
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph, checked_graph, places_of, strictly_ascending

SCORE_NAMES = (
    "mean, hist_quant_Q and hist_quant_Q_init_max with Q from 0 to 100, mean_top_K with K from 1 to 1000, aff75_his256"
)
_SCORE = re.compile(
    r"(?P<mean>mean)|hist_quant_(?P<percent>\d{1,3})(?P<maximum>_init_max)?|mean_top_(?P<largest>\d{1,4})"
)


_DEFAULTS = AgglomerationOptions()


class Score(NamedTuple):
    """A score name taken apart: kind for the kernels, percent of a quantile, init-with-max, how many largest values."""

    kind: int
    percent: int
    maximum: bool
    largest: int


@dataclass(frozen=True)
class MergeTree:
    """All merges in the order in which they happened; every threshold is a cut of this one tree.

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
    """

    fragments: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    merges: NDArray[np.uint64]
    scores: NDArray[np.float32]
    score: str

    @cached_property
    def cuts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each fragment, the place of the one that took its region in, and the score in 65535ths at which it did.

        Its own place and -1 where none did. The score is the lowest up to that merge, so that a threshold always keeps
        a beginning of the sequence.
        """
        fragments, merges = as_ids(self.fragments, "fragments"), as_ids(self.merges, "merges")
        steps = as_array(self.scores, "scores").astype(np.float64).reshape(-1)
        listed = fragments.ndim == 1 and strictly_ascending(fragments)
        if not listed or merges.shape != (len(steps), 2) or not ((steps >= 0) & (steps <= 1)).all():
            raise InputError(
                "the merge tree is broken: it must have ascending fragments, and two of them and a score in [0, 1] "
                "for each merge"
            )
        survivors, absorbed = positions_of(fragments, merges).T
        ordered = (survivors >= 0).all() and (survivors < absorbed).all()
        if not ordered or (np.bincount(absorbed, minlength=1) > 1).any():
            raise InputError(
                "the merge tree is broken: merges must name its fragments, survivor < absorbed, each absorbed once"
            )
        parents, levels = np.arange(len(fragments)), np.full(len(fragments), -1)
        parents[absorbed] = survivors
        levels[absorbed] = np.minimum.accumulate(np.rint(steps * layout.FULL).astype(np.int64))
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


def agglomerate(graph: RegionGraph, *, options: AgglomerationOptions = _DEFAULTS) -> MergeTree:
    """Merge the two regions with the highest score, pool edges that become parallel, until no edge reaches the floor.

    The order is strict: higher score first, ties by the smaller key; the key of an edge is its pair of fragment ids, a
    pooled edge takes the largest of its keys. Scores along the sequence never rise (but for `mean_top_K`).
    Exact at block borders by reciprocal best edges, but for `mean_top_K`, which needs one queue of the whole graph.
    Paper, section 2.3.

    Parameters
    ----------
    graph : RegionGraph
    options : AgglomerationOptions
        Score and floor.

    Returns
    -------
    MergeTree

    Raises
    ------
    InputError
        For an unknown score, a floor outside [0, 1] or a graph that is too large or inconsistent.
    """
    graph = checked_graph(graph)
    places, levels = merge_edges(initial_graph(graph, options.score), options, 0)
    scores = (levels / layout.FULL).astype(np.float32)
    return MergeTree(graph.fragments, graph.sizes, graph.fragments[places], scores, options.score)


def initial_graph(graph: RegionGraph, score: str) -> RegionGraph:
    """The graph with what the score takes from each initial contact: with init-with-max one value, its maximum."""
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
    rule, largest = _rule(score, 0.0, 0)
    prepared, _ = _prepared(initial_graph(graph, score), rule, largest)
    return (prepared.edges[:, layout.LEVEL] * _unit(rule.kind) / layout.FULL).astype(np.float32)


def _unit(kind: int) -> int:
    """65535ths of one level of a score."""
    return layout.FULL // 255 if kind == layout.QUANTILE else 1


def merge_edges(
    graph: RegionGraph, options: AgglomerationOptions, minimum_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Merges as places in `graph.fragments` (survivor, absorbed) and score levels in 65535ths.

    With a `minimum_size` above 0 only edges with a region of fewer voxels are merged.
    """
    merged = run_merges(graph, options, minimum_size, np.zeros(len(graph.fragments), bool))
    return merged.merges[:, :2], merged.levels


class Merged(NamedTuple):
    """What the kernels leave: merges as places (survivor, absorbed, key), their levels in 65535ths; kind of score, edges and
    regions with their values."""

    merges: NDArray[np.int64]
    levels: NDArray[np.int64]
    kind: int
    graph: layout.Graph
    values: layout.Values


def run_merges(graph: RegionGraph, options: AgglomerationOptions, minimum_size: int, held: NDArray[np.bool_]) -> Merged:
    """Merge best edges between regions that are not held; edges must be in the order of their keys."""
    rule, largest = _rule(options.score, options.floor, minimum_size)
    prepared, values = _prepared(graph, rule, largest)
    prepared.regions[:, layout.HELD] = held
    merges = layout.Merges(np.empty((len(graph.fragments), 3), np.int64), np.empty(len(graph.fragments), np.int64))
    number, unit = len(prepared.edges), _unit(rule.kind)
    if rule.kind == layout.TOP:
        heap, holders = np.empty(2 * number, np.int64), np.empty(number, np.int32)
        count = kernels.merge_from_heap(rule, prepared, values, heap, holders, merges)
    else:
        queue = _buckets(prepared.edges[:, layout.LEVEL], layout.FULL // unit + 1)
        count = kernels.merge_in_buckets(rule, prepared, values, queue, merges)
    return Merged(merges.pairs[:count], merges.levels[:count] * unit, rule.kind, prepared, values)


def _rule(score: str, floor: float, minimum_size: int) -> tuple[layout.Rule, int]:
    """Score and floor as the kernels take them, and how many largest values the score looks at."""
    kind, percent, _, largest = parse_score(score)
    if not 0 <= floor <= 1:
        raise InputError(f"floor must be in [0, 1], not {floor}")
    lowest = int(np.ceil(np.round(floor * layout.FULL / _unit(kind), 6)))
    return layout.Rule(kind, percent, lowest, minimum_size), largest


def _prepared(graph: RegionGraph, rule: layout.Rule, largest: int) -> tuple[layout.Graph, layout.Values]:
    """What the kernels work on: edges and regions, and the values of the edges."""
    if len(graph.edges) >= 2**30 or len(graph.fragments) >= 2**30:
        raise InputError(
            "the region graph is too large for one piece (2^30 edges or fragments): agglomerate it block by block"
        )
    ends = places_of(graph.fragments, graph.edges)
    edges, regions = _aligned(len(ends)), np.empty((len(graph.fragments), layout.REGION_COLUMNS), np.int32)
    prepared = layout.Graph(
        edges=edges,
        wide=edges.view(np.int64),
        states=np.empty(len(ends), np.uint8),
        regions=regions,
        degrees=np.empty(len(regions), np.int32),
        sizes=graph.sizes.copy(),
        entries=np.empty(2 * len(ends), np.int32),
        table=np.empty(1 << int(2 * len(ends) + 1).bit_length(), np.int64),
        used=np.zeros(1, np.int64),
        moving=np.empty((len(ends), 2), np.int64),
    )
    values = _values(rule.kind, len(graph.bins), len(ends), largest)
    layout.lay_out(rule.kind, ends, (graph.starts, graph.bins, graph.counts), prepared, values)
    kernels.score_edges(rule, prepared, values)
    return prepared, values


def _aligned(count: int) -> np.ndarray:
    """(count, 16) int32, every row one cache line."""
    memory = np.empty(count * 64 + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + count * 64].view(np.int32).reshape(count, 16)


def _values(kind: int, cells: int, edges: int, largest: int) -> layout.Values:
    """Room for what scores are made of, each only as far as this kind of score needs it."""
    cells = cells if kind == layout.QUANTILE else 0
    slots = cells // layout.DENSE + 1
    tops = edges if kind == layout.TOP else 0
    return layout.Values(
        cells=np.empty(cells, np.int64),
        dense=np.zeros((slots, layout.BINS), np.int64),
        free=np.concatenate([[slots], np.arange(slots - 1, -1, -1)]),
        scratch=np.zeros(layout.BINS, np.int64),
        tops=np.zeros((tops, max(largest, 1)), np.uint8),
        spare=np.empty(max(largest, 1), np.uint8),
        touched=np.zeros(tops + 1, np.int64),
    )


def _buckets(levels: np.ndarray, number: int) -> layout.Buckets:
    """Initial edges in order of level and key, the bounds of the levels, empty waiting lists, room for a heap."""
    order = np.argsort(levels.astype(np.uint16), kind="stable").astype(np.int32)
    bounds = np.zeros(number + 1, np.int64)
    np.cumsum(np.bincount(levels, minlength=number), out=bounds[1:])
    return layout.Buckets(order, bounds, np.full(number, -1, np.int32), np.empty(len(levels) + 1, np.int64))
