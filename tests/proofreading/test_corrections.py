"""Corrections replayed: what holds holds, what does not is listed, cuts are the smallest."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.proofreading.corrections import Correction, Segments, replay
from clew.proofreading.split import contact_strengths, minimum_cut
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import build_region_graph
from proofreading.runs import THRESHOLDS, graph_of, random_run


@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.booleans(), st.sampled_from(THRESHOLDS)), max_size=12))
@settings(max_examples=100, deadline=None)
def test_all_pairs_hold_or_the_edit_is_listed(seed: int, kinds: list[tuple[bool, float]]):
    rng, graph, tree = random_run(seed)
    corrections: list[Correction] = []
    for is_split, threshold in kinds:
        sources, sinks = (rng.choice(graph.fragments, rng.integers(1, 4 if is_split else 2)) for _ in range(2))
        if is_split:
            segments = Segments(graph, tree, threshold)
            for correction in corrections:
                segments.correct(correction)
            try:
                made = segments.split(sources, sinks)
            except InputError:
                continue
        else:
            made = Correction(sources[:1], sinks[:1])
        corrections.append(made)
        lookup, broken = replay(Segments(graph, tree, threshold), corrections)
        assert len(corrections) - 1 not in broken, "the latest edit holds where it was made"
        if is_split:
            segment = dict(zip(graph.fragments.tolist(), lookup.tolist(), strict=True))
            assert len({segment[one] for one in made.sources.tolist()}) == 1, "a side stays together"
    for threshold in THRESHOLDS:
        lookup, broken = replay(Segments(graph, tree, threshold), corrections)
        segment = dict(zip(graph.fragments.tolist(), lookup.tolist(), strict=True))
        for number, made in enumerate(corrections):
            together = [
                segment[one] == segment[two] for one, two in product(made.sources.tolist(), made.sinks.tolist())
            ]
            assert (number in broken) == (any(together) if made.is_split else not all(together))
        assert all(segment[one] <= one for one in segment)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_no_division_of_the_fragments_costs_less(seed: int):
    """The twin tries all divisions of few fragments."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 9))
    every = [(one, two) for one in range(count) for two in range(one + 1, count)]
    ends = np.array([pair for pair in every if rng.random() < 0.6], np.int64).reshape(-1, 2)
    strengths = rng.integers(1, rng.choice([3, 1000]), len(ends))
    order = rng.permutation(count)
    split = rng.integers(1, count)
    sources, sinks = order[:split][:2], order[split:][:2]
    cut = minimum_cut(ends, strengths, np.ones(count, np.int64), sources, sinks)
    rest = [node for node in range(count) if node not in sources and node not in sinks]
    costs = []
    for sides in product((False, True), repeat=len(rest)):
        side = (
            dict.fromkeys(sources.tolist(), True)
            | dict.fromkeys(sinks.tolist(), False)
            | dict(zip(rest, sides, strict=True))
        )
        costs.append(sum(strength for (one, two), strength in zip(ends.tolist(), strengths.tolist(), strict=True)
                         if side[one] != side[two]))  # fmt: skip
    assert strengths[cut].sum() == min(costs)


def test_strengths_that_exceed_int32_are_scaled():
    ends = np.array([[0, 1], [1, 2], [2, 3]])
    cut = minimum_cut(ends, np.array([2**60, 2**50, 2**60]), np.ones(4, np.int64), np.array([0]), np.array([3]))
    assert cut.tolist() == [False, True, False]


def test_the_smaller_side_is_not_merely_the_clicked_fragment():
    """Two chains of fragments with large contacts; small but sure contacts between them, over a false bridge."""
    chain = {(one, one + 1): (200, 100) for one in (1, 2, 3, 4, 6, 7, 8, 9)}
    graph = graph_of(chain | {(3, 8): (250, 9), (4, 7): (250, 9)}, [50] * 10)
    tree = agglomerate(graph, options=AgglomerationOptions("mean"))
    made = Segments(graph, tree, 0.9).split(np.array([1], np.uint64), np.array([10], np.uint64))
    assert made.cut.tolist() == [[3, 8], [4, 7]]
    lookup, broken = replay(Segments(graph, tree, 0.9), [made])
    assert lookup.tolist() == [1] * 5 + [6] * 5
    assert not broken


def test_of_equal_cuts_the_one_with_the_larger_small_side_is_taken():
    graph = graph_of({(1, 2): (100, 1), (2, 3): (100, 1), (3, 4): (200, 1), (4, 5): (200, 1)}, [1, 9, 9, 9, 9])
    tree = agglomerate(graph, options=AgglomerationOptions("mean"))
    made = Segments(graph, tree, 1.0).split(np.array([1], np.uint64), np.array([5], np.uint64))
    assert made.cut.tolist() == [[2, 3]]


def test_the_stored_cut_is_replayed_and_not_found_anew():
    graph = graph_of({(1, 2): (200, 10), (2, 3): (100, 10)}, [9, 9, 9])
    tree = agglomerate(graph, options=AgglomerationOptions("mean"))
    stored = Correction(
        np.array([1], np.uint64), np.array([3], np.uint64), np.array([[1, 2]], np.uint64), is_split=True
    )
    assert replay(Segments(graph, tree, 1.0), [stored])[0].tolist() == [1, 2, 2]


def test_sides_that_share_a_fragment_or_no_segment_are_refused():
    graph = graph_of({(1, 2): (200, 10), (2, 3): (100, 10)}, [9, 9, 9])
    segments = Segments(graph, agglomerate(graph, options=AgglomerationOptions("mean")), 0.3)
    one, three = np.array([1], np.uint64), np.array([3], np.uint64)
    with pytest.raises(InputError, match="both sides"):
        segments.split(np.array([1, 2], np.uint64), one)
    with pytest.raises(InputError, match="nothing to split"):
        segments.split(one, three)
    with pytest.raises(InputError, match="at least"):
        segments.split(one[:0], three)


def test_contacts_are_as_strong_as_the_sum_of_their_affinities():
    graph = build_region_graph(np.full((3, 2, 1, 2), 200, np.uint8), np.array([[[1, 2]], [[1, 2]]], np.uint64))
    assert contact_strengths(graph, np.array([0])).tolist() == [400]
