"""Edges against the truth equal a count by hand, and the spread is that of neurons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.evaluation.edges import EdgeTruth, edge_curve, edge_error, edge_samples, judge_edges, smallest_error
from clew.evaluation.overlap import overlap_table

EDGES = st.lists(
    st.tuples(st.integers(0, 6).map(lambda n: n / 6), st.booleans(), st.integers(0, 4)), min_size=1, max_size=30
)


@settings(deadline=None)
@given(EDGES)
def test_curve_equals_a_count_at_every_value(edges):
    scores, same, weights = map(np.array, zip(*edges, strict=True))
    if not (weights * same).sum():
        with pytest.raises(InputError, match="nothing is to be merged"):
            edge_curve(scores, same, weights)
        return
    curve = edge_curve(scores, same, weights)
    assert curve.scores.tolist() == sorted(set(scores.tolist()), reverse=True)
    area, recall_before = 0.0, 0.0
    for value, precision, recall in zip(curve.scores, curve.precision, curve.recall, strict=True):
        merged = scores >= value
        total = weights[merged].sum()
        assert precision == pytest.approx(weights[merged & same].sum() / total if total else 1)
        assert recall == pytest.approx(weights[merged & same].sum() / weights[same].sum())
        area, recall_before = area + (recall - recall_before) * precision, recall
    assert curve.area == pytest.approx(area)


@settings(deadline=None)
@given(EDGES, st.floats(0, 1))
def test_error_equals_a_count(edges, threshold):
    scores, same, weights = map(np.array, zip(*edges, strict=True))
    if not weights.sum():
        return
    wrong = sum(w for s, inside, w in edges if (1 - s < threshold) != inside)
    assert edge_error(scores, same, threshold, weights) == pytest.approx(wrong / weights.sum())


@settings(deadline=None)
@given(EDGES)
def test_smallest_error_is_that_of_the_best_of_all_thresholds(edges):
    scores, same, weights = map(np.array, zip(*edges, strict=True))
    if not weights.sum():
        return
    threshold, smallest = smallest_error(scores, same, weights)
    assert edge_error(scores, same, threshold, weights) == pytest.approx(smallest)
    tried = np.linspace(0, 1, 200)
    assert smallest == pytest.approx(min(edge_error(scores, same, each, weights) for each in tried))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0.5, 0.7, 0.9]))
def test_edges_are_judged_by_the_majority_of_their_fragments(seed, least, purity):
    rng = np.random.default_rng(seed)
    fragments, truth = rng.integers(1, 6, (3, 4, 5)).astype(np.uint64), rng.integers(0, 4, (3, 4, 5)).astype(np.uint64)
    ids = np.unique(fragments)
    edges = np.array([(a, b) for a in ids for b in ids if a < b], np.uint64).reshape(-1, 2)
    found = judge_edges(edges, ids, overlap_table(fragments, truth), minimum_voxels=least, minimum_purity=purity)
    owners, small, mixed = {}, 0, 0
    for fragment in ids:
        counts = np.bincount(truth[(fragments == fragment) & (truth > 0)].astype(int), minlength=4)
        if counts.sum() < least:
            small += 1
        elif counts.max() < purity * counts.sum():
            mixed += 1
        else:
            owners[fragment] = int(np.argmax(counts))
    assert (found.small, found.mixed) == (small, mixed)
    for (a, b), judged, same, neurons in zip(edges, found.judged, found.same, found.neurons, strict=True):
        assert judged == (a in owners and b in owners)
        if judged:
            assert neurons.tolist() == [owners[a], owners[b]]
            assert same == (owners[a] == owners[b])
        assert judged or not same


def test_a_perfect_score_has_area_one_and_no_error():
    same = np.array([True, False, True, False])
    scores = np.where(same, 0.9, 0.2)
    assert edge_curve(scores, same).area == 1
    assert edge_error(scores, same, 0.5) == 0
    assert edge_error(scores, same, 0.95) == 0.5


def between(neurons, count, rng):
    """Random edges between neurons, a third of them inside one."""
    pairs = rng.integers(1, neurons + 1, (count, 2)).astype(np.uint64)
    inside = rng.random(count) < 1 / 3
    pairs[inside, 1] = pairs[inside, 0]
    same = pairs[:, 0] == pairs[:, 1]
    return EdgeTruth(np.ones(count, bool), same, pairs, 0, 0)


def test_samples_are_paired_and_spread_around_the_area():
    rng = np.random.default_rng(0)
    truth = between(40, 600, rng)
    good = truth.same + rng.normal(0, 0.6, 600)
    worse = good + rng.normal(0, 0.6, 600)
    samples = edge_samples([good, worse, good], truth, repeats=200, rng=rng)
    np.testing.assert_array_equal(samples[0], samples[2])
    low, high = np.percentile(samples[0], [2.5, 97.5])
    assert low < edge_curve(good, truth.same).area < high
    assert (samples[0] - samples[1]).std() < samples[1].std()
    assert np.percentile(samples[0] - samples[1], 2.5) > 0


def test_edges_that_are_not_judged_do_not_count():
    rng = np.random.default_rng(1)
    truth = between(30, 300, rng)
    scores = truth.same + rng.normal(0, 0.5, 300)
    judged = rng.random(300) < 0.8
    part = EdgeTruth(judged, truth.same & judged, truth.neurons, 0, 0)
    spoilt = np.where(judged, scores, 7.0)
    one = edge_samples([scores], part, repeats=20, rng=np.random.default_rng(2))
    np.testing.assert_array_equal(one, edge_samples([spoilt], part, repeats=20, rng=np.random.default_rng(2)))


def test_bad_input_is_refused():
    rng = np.random.default_rng(0)
    truth = between(19, 100, rng)
    with pytest.raises(InputError, match="at least 20 neurons"):
        edge_samples([rng.random(100)], truth, rng=rng)
    with pytest.raises(InputError, match="lists of one length"):
        edge_curve([0.5], [True, False])
    with pytest.raises(InputError, match="finite"):
        edge_curve([np.nan], [True])
    with pytest.raises(InputError, match="nothing is to be merged"):
        edge_curve([], [])
    volume = np.ones((2, 2, 2), np.uint64)
    with pytest.raises(InputError, match="of one run"):
        judge_edges([(1, 2)], [1], overlap_table(volume, volume))
    assert judge_edges(np.empty((0, 2)), [1], overlap_table(volume, volume)).judged.size == 0
