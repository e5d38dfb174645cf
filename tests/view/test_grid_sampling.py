"""Points of a layer: the nearest voxels of the scale that is fine enough."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.view import sampling
from clew.view.layers import Layer
from clew.view.sampling import channel, sampled
from clew.volumes.scales import Coarser

SIZE, PLACE = (40.0, 8.0, 8.0), (400.0, 0.0, 80.0)


class Recorded:
    """An array that keeps what was read of it."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.read = values, values.shape, values.dtype, []

    def __getitem__(self, box):
        self.read.append(self.values[box].size)
        return self.values[box]


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(1, 2**60, (6, 40, 50)).astype(np.uint64)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_points_have_the_values_of_their_voxels(data):
    values = np.arange(1, 1 + 3 * 7 * 9, dtype=np.uint64).reshape(3, 7, 9)
    layer = Layer("ids", values, "segmentation", SIZE, PLACE)
    shape = data.draw(st.tuples(*[st.integers(1, 5)] * 3))
    first = np.array(data.draw(st.tuples(*[st.integers(-4, 9)] * 3)))
    strides = np.array(data.draw(st.tuples(*[st.integers(1, 3)] * 3)))
    found = sampled(layer, PLACE + first * SIZE, strides * SIZE, shape)
    for point in np.ndindex(*shape):
        voxel = first + strides * point
        inside = (voxel >= 0).all() and (voxel < values.shape).all()
        assert found[point] == (values[tuple(voxel)] if inside else 0)


def test_the_coarsest_scale_that_is_fine_enough_is_read(values):
    scales = [Recorded(values), Recorded(values[:, ::2, ::2]), Recorded(values[:, ::4, ::4])]
    coarser = [(scales[1], (1, 2, 2)), (scales[2], (1, 4, 4))]
    layer = Layer("ids", scales[0], "segmentation", SIZE, coarser=coarser)
    for step, wanted in ((8, 0), (15, 0), (16, 1), (31, 1), (32, 2), (100, 2)):
        for scale in scales:
            scale.read.clear()
        sampled(layer, (80, 0, 0), (40, step, step), (1, 3, 3))
        assert [bool(scale.read) for scale in scales] == [each == wanted for each in range(3)], step


def test_a_section_of_a_large_volume_is_read_in_parts(values, monkeypatch):
    monkeypatch.setattr(sampling, "EDGE", 8)
    data = Recorded(values)
    layer = Layer("ids", data, "segmentation", SIZE, coarser=[(Coarser(data, (1, 4, 4)), (1, 4, 4))])
    found = sampled(layer, (80, 12, 12), (40, 32, 32), (1, 10, 12))
    assert max(data.read) <= 8 * 8
    np.testing.assert_array_equal(found, Coarser(values, (1, 4, 4))[2:3, 0:10, 0:12])


def test_a_channel_is_a_volume(values):
    data = np.stack([values, values + np.uint64(1)])
    layer = Layer("affinities", data, "affinities", SIZE, coarser=[(data[:, ::2], (2, 1, 1))])
    one = channel(layer, 1)
    np.testing.assert_array_equal(sampled(one, (0, 0, 0), SIZE, values.shape), values + np.uint64(1))
    np.testing.assert_array_equal(one.coarser[0][0][0:3, 0:2, 0:2], data[1, ::2][:, :2, :2])
