"""Dust joins the same neighbours in whatever order it is tried."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.segmentation.dust import join_dust, remove_small
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph, contract_region_graph
from naive.agglomeration import graph_contacts, joined_dust

SEEDS = st.integers(0, 2**32 - 1)


def random_graph(seed: int) -> RegionGraph:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 6, 3))
    distinct = int(rng.choice([2, 3, 16, 256]))
    fragments = rng.integers(0, rng.integers(2, 20), shape).astype(np.uint64)
    affinities = (rng.integers(0, distinct, (3, *shape)) * (255 // (distinct - 1))).astype(np.uint8)
    return build_region_graph(affinities, fragments)


@given(
    SEEDS, st.sampled_from(["mean", "hist_quant_50", "hist_quant_75"]), st.integers(1, 16), st.sampled_from([0, 0.3])
)
@settings(max_examples=150, deadline=None)
def test_equals_the_rule_in_random_order(seed: int, score: str, minimum_size: int, constrained: float):
    graph = random_graph(seed)
    rng = np.random.default_rng(seed)
    lookup = graph.fragments[np.sort(rng.integers(0, len(graph.fragments), len(graph.fragments)))]
    segments = contract_region_graph(graph, lookup)
    sizes = dict(zip(segments.fragments.tolist(), segments.sizes.tolist(), strict=True))
    chosen = graph.fragments[rng.random(len(graph.fragments)) < constrained]
    rows = np.column_stack([chosen, rng.integers(0, 2, len(chosen)), rng.integers(0, 3, len(chosen))]).astype(np.uint64)
    sides = {}
    for fragment, split, side in rows.tolist():
        sides.setdefault(dict(zip(graph.fragments.tolist(), lookup.tolist(), strict=True))[fragment], set()).add(
            (split, side)
        )
    options = AgglomerationOptions(score)
    joined = join_dust(graph, lookup, minimum_size=minimum_size, options=options, cannot_link=rows)
    for _ in range(3):
        want = joined_dust(graph_contacts(segments), sizes, score, minimum_size, rng, sides)
        assert joined.tolist() == [want[segment] for segment in lookup.tolist()]


def test_init_max_keeps_the_maxima_of_the_fragments_contacts():
    """Contacts of segments pool one value for each contact of fragments, as they would inside agglomeration."""
    edges = np.array([[1, 3], [1, 4], [2, 3], [2, 4]], np.uint64)
    bins, counts = np.array([10, 90, 20, 250, 80, 100], np.uint8), np.array([1, 1, 1, 1, 9, 9])
    starts = np.array([0, 2, 3, 4, 6])
    graph = RegionGraph(np.arange(1, 5, dtype=np.uint64), np.array([1, 9, 9, 9]), edges, starts, bins, counts)
    joined = join_dust(
        graph,
        np.array([1, 2, 3, 3], np.uint64),
        minimum_size=2,
        options=AgglomerationOptions("hist_quant_0_init_max", 0.05),
    )
    assert joined.tolist() == [1, 2, 1, 1]


def test_removed_fragments_stay_removed_and_dust_without_neighbours_stays():
    fragments = np.array([[[1, 2, 2, 0, 7]]], np.uint64)
    graph = build_region_graph(np.full((3, 1, 1, 5), 200, np.uint8), fragments)
    assert join_dust(graph, np.array([1, 2, 7], np.uint64), minimum_size=2).tolist() == [1, 1, 7]
    assert join_dust(graph, np.array([0, 2, 7], np.uint64), minimum_size=9).tolist() == [0, 2, 7]
    assert join_dust(graph, np.array([1, 2, 7], np.uint64), minimum_size=0).tolist() == [1, 2, 7]


def test_dust_joins_its_only_neighbour_even_at_score_0():
    graph = build_region_graph(np.zeros((3, 1, 1, 3), np.uint8), np.array([[[1, 2, 2]]], np.uint64))
    assert join_dust(graph, np.array([1, 2], np.uint64), minimum_size=2).tolist() == [1, 1]


def test_remove_small_counts_whole_segments():
    sizes, lookup = np.array([3, 4, 5]), np.array([8, 8, 9], np.uint64)
    assert remove_small(sizes, lookup, minimum_size=6).tolist() == [8, 8, 0]
    assert remove_small(sizes, lookup, minimum_size=7).tolist() == [8, 8, 0]
    assert remove_small(sizes, lookup, minimum_size=8).tolist() == [0, 0, 0]


def test_arrays_that_do_not_fit_are_refused():
    graph = random_graph(1)
    with pytest.raises(InputError, match="minimum_size"):
        join_dust(graph, graph.fragments, minimum_size=-1)
    with pytest.raises(InputError, match="one segment"):
        join_dust(graph, graph.fragments[:-1], minimum_size=1)
    with pytest.raises(InputError, match="one segment"):
        remove_small(graph.sizes, graph.fragments[:-1], minimum_size=1)
