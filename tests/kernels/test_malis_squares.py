import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.kernels.malis import _Crop, _flag_edges, _Rows
from clew.training.targets import affinity_targets
from naive import malis as naive


@st.composite
def crops(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)))
    affinities = draw(arrays(np.float32, (3, *shape), elements=st.sampled_from([-0.0, 0.0, 0.25, 0.5, 1.0])))
    labels = draw(arrays(np.uint64, shape, elements=st.sampled_from([0, 1, 1, 1, 2])))
    return affinities, labels, draw(st.none() | arrays(bool, shape, elements=st.sampled_from([False, True, True])))


@settings(deadline=None, max_examples=60)
@given(crops())
def test_edges_last_in_a_square_are_flagged_and_no_others(crop):
    affinities, labels, mask = crop
    targets, valid = affinity_targets(labels, naive.OFFSETS, mask)
    _, height, width = labels.shape
    flags = np.empty(labels.shape, np.uint8)
    ranks, last = np.empty((2, 3, height, width), np.int32), np.empty(width, np.uint8)
    crop = _Crop(affinities, affinities.view(np.int32), labels, valid, mask is not None)
    _flag_edges(crop, _Rows(ranks, last, np.empty(width + 1, np.int32)), flags)
    inside_first = affinities + 2 * targets
    unneeded = naive.last_edges_of_squares(inside_first, targets, valid) | ~valid
    wanted = np.concatenate([unneeded, targets & valid])
    np.testing.assert_array_equal(np.stack([flags >> bit & 1 for bit in range(6)]), wanted)
