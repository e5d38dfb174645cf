"""The merge sequence equals a naive rescan for the global maximum, ties included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.segmentation.agglomeration import MergeTree, agglomerate, contact_scores, parse_score
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from naive.agglomeration import graph_contacts, merge_sequence, start, statistic

SEEDS = st.integers(0, 2**32 - 1)
REDUCIBLE = ["mean", *(f"hist_quant_{q}{m}" for q in (0, 15, 25, 50, 75, 85, 100) for m in ("", "_init_max"))]
SCORES = [*REDUCIBLE, "mean_top_1", "mean_top_2", "mean_top_7"]


def random_graph(seed: int) -> RegionGraph:
    """A graph of random voxels with 2 to 256 distinct affinities: the fewer, the more ties."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 7, 3))
    distinct = int(rng.choice([2, 3, 5, 16, 256]))
    fragments = rng.integers(0, rng.integers(2, 30), shape).astype(np.uint64) * np.uint64(2**40 + 1)
    affinities = (rng.integers(0, distinct, (3, *shape)) * (255 // (distinct - 1))).astype(np.uint8)
    return build_region_graph(affinities, fragments)


def crowded_graph(seed: int) -> RegionGraph:
    """A few dozen fragments that all touch, with long histograms: chains, dense histograms and their reuse."""
    rng = np.random.default_rng(seed)
    count = 24
    pairs = [(u, v) for u in range(1, count + 1) for v in range(u + 1, count + 1) if rng.random() < 0.7]
    lengths = rng.integers(1, 60, len(pairs))
    middles = rng.integers(0, 200, len(pairs))
    bins = [np.sort(middle + rng.choice(56, n, replace=n > 56)) for n, middle in zip(lengths, middles, strict=True)]
    bins = [np.unique(b) for b in bins]
    starts = np.cumsum([0, *map(len, bins)])
    fragments, sizes = np.arange(1, count + 1, dtype=np.uint64), np.ones(count, np.int64)
    counts = rng.integers(1, 5, starts[-1])
    return RegionGraph(
        fragments, sizes, np.array(pairs, np.uint64), starts, np.concatenate(bins).astype(np.uint8), counts
    )


def merges_of(tree: MergeTree) -> list[tuple[int, int, int]]:
    levels = np.rint(tree.scores.astype(np.float64) * 65535).astype(int)
    return [(int(u), int(v), int(level)) for (u, v), level in zip(tree.merges, levels, strict=True)]


@given(SEEDS, st.sampled_from(SCORES), st.sampled_from([0.0, 0.3, 127.3 / 255, 0.6, 1.0]))
@settings(max_examples=200, deadline=None)
def test_equals_the_naive_twin(seed: int, score: str, floor: float):
    graph = random_graph(seed)
    tree = agglomerate(graph, options=AgglomerationOptions(score, floor))
    assert merges_of(tree) == merge_sequence(graph_contacts(graph), score, floor * 65535)


@given(SEEDS, st.sampled_from(SCORES))
@settings(max_examples=100, deadline=None)
def test_scores_and_areas_of_contacts_equal_the_naive_twin(seed: int, score: str):
    graph = random_graph(seed)
    contacts = graph_contacts(graph)
    wanted = [statistic(score, values) for values, _ in start(contacts, score).values()]
    assert np.rint(contact_scores(graph, score).astype(np.float64) * 65535).astype(int).tolist() == wanted
    assert graph.areas.tolist() == [len(values) for values in contacts.values()]


@pytest.mark.parametrize("score", ["mean", "hist_quant_15", "hist_quant_75", "hist_quant_85_init_max", "mean_top_70"])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_naive_twin_on_long_histograms(score: str, seed: int):
    graph = crowded_graph(seed)
    want = merge_sequence(graph_contacts(graph), score)
    assert merges_of(agglomerate(graph, options=AgglomerationOptions(score))) == want


@pytest.mark.parametrize("score", ["mean", "mean_top_2"])
def test_edges_that_move_again_and_again_leave_room_for_others(score: str):
    """Hubs with leaves of their own merge in pairs, and these in pairs: the table of edges is used up several times."""
    hubs = range(1, 17)
    joints = {(hub, hub + step): 255 - step for step in (1, 2, 4, 8) for hub in hubs[:: 2 * step]}
    leaves = {(hub, 10 * hub + leaf): leaf for hub in hubs for leaf in range(10, 17)}
    pairs = dict(sorted((joints | leaves).items()))
    fragments = np.unique(np.array(list(pairs), np.uint64))
    ones = np.ones(len(pairs), np.int64)
    graph = RegionGraph(
        fragments, np.ones(len(fragments), np.int64), np.array(list(pairs), np.uint64), np.arange(len(pairs) + 1),
        np.array(list(pairs.values()), np.uint8), ones,
    )  # fmt: skip
    want = merge_sequence(graph_contacts(graph), score)
    assert len(want) == len(pairs) == 127
    assert merges_of(agglomerate(graph, options=AgglomerationOptions(score))) == want


@given(SEEDS, st.sampled_from(REDUCIBLE))
@settings(max_examples=30, deadline=None)
def test_scores_never_rise(seed: int, score: str):
    assert (np.diff(agglomerate(random_graph(seed), options=AgglomerationOptions(score)).scores) <= 0).all()


@given(SEEDS, st.sampled_from(SCORES))
@settings(max_examples=30, deadline=None)
def test_ids_do_not_matter_as_long_as_their_order_stays(seed: int, score: str):
    graph = random_graph(seed)
    names = np.cumsum(np.random.default_rng(seed).integers(1, 2**50, len(graph.fragments))).astype(np.uint64)
    edges = names[np.searchsorted(graph.fragments, graph.edges)]
    other = RegionGraph(names, graph.sizes, edges, graph.starts, graph.bins, graph.counts)
    options = AgglomerationOptions(score)
    tree, renamed = agglomerate(graph, options=options), agglomerate(other, options=options)
    np.testing.assert_array_equal(renamed.merges, names[np.searchsorted(graph.fragments, tree.merges)])
    np.testing.assert_array_equal(renamed.scores, tree.scores)


def test_counts_beyond_32_bits():
    counts = np.array([3 * 2**33, 2**33, 2**33])
    graph = RegionGraph(
        np.array([1, 2, 3], np.uint64), np.ones(3, np.int64), np.array([[1, 2], [1, 3], [2, 3]], np.uint64),
        np.array([0, 1, 2, 3]), np.array([200, 100, 60], np.uint8), counts,
    )  # fmt: skip
    assert merges_of(agglomerate(graph, options=AgglomerationOptions("mean"))) == [(1, 2, 200 * 257), (1, 3, 80 * 257)]
    quantile = AgglomerationOptions("hist_quant_50")
    assert merges_of(agglomerate(graph, options=quantile)) == [(1, 2, 200 * 257), (1, 3, 100 * 257)]


def test_the_graph_stays_as_it_was():
    graph = crowded_graph(0)
    before = {name: values.copy() for name, values in vars(graph).items()}
    for score in ("mean", "hist_quant_75", "hist_quant_75_init_max", "mean_top_7"):
        tree = agglomerate(graph, options=AgglomerationOptions(score))
        np.testing.assert_array_equal(tree.sizes, before["sizes"])
        for name, values in before.items():
            np.testing.assert_array_equal(getattr(graph, name), values, err_msg=name)


def test_an_edge_to_a_fragment_that_is_not_listed_is_refused():
    one = np.ones(1, np.int64)
    for edge in ((1, 3), (2, 4)):
        graph = RegionGraph(
            np.array([1, 4], np.uint64), np.ones(2, np.int64), np.array([edge], np.uint64), np.arange(2),
            np.zeros(1, np.uint8), one,
        )  # fmt: skip
        with pytest.raises(InputError, match="broken"):
            agglomerate(graph)


def test_empty_graph_gives_an_empty_tree():
    graph = build_region_graph(np.zeros((3, 2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint64))
    for score in SCORES:
        assert len(agglomerate(graph, options=AgglomerationOptions(score)).merges) == 0


def test_alias_is_the_75_percent_quantile():
    assert parse_score("aff75_his256") == parse_score("hist_quant_75")


@pytest.mark.parametrize(
    "name", ["median", "hist_quant_101", "mean_top_0", "hist_quant_", "hist_quant_75_", "mean_init_max"]
)
def test_unknown_scores_are_refused_with_the_list(name: str):
    with pytest.raises(InputError, match="hist_quant_Q_init_max"):
        parse_score(name)


def test_floor_out_of_range_is_refused():
    with pytest.raises(InputError, match="floor"):
        agglomerate(random_graph(0), options=AgglomerationOptions(floor=1.5))
