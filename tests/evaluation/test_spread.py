"""The bootstrap of true objects equals one that draws their voxels, one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.evaluation.overlap import overlap_table
from clew.evaluation.scores import score_table
from clew.evaluation.spread import object_bits, voi_intervals


def voxel_bits(segments: np.ndarray, truth: np.ndarray) -> list[float]:
    """Bits of each voxel: how little its object tells of its segment, and its segment of its object."""
    bits = []
    for segment, neuron in zip(segments, truth, strict=True):
        both = np.sum((segments == segment) & (truth == neuron))
        bits.append(-np.log2(both / np.sum(truth == neuron)) - np.log2(both / np.sum(segments == segment)))
    return bits


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(20, 25), st.integers(1, 8))
def test_intervals_equal_those_of_drawn_voxels(seed, objects, segments):
    rng = np.random.default_rng(seed)
    truth = np.append(np.arange(objects), rng.integers(objects, size=60)) + 1
    found = [rng.integers(segments, size=len(truth)), truth // 3]
    tables = [overlap_table(each.reshape(1, 1, -1), truth.reshape(1, 1, -1)) for each in found]
    draws = np.random.default_rng(seed % 7)
    expected: list[list[float]] = [[], []]
    costs = [np.array(voxel_bits(each, truth)) for each in found]
    for _ in range(30):
        drawn = draws.integers(objects, size=objects) + 1
        for cost, values in zip(costs, expected, strict=True):
            values.append(float(np.mean(np.concatenate([cost[truth == neuron] for neuron in drawn]))))
    intervals = voi_intervals(tables, repeats=30, seed=seed % 7)
    np.testing.assert_allclose(intervals, np.percentile(expected, (2.5, 97.5), axis=1).T, atol=1e-9)
    for table in tables:
        voxels, bits = object_bits(table)
        assert bits.sum() / voxels.sum() == pytest.approx(score_table(table).voi_sum, abs=1e-9)


def test_the_spread_covers_other_neurons():
    rng = np.random.default_rng(1)
    split = rng.random(40) < 0.5
    truth = np.repeat(np.arange(40), 8) + 1
    found = 2 * truth + (np.tile(np.arange(8), 40) >= 4) * np.repeat(split, 8)
    low, high = voi_intervals([overlap_table(found.reshape(1, 1, -1), truth.reshape(1, 1, -1))])[0]
    assert low < split.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 40), rel=0.2)


def test_few_objects_have_no_spread():
    truth = np.arange(1, 20).reshape(1, 1, -1)
    with pytest.raises(InputError, match="at least 20 true objects, not 19"):
        voi_intervals([overlap_table(truth, truth)])
