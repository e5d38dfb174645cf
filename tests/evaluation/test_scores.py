import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import adapted_rand_error, variation_of_information

from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.evaluation.scores import best_threshold, evaluate, score_table, score_thresholds
from naive import evaluation as naive

VOLUME = arrays(np.uint64, (2, 3, 5), elements=st.integers(0, 4))


@settings(deadline=None)
@given(VOLUME, VOLUME)
def test_scores_equal_their_naive_twin(segmentation, truth):
    joint = naive.overlaps(segmentation, truth)
    if not joint:
        return
    scores = evaluate(segmentation, truth)
    assert scores.voi_split == pytest.approx(naive.conditional_entropy(joint, given=1), abs=1e-12)
    assert scores.voi_merge == pytest.approx(naive.conditional_entropy(joint, given=0), abs=1e-12)
    assert scores.voi_sum == scores.voi_split + scores.voi_merge
    assert scores.adapted_rand_error == pytest.approx(naive.adapted_rand_error(joint), abs=1e-12)
    assert scores.cremi_score == pytest.approx(np.sqrt(scores.voi_sum * scores.adapted_rand_error))


@settings(deadline=None)
@given(VOLUME, VOLUME)
def test_swapping_both_volumes_swaps_split_and_merge(first, second):
    there, back = evaluate(first + 1, second + 1), evaluate(second + 1, first + 1)
    assert there.voi_split == pytest.approx(back.voi_merge)
    assert there.adapted_rand_error == pytest.approx(back.adapted_rand_error)


def test_known_values():
    truth = np.array([[[1, 1, 1, 1, 2, 2, 2, 2]]])
    assert evaluate(np.array([[[9, 9, 8, 8, 7, 7, 7, 7]]]), truth).voi_split == 0.5
    assert evaluate(np.full_like(truth, 3), truth).voi_merge == 1
    perfect = evaluate(truth * 100, truth)
    assert (perfect.voi_sum, perfect.adapted_rand_error, perfect.cremi_score) == (0, 0, 0)


def test_only_the_zeros_of_the_truth_are_ignored():
    truth = np.array([[[0, 0, 1, 1]]])
    assert evaluate(np.array([[[5, 6, 0, 0]]]), truth).voi_sum == 0
    assert evaluate(np.array([[[5, 6, 0, 3]]]), truth).voi_split == 1


def test_huge_counts_do_not_overflow():
    table = OverlapTable(np.array([1, 2], np.uint64), np.array([1, 1], np.uint64), np.array([2**40, 2**40]))
    assert score_table(table).voi_split == 1
    assert score_table(table).adapted_rand_error == pytest.approx(1 / 3)


def test_an_unannotated_truth_is_refused():
    with pytest.raises(InputError, match="annotated"):
        evaluate(np.ones((1, 1, 2), int), np.zeros((1, 1, 2), int))


def test_many_thresholds_from_one_table():
    rng = np.random.default_rng(0)
    fragments, truth = rng.integers(1, 20, (4, 5, 6)), rng.integers(0, 3, (4, 5, 6))
    ids = np.arange(1, 20)
    lookups = [ids, ids // 3 + 1, np.ones_like(ids)]
    scores = score_thresholds(overlap_table(fragments, truth), ids, lookups)
    assert scores == [evaluate(np.append(0, lookup)[fragments], truth) for lookup in lookups]
    threshold, best = best_threshold([0.1, 0.2, 0.3], scores)
    assert best.voi_sum == min(s.voi_sum for s in scores)
    assert scores[[0.1, 0.2, 0.3].index(threshold)] is best
    with pytest.raises(InputError, match="one score per threshold"):
        best_threshold([0.1], scores)


@settings(deadline=None)
@given(arrays(np.uint64, (2, 3, 5), elements=st.integers(1, 4)), VOLUME)
def test_voi_equals_that_of_scikit_image(segmentation, truth):
    if not truth.any():
        return
    scores = evaluate(segmentation, truth)
    expected = variation_of_information(truth.astype(int), segmentation.astype(int), ignore_labels=[0])
    assert (scores.voi_split, scores.voi_merge) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_adapted_rand_error_is_nearly_that_of_scikit_image(seed):
    """There pairs of a voxel with itself do not count, so that the difference falls with the number of voxels."""
    rng = np.random.default_rng(seed)
    truth, segmentation = (np.repeat(rng.integers(low, 6, (4, 5, 6)), 1000, axis=0) for low in (0, 1))
    expected = adapted_rand_error(truth, segmentation, ignore_labels=[0])[0]
    assert evaluate(segmentation, truth).adapted_rand_error == pytest.approx(expected, abs=1e-4)
