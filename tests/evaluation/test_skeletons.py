"""Run lengths, splits and merges of skeletons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import InputError
from clew.evaluation.nodes import read_nodes, relabel_nodes
from clew.evaluation.skeletons import (
    Skeletons,
    crop_skeletons,
    score_skeletons,
    skeleton_errors,
)
from evaluation.skeleton_cases import paths, traced
from naive import evaluation as naive


@given(traced(), st.integers(1, 3))
def test_scores_equal_their_naive_twin(made, minimum_nodes):
    skeletons, segments = made
    scores = score_skeletons(segments, skeletons, minimum_nodes)
    plain, owner, edges = segments.tolist(), skeletons.skeletons.tolist(), skeletons.edges.tolist()
    lengths = skeletons.lengths.tolist()
    expected = naive.expected_run_length(plain, owner, edges, lengths, minimum_nodes)
    assert scores.run_length == pytest.approx(expected)
    assert (scores.splits, scores.merges) == naive.splits_and_merges(plain, owner, minimum_nodes)
    errors = skeleton_errors(segments, skeletons, minimum_nodes)
    assert scores.run_length == pytest.approx(errors.run_length @ errors.length / errors.length.sum())
    assert scores.splits == errors.splits.sum()
    assert (scores.merges > 0) == (errors.merges.sum() > 0)


@given(traced())
def test_ids_of_segments_do_not_matter(made):
    skeletons, segments = made
    renamed = np.array([0, 2**63 + 5, 9, 1, 2**40], np.uint64)[segments]
    assert score_skeletons(renamed, skeletons) == score_skeletons(segments, skeletons)


def test_known_values():
    skeletons = paths(5, 3)
    perfect = score_skeletons([1] * 5 + [2] * 3, skeletons)
    assert perfect.run_length == pytest.approx((40**2 + 20**2) / 60)
    assert (perfect.normalised_run_length, perfect.splits, perfect.merges) == (pytest.approx(1), 0, 0)
    assert perfect.error_distance == float("inf")
    split = score_skeletons([1, 1, 1, 3, 3, 2, 2, 2], skeletons)
    assert split.run_length == pytest.approx((20**2 + 10**2 + 20**2) / 60)
    assert (split.splits, split.merges, split.split_distance, split.merge_distance) == (1, 0, 60, float("inf"))
    merged = score_skeletons([1, 1, 1, 1, 1, 2, 1, 1], skeletons)
    assert (merged.run_length, merged.splits, merged.merges, merged.error_distance) == (0, 1, 1, 30)
    tolerant = score_skeletons([1, 1, 1, 1, 1, 2, 1, 1], skeletons, minimum_nodes=3)
    assert (tolerant.run_length, tolerant.merges) == (pytest.approx((40**2 + 10**2) / 60), 0)
    assert score_skeletons([0] * 8, skeletons).run_length == 0


def test_splits_and_merges_of_each_skeleton_are_counted():
    errors = skeleton_errors([1, 1, 4, 4, 5, 1, 1, 6], paths(5, 3))
    assert errors.skeletons.tolist() == [7, 8]
    assert errors.length.tolist() == [40, 20]
    assert errors.run_length.tolist() == [pytest.approx(10**2 / 40), 0]
    assert (errors.splits.tolist(), errors.merges.tolist()) == ([2, 1], [1, 1])


def test_nodes_are_looked_up_in_the_volume():
    ids = np.arange(3 * 4 * 300, dtype=np.uint64).reshape(3, 4, 300)
    places = np.array([[0, 0, 0], [2, 3, 299], [1, 2, 130], [1, 2, 129], [3, 0, 0], [0, 0, -1]])
    voxel_size, offset = np.array([40.0, 4.0, 4.0]), np.array([400.0, 8.0, 0.0])
    skeletons = Skeletons(
        (places + np.array([0.4, -0.4, 0])) * voxel_size + offset, np.zeros((0, 2), np.int64), np.zeros(6, np.int64)
    )
    segments, inside = read_nodes(ids, skeletons, voxel_size, offset)
    assert inside.tolist() == [True] * 4 + [False] * 2
    assert segments[:4].tolist() == [ids[tuple(place)] for place in places[:4]]
    assert segments[4:].tolist() == [0, 0]


def test_nodes_outside_the_volume_are_left_out_with_their_edges():
    kept = crop_skeletons(paths(4, 3), np.array([True, True, False, True, False, True, True]))
    assert kept.edges.tolist() == [[0, 1], [3, 4]]
    assert kept.skeletons.tolist() == [7, 7, 7, 8, 8]


def test_what_leaves_the_volume_and_comes_back_is_two_pieces():
    whole = paths(8, 5)
    kept = np.ones(len(whole.skeletons), bool)
    kept[3] = False
    cut = crop_skeletons(whole, kept)
    segments = np.array([5, 5, 5, 6, 6, 6, 6, 9, 9, 9, 9, 9])
    # pieces of 2 and of 3 steps, each whole in its segment
    scores = score_skeletons(segments, cut)
    assert (scores.splits, scores.merges, scores.normalised_run_length) == (0, 0, 1.0)
    errors = skeleton_errors(segments, cut)
    assert (errors.splits.tolist(), errors.merges.tolist()) == ([0, 0], [0, 0])
    np.testing.assert_allclose(errors.run_length[0], (2**2 + 3**2) / 5 * cut.lengths[0])
    # one segment through both pieces is no merge; a segment change inside a piece is a split
    assert score_skeletons(np.where(segments == 6, 5, segments), cut).merges == 0
    segments[1:3] = 7
    assert score_skeletons(segments, cut).splits == 1
    assert skeleton_errors(segments, cut).splits.tolist() == [1, 0]
    segments[:] = 5
    assert score_skeletons(segments, cut).merges == 1


def test_skeletons_that_are_not_cut_keep_their_gaps():
    gap = Skeletons(np.arange(12.0).reshape(4, 3), np.array([[0, 1], [2, 3]]), np.array([7, 7, 7, 7]))
    kept = crop_skeletons(gap, np.ones(4, bool))
    for segments in ([1, 1, 2, 2], [1, 1, 1, 1], [1, 2, 1, 2]):
        assert score_skeletons(segments, kept) == score_skeletons(segments, gap)


def test_nodes_are_relabelled():
    assert relabel_nodes([5, 0, 9, 5], [5, 9], [2, 2]).tolist() == [2, 0, 2, 2]
    with pytest.raises(InputError, match="fragment 6 is not among them"):
        relabel_nodes([5, 6], [5, 9], [1, 1])
    with pytest.raises(InputError, match="fragment 6 is not among them"):
        relabel_nodes([6], [], [])


def test_bad_skeletons_are_refused():
    with pytest.raises(InputError, match="nodes 0 to 1"):
        Skeletons(np.zeros((2, 3)), np.array([[0, 2]]), np.zeros(2, np.int64))
    with pytest.raises(InputError, match="two skeletons"):
        Skeletons(np.zeros((2, 3)), np.array([[0, 1]]), np.arange(2))
    with pytest.raises(InputError, match="edges of some length"):
        score_skeletons([1, 1], paths(1, 1))
    with pytest.raises(InputError, match="one segment for each of 2 nodes"):
        score_skeletons([1, 1, 1], paths(2))
