"""Where skeletons are split and merged."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given

from clew.errors import InputError
from clew.evaluation.skeletons import Skeletons, score_skeletons
from clew.evaluation.traced import judged_skeletons, merged_pairs, node_table, traced_errors
from evaluation.skeleton_cases import paths, traced


@given(traced())
def test_all_splits_are_listed_and_each_pair_of_skeletons_once(made):
    skeletons, segments = made
    splits, merges = traced_errors(segments, skeletons, number=1000)
    assert len(splits) == score_skeletons(segments, skeletons).splits
    pairs = [frozenset(skeleton for _, skeleton in error.parts) for error in merges]
    owners = {}
    for segment, owner in zip(segments.tolist(), (skeletons.skeletons + 1).tolist(), strict=True):
        owners.setdefault(segment, set()).add(owner)
    naive = {frozenset(pair) for segment, held in owners.items() if segment for pair in combinations(held, 2)}
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) <= naive
    assert merged_pairs(segments, skeletons) == len(naive)
    for error in splits + merges:
        for (segment, skeleton), node in zip(error.parts, error.at, strict=True):
            assert skeletons.skeletons[node] + 1 == skeleton
            assert segments[node] == segment or error.kind == "split"
        assert segments[error.at[1]] == error.parts[1][0]
    assert [error.length for error in splits] == sorted((error.length for error in splits), reverse=True)


def test_a_split_lies_at_the_edge_and_a_merge_where_skeletons_are_nearest():
    skeletons = paths(5, 3)
    splits, merges = traced_errors([1, 1, 1, 2, 2, 2, 2, 9], skeletons)
    assert [(error.parts, error.nodes, error.length, error.at) for error in splits] == [
        (((1, 1), (2, 1)), 2, 10.0, (2, 3)),
        (((2, 2), (9, 2)), 1, 0.0, (6, 7)),
    ]
    assert [(error.parts, error.length) for error in merges] == [(((2, 1), (2, 2)), 10.0)]
    assert traced_errors([1, 1, 1, 2, 2, 2, 2, 9], skeletons, minimum_nodes=2)[0][1:] == []


def test_two_skeletons_that_share_two_segments_are_one_merge():
    skeletons = paths(4, 4)
    segments = [1, 1, 2, 2, 1, 1, 2, 2]
    assert score_skeletons(segments, skeletons).merges == 2
    assert merged_pairs(segments, skeletons) == 1
    assert len(traced_errors(segments, skeletons)[1]) == 1


def test_what_leaves_and_comes_back_is_no_split():
    skeletons = paths(4)
    pieces = Skeletons(skeletons.positions, np.array([[0, 1], [2, 3]]), skeletons.skeletons, np.array([0, 0, 1, 1]))
    assert traced_errors([1, 1, 2, 2], pieces) == ([], [])
    assert len(traced_errors([1, 1, 2, 2], skeletons)[0]) == 1


def test_nodes_are_counted_in_the_table():
    table = node_table([0, 5, 5, 6], paths(2, 2))
    assert [table.segments.tolist(), table.truths.tolist(), table.counts.tolist()] == [[5, 5, 6], [1, 2, 2], [1, 1, 1]]


@given(traced())
def test_after_verdicts_against_the_truth_no_error_is_left(made):
    skeletons, segments = made
    splits, merges = traced_errors(segments, skeletons, number=1000)
    before = score_skeletons(segments, skeletons)
    ids = np.unique(skeletons.skeletons)

    def judged(errors, verdict):
        parts = [tuple((segment, int(ids[number - 1])) for segment, number in error.parts) for error in errors]
        return judged_skeletons(segments, skeletons, dict.fromkeys(parts, verdict))

    assert score_skeletons(*judged(splits + merges, "segmentation wrong")) == before
    assert traced_errors(*judged(splits, "truth wrong"), number=1000)[0] == []
    assert traced_errors(*judged(splits, "undecided"), number=1000)[0] == []
    assert traced_errors(*judged(merges, "truth wrong"), number=1000)[1] == []
    assert len(judged(splits + merges, "truth wrong")[0]) == len(segments)


def test_verdicts_change_run_lengths():
    skeletons = paths(4, 4)  # both 3 steps long
    segments = np.array([1, 1, 2, 2, 1, 1, 1, 1])
    step = skeletons.lengths[0]
    (one, other), split, merge = np.unique(skeletons.skeletons).tolist(), *traced_errors(segments, skeletons)
    assert (len(split), len(merge)) == (1, 1)
    united = score_skeletons(*judged_skeletons(segments, skeletons, {((1, other), (1, one)): "truth wrong"}))
    assert (united.splits, united.merges) == (1, 0)
    assert united.run_length == pytest.approx(step * (4**2 + 1) / 6), "the two are one, of six steps"
    apart = {((1, one), (2, one)): "truth wrong"}
    divided = score_skeletons(*judged_skeletons(segments, skeletons, apart))
    assert (divided.splits, divided.merges) == (0, 1)
    assert divided.run_length == pytest.approx(step / 5), "the step between them is gone, and the merge gives no run"
    left_out = score_skeletons(*judged_skeletons(segments, skeletons, {((1, other), (1, one)): "undecided"}))
    assert left_out.run_length == pytest.approx(step * (3**2 + 1) / 4)
    with pytest.raises(InputError, match="verdicts are of another one"):
        judged_skeletons(segments, skeletons, {((1, one), (3, one)): "undecided"})
