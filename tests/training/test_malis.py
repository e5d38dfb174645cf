import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.errors import InputError
from clew.training import malis
from clew.training.malis import constrained_malis_loss, malis_pairs, malis_weights, unconstrained_malis_pairs
from clew.training.targets import affinity_targets, split_components
from naive import malis as naive

OFFSETS = naive.OFFSETS
AFFINITIES = st.sampled_from([0.0, -0.0, 1e-30, 0.1, 0.25, 0.5, 0.75, 1 - 2**-24, 1.0])


@st.composite
def crops(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)))
    labels = draw(arrays(np.uint64, shape, elements=st.sampled_from([0, 1, 1, 2, 2**63 + 5])))
    affinities = draw(arrays(np.float32, (3, *shape), elements=AFFINITIES))
    return affinities, labels, draw(st.none() | arrays(bool, shape))


@settings(deadline=None, max_examples=60)
@given(crops())
def test_constrained_pairs_equal_the_definition(crop):
    for found, wanted in zip(malis_pairs(*crop), naive.constrained_pairs(*crop), strict=True):
        np.testing.assert_array_equal(found, wanted)


@settings(deadline=None, max_examples=40)
@given(crops())
def test_unconstrained_pairs_equal_the_definition(crop):
    affinities, labels, mask = crop
    targets, _ = affinity_targets(labels, OFFSETS)
    _, valid = affinity_targets(labels, OFFSETS, mask)
    wanted = naive.maximin_pairs(affinities, labels, targets, valid)
    for found, count in zip(unconstrained_malis_pairs(*crop), wanted, strict=True):
        np.testing.assert_array_equal(found, count)


@settings(deadline=None, max_examples=40)
@given(crops())
def test_weights_of_one_pass_equal_the_definition(crop):
    affinities, labels, mask = crop
    targets, valid = affinity_targets(labels, OFFSETS, mask)
    objects = split_components(labels if mask is None else np.where(mask, labels, 0))
    wanted = naive.maximin_pairs(affinities, objects, targets, valid)
    for found, pairs in zip(malis_weights(*crop, passes=1), wanted, strict=True):
        np.testing.assert_allclose(found, pairs / max(pairs.sum(), 1), rtol=1e-6)


def test_an_edge_may_carry_both_weights_of_one_pass():
    ring = np.array([[[1, 1], [1, 2]]], np.uint64)
    affinities = np.array([[[[0, 0], [0, 0]]], [[[0, 0], [0.9, 0.5]]], [[[0, 0.2], [0, 0.8]]]], np.float32)
    positive, negative = malis_weights(affinities, ring, passes=1)
    np.testing.assert_allclose(positive.ravel()[[6, 7, 9, 11]], [1 / 3, 2 / 3, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(negative.ravel()[[6, 7, 9, 11]], [0, 1 / 3, 0, 2 / 3], rtol=1e-6)


def test_one_pass_splits_an_object_at_masked_edges():
    labels, mask = np.array([[[1, 1], [2, 2]]], np.uint64), np.ones((3, 1, 2, 2), bool)
    mask[2, 0, 0, 1] = False
    positive, negative = malis_weights(np.full(mask.shape, 0.5, np.float32), labels, mask, passes=1)
    np.testing.assert_allclose(positive.ravel()[[6, 7, 11]], [0, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(negative.ravel()[[6, 7, 11]], [2 / 5, 3 / 5, 0], rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(crops(), st.tuples(*[st.integers(2, 4)] * 3), st.tuples(*[st.integers(-5, 5)] * 3), st.sampled_from([1, 2]))
def test_each_window_is_weighed_as_a_crop_of_its_own(crop, window, start, passes):
    affinities, labels, mask = (None if array is None else np.pad(array, PADDING[array.ndim]) for array in crop)
    window = tuple(min(side, size) for side, size in zip(window, labels.shape, strict=True))
    found = malis_weights(affinities, labels, mask, passes=passes, window=window, start=start)
    wanted = np.zeros((2, *affinities.shape))
    edges = 0
    for box in naive.windows(labels.shape, window, start):
        inside = None if mask is None else mask[box]
        parts = affinities[(slice(None), *box)], labels[box], inside
        valid = affinity_targets(labels[box], OFFSETS, inside)[1]
        wanted[(slice(None), slice(None), *box)] = valid.sum() * np.stack(malis_weights(*parts, passes=passes))
        edges += valid.sum()
        if passes == 2:
            for pairs, count in zip(malis_pairs(*parts), naive.constrained_pairs(*parts), strict=True):
                np.testing.assert_array_equal(pairs, count)
    np.testing.assert_allclose(found, wanted / max(edges, 1), rtol=1e-5)


PADDING = {3: ((1, 1), (1, 1), (1, 0)), 4: ((0, 0), (1, 1), (1, 1), (1, 0))}
"""So that each axis is long enough for a window."""


def test_more_edges_between_objects_carry_weight_in_windows():
    affinities, labels = random_crop("random", 32)
    whole, in_windows = (
        np.count_nonzero(malis_weights(affinities, labels, window=window, start=(4, 4, 4))[1])
        for window in (None, (8, 8, 8))
    )
    assert whole < split_components(labels).max() + np.count_nonzero(labels == 0)
    assert in_windows > 2 * whole


def test_windows_that_do_not_fit_are_refused():
    affinities, labels = random_crop("random", 8)
    for window in ((9, 8, 8), (8, 1, 8), (8, 8)):
        with pytest.raises(InputError, match="fit into the crop"):
            malis_weights(affinities, labels, window=window)


def random_crop(kind, size=20):
    rng = np.random.default_rng(7)
    labels = np.kron(rng.integers(0, 4, (4, 4, 4)), np.ones((size // 4,) * 3, np.int64)).astype(np.uint64)
    affinities = rng.random((3, *labels.shape), np.float32)
    if kind == "few levels":
        affinities = np.round(affinities * 5) / np.float32(5)
    if kind == "narrow":
        affinities = np.float32(0.5) + affinities * np.float32(1e-4)
    if kind == "saturated":
        affinities = np.clip(affinities * 4 - 1.5, 0, 1)
    return affinities.astype(np.float32), labels


@pytest.mark.parametrize("kind", ["random", "few levels", "narrow", "saturated"])
@pytest.mark.parametrize("masked", [None, "voxels", "edges"])
def test_constrained_pairs_equal_the_general_form(kind, masked):
    affinities, labels = random_crop(kind)
    shape = {None: None, "voxels": labels.shape, "edges": affinities.shape}[masked]
    mask = None if shape is None else np.random.default_rng(3).random(shape) < 0.95
    if masked == "edges":  # objects stay whole, so that they are the components of the labels
        mask |= affinity_targets(labels, OFFSETS)[0]
    objects = split_components(np.where(mask, labels, 0) if masked == "voxels" else labels)
    targets = affinity_targets(objects, OFFSETS)[0]
    same, _ = unconstrained_malis_pairs(np.minimum(affinities, targets), objects, mask)
    _, different = unconstrained_malis_pairs(np.maximum(affinities, targets), objects, mask)
    positive, negative = malis_pairs(affinities, labels, mask)
    np.testing.assert_array_equal(positive, np.where(targets, same, 0))
    np.testing.assert_array_equal(negative, np.where(targets, 0, different))


def test_weights_sum_to_one_and_counts_need_64_bits():
    labels = np.ones((48, 48, 48), np.uint64)
    labels[24:] = 2
    affinities = np.random.default_rng(0).random((3, *labels.shape), np.float32)
    positive, negative = malis_pairs(affinities, labels)
    half = labels.size // 2
    assert positive.sum() == half * (half - 1)
    assert negative.sum() == half**2 > 2**31
    for weights in malis_weights(affinities, labels):
        assert weights.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)


@pytest.mark.compiled
def test_unconstrained_counts_need_64_bits():
    """Two objects that meet last of all, along one weak face."""
    labels = np.ones((48, 48, 48), np.uint64)
    labels[24:] = 2
    affinities = np.full((3, *labels.shape), 0.9, np.float32)
    affinities[0, 24] = 0.1
    same, different = unconstrained_malis_pairs(affinities, labels)
    half = labels.size // 2
    assert same.sum() == half * (half - 1)
    assert different.max() == half**2 > 2**31


def test_an_object_split_by_masked_edges_is_two_objects():
    labels = np.ones((1, 1, 4), np.uint64)
    mask = np.ones((3, 1, 1, 4), bool)
    mask[2, 0, 0, 2] = False
    positive, negative = malis_pairs(np.full(mask.shape, 0.5, np.float32), labels, mask)
    np.testing.assert_array_equal(positive[2, 0, 0], [0, 1, 0, 1])
    assert negative.sum() == 0


@pytest.mark.parametrize("value", [0, 1])
def test_no_pairs_give_no_loss(value):
    prediction = torch.full((3, 2, 2, 2), 0.3, requires_grad=True)
    labels = np.zeros((2, 2, 2), np.uint64)
    labels[0, 0, 0] = value
    loss = constrained_malis_loss(prediction, labels)
    loss.backward()
    assert loss.item() == 0
    assert not prediction.grad.any()


@pytest.mark.parametrize("window", [None, (3, 2, 4)])
def test_gradient_equals_finite_differences_with_the_weights_fixed(window):
    affinities, labels = random_crop("random", 4)
    positive, negative = (pairs / pairs.sum() for pairs in malis_pairs(affinities, labels))
    if window is not None:
        positive, negative = malis_weights(affinities, labels, window=window)
    prediction = torch.tensor(affinities, dtype=torch.float64, requires_grad=True)
    loss = constrained_malis_loss(prediction, torch.from_numpy(labels.astype(np.int64)), window=window)
    loss.backward()

    def fixed(values):
        return (positive * (1 - values) ** 2 + negative * values**2).sum()

    assert loss.item() == pytest.approx(fixed(affinities.astype(np.float64)), rel=1e-12)
    for edge in range(affinities.size):
        step = np.zeros(affinities.size)
        step[edge] = 1e-6
        step = step.reshape(affinities.shape)
        slope = (fixed(affinities + step) - fixed(affinities - step)) / 2e-6
        assert prediction.grad.view(-1)[edge].item() == pytest.approx(slope, abs=1e-8)


def test_a_batch_is_the_mean_of_its_crops_to_the_bit():
    crops = [random_crop(kind, 8) for kind in ("random", "saturated", "narrow", "few levels", "random")]
    prediction = torch.tensor(np.stack([affinities for affinities, _ in crops]), requires_grad=True)
    labels = np.stack([labels for _, labels in crops])
    mask = np.random.default_rng(0).random(labels.shape) < 0.9
    crops = zip(prediction, labels, mask, strict=True)
    single = torch.stack([constrained_malis_loss(p, s, mask=m) for p, s, m in crops])
    (wanted,) = torch.autograd.grad(single.mean(), prediction)
    loss = constrained_malis_loss(prediction, labels, mask=mask)
    loss.backward()
    assert torch.equal(prediction.grad, wanted)
    assert all(gradient.any() for gradient in wanted)


def test_crops_of_a_batch_are_weighed_at_the_same_time(monkeypatch):
    together = threading.Barrier(2, timeout=30)

    def weigh(prediction, labels, mask, **windows):
        together.wait()
        return np.zeros(prediction.shape, np.float32)

    monkeypatch.setattr(malis, "_signed_weights", weigh)
    monkeypatch.setattr(malis.os, "cpu_count", lambda: 2)
    assert constrained_malis_loss(torch.zeros(2, 3, 2, 2, 2), np.ones((2, 2, 2, 2), np.uint64)).item() == 0


def test_a_bad_crop_of_a_batch_is_refused():
    prediction = torch.full((3, 3, 2, 2, 2), 0.5)
    prediction[1, 0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="sigmoid"):
        constrained_malis_loss(prediction, np.ones((3, 2, 2, 2), np.uint64))


def test_gradient_descent_recovers_the_objects():
    labels = np.zeros((1, 6, 6), np.uint64)
    labels[:, :, :3], labels[:, :, 3:] = 1, 2
    torch.manual_seed(0)
    logits = torch.randn((3, *labels.shape), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.3)
    for _ in range(150):
        optimiser.zero_grad()
        loss = constrained_malis_loss(torch.sigmoid(logits), labels)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.01
    assert torch.sigmoid(logits)[2, 0, :, 3].max() < 0.2


def test_bad_input_is_refused():
    labels, good = np.ones((2, 2, 2), np.uint64), torch.full((3, 2, 2, 2), 0.5)
    for prediction, message in [
        (good[0], r"\[batch,\] 3, z, y, x"),
        (good[:2], r"\(3, z, y, x\)"),
        (good * 3, "sigmoid"),
        (good * float("nan"), "sigmoid"),
        (good[None].repeat(2, 1, 1, 1, 1), "number of crops"),
    ]:
        with pytest.raises(InputError, match=message):
            constrained_malis_loss(prediction, labels[:1] if prediction.ndim == 5 else labels)
    with pytest.raises(InputError, match="mask"):
        constrained_malis_loss(good, labels, mask=np.ones((2, 2)))
    with pytest.raises(InputError, match="floating point"):
        malis_weights(np.ones((3, 2, 2, 2), np.uint8), labels)
