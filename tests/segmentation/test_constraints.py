"""What may not be one region never is, what must be always is, and all else is as the slow twin says, ties included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.constraints import Constraints, PointConstraints, find_constraints, on_several_sides
from clew.segmentation.options import AgglomerationOptions, CutOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from clew.segmentation.relabel import segment_lookup
from clew.segmentation.segment import cut_lookup
from naive.agglomeration import apart, graph_contacts, merge_sequence

SEEDS = st.integers(0, 2**32 - 1)
SCORES = ["mean", "hist_quant_0", "hist_quant_50_init_max", "hist_quant_75", "hist_quant_100", "mean_top_2"]


def ids(*rows) -> np.ndarray:
    return np.array(rows, np.uint64)


def random_graph(rng: np.random.Generator) -> RegionGraph:
    shape = tuple(rng.integers(1, 7, 3))
    distinct = int(rng.choice([2, 3, 5, 256]))
    fragments = rng.integers(0, rng.integers(2, 30), shape).astype(np.uint64)
    affinities = (rng.integers(0, distinct, (3, *shape)) * (255 // (distinct - 1))).astype(np.uint8)
    return build_region_graph(affinities, fragments)


def random_sides(fragments: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Of up to three splits, with up to three sides: the more splits, the more chains to be united."""
    chosen = np.concatenate([fragments[rng.random(len(fragments)) < share] for _ in range(rng.integers(1, 4))])
    splits, sides = rng.integers(0, 3, len(chosen)), rng.integers(1, rng.integers(3, 5), len(chosen))
    return np.column_stack([chosen, splits, sides]).astype(np.uint64)


def linked(pairs: list[list[int]]) -> list[tuple[int, int]]:
    """Pairs (survivor, absorbed), each absorbed once, that unite the same."""
    group: dict[int, set[int]] = {}
    for one, two in pairs:
        union = group.get(one, {one}) | group.get(two, {two})
        group |= dict.fromkeys(union, union)
    return sorted((min(union), member) for member, union in group.items() if member != min(union))


@given(
    SEEDS, st.sampled_from(SCORES), st.sampled_from([0.0, 0.3, 0.6]), st.sampled_from([0.1, 0.3, 1]), st.integers(0, 3)
)
@settings(max_examples=300, deadline=None)
def test_equals_the_naive_twin(seed: int, score: str, floor: float, share: float, links: int):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    must_link = rng.choice(graph.fragments, (links if len(graph.fragments) else 0, 2))
    cannot_link = random_sides(graph.fragments, rng, share)
    want = linked(must_link.tolist())
    sides = {}
    for fragment, split, side in cannot_link.tolist():
        sides.setdefault(fragment, set()).add((split, side))
    groups = {one: [one, *(two for first, two in want if first == one)] for one, _ in want}
    clash = any(apart(sides, one, two) for group in groups.values() for one in group for two in group if one < two)
    options, constraints = AgglomerationOptions(score, floor), Constraints(must_link, cannot_link)
    if clash:
        with pytest.raises(InputError, match="must be one region"):
            agglomerate(graph, options=options, constraints=constraints)
        return
    tree = agglomerate(graph, options=options, constraints=constraints)
    levels = np.rint(tree.scores.astype(np.float64) * 65535).astype(int)
    found = [(*pair, level) for pair, level in zip(tree.merges.tolist(), levels.tolist(), strict=True)]
    assert found == merge_sequence(graph_contacts(graph), score, floor * 65535, want, cannot_link.tolist())
    assert sorted(map(tuple, tree.must_link.tolist())) == want
    assert_kept(tree, want, sides, rng, graph)


def assert_kept(tree, links, sides, rng, graph):
    """No cut at any threshold, with and without dust, breaks a constraint."""
    for threshold in (0.0, *rng.random(2), 1.0):
        for dust in (0, 4):
            lookup = cut_lookup(tree, CutOptions(threshold, dust), graph)
            segment = dict(zip(tree.fragments.tolist(), lookup.tolist(), strict=True))
            assert all(segment[one] == segment[two] for one, two in links)
            several = [(one, two) for one in sides for two in sides if one < two and apart(sides, one, two)]
            assert all(segment[one] != segment[two] for one, two in several)


def test_a_forbidden_edge_is_dropped_and_never_waited_for():
    """1 is best with 3, which it may not have: 1 and 2 merge all the same, and 3 stays alone."""
    edges, bins = ids([1, 2], [1, 3], [2, 3]), np.array([200, 250, 100], np.uint8)
    graph = RegionGraph(ids(1, 2, 3), np.ones(3, int), edges, np.arange(4), bins, np.ones(3, int))
    tree = agglomerate(graph, constraints=Constraints(cannot_link=ids([1, 0, 1], [3, 0, 2])))
    assert tree.merges.tolist() == [[1, 2]]


def test_ids_and_points_find_their_fragments():
    fragments = np.array([[[0, 1, 1, 4, 4, 9]]], np.uint64)
    labels = np.array([[[3, 0, 3, 3, 2**64 - 1, 8]]], np.uint64)
    points = PointConstraints(
        np.array([[0, 0, 1, 7], [0, 0, 5, 7], [0, 0, 0, 7], [0, 0, 3, 8]]), np.array([[0, 0, 4, 2, 1], [0, 0, 0, 2, 2]])
    )
    found = find_constraints(fragments, cannot_link=labels, points=points)
    assert found.cannot_link.tolist() == [[1, 0, 3], [4, 0, 3], [4, 2, 1], [9, 0, 8]]
    assert found.must_link.tolist() == [[1, 9]]


def test_a_fragment_with_two_ids_merges_with_no_other_that_has_one():
    graph = build_region_graph(np.full((3, 1, 1, 4), 200, np.uint8), ids(1, 2, 3, 4).reshape(1, 1, 4))
    rows = ids([2, 0, 7], [2, 0, 8], [3, 0, 7])
    assert agglomerate(graph, constraints=Constraints(cannot_link=rows)).merges.tolist() == [[1, 2], [3, 4]]
    assert on_several_sides(rows).tolist() == [[2, 0]]


def test_linked_fragments_need_not_touch_and_stay_one_at_threshold_0():
    graph = build_region_graph(np.zeros((3, 1, 1, 5), np.uint8), ids(1, 2, 0, 4, 5).reshape(1, 1, 5))
    tree = agglomerate(graph, constraints=Constraints(must_link=ids([5, 2])))
    assert segment_lookup(tree, 0.0).tolist() == [1, 2, 4, 2]


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(must_link=ids([1, 3])),
        Constraints(cannot_link=ids([3, 0, 1])),
        Constraints(cannot_link=ids([1, 0])),
        Constraints(must_link=np.array([[-1, 1]])),
    ],
)
def test_constraints_that_do_not_fit_are_refused(constraints: Constraints):
    graph = build_region_graph(np.full((3, 1, 1, 2), 200, np.uint8), ids(1, 2).reshape(1, 1, 2))
    with pytest.raises(InputError, match="link"):
        agglomerate(graph, constraints=constraints)


def test_points_outside_are_refused():
    points = PointConstraints(must_link=np.array([[0, 0, 2, 1]]))
    with pytest.raises(InputError, match="outside"):
        find_constraints(ids(1, 2).reshape(1, 1, 2), points=points)
