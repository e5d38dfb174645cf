import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.errors import InputError
from clew.network.options import DESCRIPTORS
from clew.training.descriptors import descriptor_loss, descriptor_targets, local_shape_descriptors
from naive import descriptors as naive

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 9))
LABELS = SHAPES.flatmap(lambda s: arrays(np.uint64, s, elements=st.sampled_from([0, 1, 1, 1, 2, 2**63 + 1])))
SIZE = st.sampled_from([1.0, 2.5, 4.0])


@settings(deadline=None)
@given(LABELS, st.sampled_from([0.1, 1.5, 4.0, 10.0]), st.tuples(SIZE, SIZE, SIZE))
def test_descriptors_equal_their_naive_twin(labels, sigma, voxel_size):
    found = local_shape_descriptors(labels, sigma=sigma, voxel_size=voxel_size)
    wanted = naive.local_shape_descriptors(labels, sigma, voxel_size)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_descriptors_of_winding_objects_equal_their_naive_twin():
    labels = np.random.default_rng(0).integers(0, 3, (4, 4, 5)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
    found = local_shape_descriptors(labels, sigma=2.5, voxel_size=(1, 1, 1))
    np.testing.assert_allclose(found, naive.local_shape_descriptors(labels, 2.5, (1, 1, 1)), atol=1e-4)


def at(descriptors, voxel):
    return dict(zip(DESCRIPTORS, descriptors[(slice(None), *voxel)], strict=True))


def test_inside_a_large_object_they_are_those_of_the_window():
    values = at(local_shape_descriptors(np.ones((27, 27, 27), int), sigma=20, voxel_size=(5, 5, 5)), (13, 13, 13))
    expected = dict.fromkeys(DESCRIPTORS, 0.5) | {"size": 1.0}
    expected |= {name: 0.98 for name in DESCRIPTORS if name.startswith("variance")}  # 1, less what is cut at 3 sigma
    assert values == pytest.approx(expected, abs=0.01)


def test_offsets_point_to_the_middle_of_the_object():
    labels = np.zeros((3, 3, 30), int)
    labels[1, 1, 5:16] = 7
    descriptors = local_shape_descriptors(labels, sigma=10, voxel_size=(1, 1, 1))
    offsets = (descriptors[2, 1, 1] - 0.5) * 20
    assert offsets[10] == pytest.approx(0, abs=1e-5)
    assert offsets[5] > 4
    assert offsets[15] < -4
    assert not descriptors[:, labels == 0].any()


def test_a_diagonal_object_is_correlated_along_the_diagonal():
    labels = np.zeros((3, 20, 20), int)
    labels[1][np.eye(20, dtype=bool)] = 1
    values = at(local_shape_descriptors(labels, sigma=3, voxel_size=(1, 1, 1)), (1, 10, 10))
    assert values["correlation_yx"] == pytest.approx(1, abs=1e-4)
    assert (values["correlation_zy"], values["variance_z"]) == (0.5, 0)
    mirrored = at(local_shape_descriptors(labels[:, ::-1], sigma=3, voxel_size=(1, 1, 1)), (1, 9, 10))
    assert mirrored["correlation_yx"] == pytest.approx(0, abs=1e-4)


def test_only_the_ratio_of_sigma_and_voxels_counts():
    labels = np.random.default_rng(1).integers(0, 4, (3, 3, 3)).repeat(5, 0).repeat(5, 1).repeat(5, 2)
    small = local_shape_descriptors(labels, sigma=3, voxel_size=(1, 1, 1))
    np.testing.assert_allclose(small, local_shape_descriptors(labels, sigma=30, voxel_size=(10, 10, 10)), atol=1e-6)


def test_the_loss_counts_voxels_of_objects_only():
    targets = torch.rand(2, 10, 3, 4, 5) + 0.01
    valid = torch.rand(2, 3, 4, 5) > 0.5
    targets *= valid[:, None]
    logits = torch.logit(targets.clamp(1e-6, 1 - 1e-6))
    logits[(~valid)[:, None].expand_as(logits)] = 7
    assert descriptor_loss(logits, targets) == pytest.approx(0, abs=1e-4)
    logits[:, 3] = 50
    expected = ((1 - targets[:, 3])[valid] ** 2).mean() / 10
    assert descriptor_loss(logits, targets) == pytest.approx(expected.item(), rel=1e-2)
    assert descriptor_loss(logits, torch.zeros_like(targets)) == 0


def test_targets_of_a_crop():
    surroundings = np.zeros((1, 3, 18), np.uint32)
    surroundings[..., :7] = surroundings[..., 9:13] = 3
    trained = np.ones((1, 3, 12), bool)
    trained[..., 0] = False
    found = descriptor_targets(surroundings, trained, 40.0, (10.0, 10.0, 10.0))
    assert not found[..., 0].any()
    pieces = np.zeros_like(surroundings)
    pieces[..., :7], pieces[..., 9:13] = 1, 2
    expected = local_shape_descriptors(pieces, sigma=40, voxel_size=(10, 10, 10))[..., 3:15]
    np.testing.assert_array_equal(found[..., 1:], expected[..., 1:])


@pytest.mark.parametrize(("sigma", "voxel_size"), [(0, (1, 1, 1)), (2, (1, 0, 1)), (float("nan"), (1, 1, 1))])
def test_bad_sizes_are_refused(sigma, voxel_size):
    with pytest.raises(InputError, match="above 0 nm|positive numbers"):
        local_shape_descriptors(np.ones((2, 2, 2), int), sigma=sigma, voxel_size=voxel_size)


def test_bad_labels_are_refused():
    with pytest.raises(InputError, match="negative"):
        local_shape_descriptors(np.full((2, 2, 2), -1), sigma=2, voxel_size=(1, 1, 1))
