"""Synthetic volumes as a whole."""

import numpy as np
import pytest
from scipy import ndimage

from clew.errors import InputError
from clew.synthetic.options import SyntheticOptions
from clew.synthetic.volume import synthesize

SHAPE = (40, 52, 56)


def borders(labels):
    """Voxels that touch another neuron."""
    border = np.zeros(labels.shape, bool)
    for axis in range(3):
        differs = np.diff(labels, axis=axis) != 0
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        border[tuple(low)] |= differs
        border[tuple(high)] |= differs
    return border


@pytest.fixture(scope="module")
def volume():
    return synthesize(SHAPE, seed=1)


def test_labels_are_dense_and_numbered_from_one(volume):
    assert volume.raw.shape == volume.labels.shape == volume.mitochondria.shape == SHAPE
    assert volume.raw.dtype == np.uint8
    assert volume.labels.dtype == np.uint64
    ids = np.unique(volume.labels)
    np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))
    assert 8 <= len(ids) <= 200


def test_the_same_seed_gives_the_same_volume(volume):
    again, other = synthesize(SHAPE, seed=1), synthesize(SHAPE, seed=2)
    np.testing.assert_array_equal(volume.raw, again.raw)
    np.testing.assert_array_equal(volume.labels, again.labels)
    assert (volume.raw != other.raw).mean() > 0.5
    handed = synthesize(SHAPE, seed=np.random.default_rng(1))
    np.testing.assert_array_equal(volume.raw, handed.raw)


def test_neurites_are_in_one_piece_but_for_crumbs(volume):
    apart = 0
    for label in np.unique(volume.labels):
        parts, _ = ndimage.label(volume.labels == label, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        apart += int(sizes.sum() - sizes.max())
    assert apart < 0.002 * volume.labels.size


def test_membranes_are_dark_everywhere(volume):
    border = borders(volume.labels)
    inside = ndimage.distance_transform_edt(~border) > 3
    cytoplasm = volume.raw[inside & ~volume.mitochondria]
    assert 85 < volume.raw[border].mean() < 110
    assert cytoplasm.mean() > volume.raw[border].mean() + 30
    assert (volume.raw[border] > cytoplasm.mean()).mean() < 0.01


def test_every_contact_has_its_membrane(volume):
    touching = {}
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        one, other = volume.labels[tuple(low)].astype(int), volume.labels[tuple(high)].astype(int)
        grey = np.minimum(volume.raw[tuple(low)], volume.raw[tuple(high)])
        for pair in np.flatnonzero(one != other):
            key = frozenset((one.flat[pair], other.flat[pair]))
            touching.setdefault(key, []).append(int(grey.flat[pair]))
    large = [np.mean(greys) for greys in touching.values() if len(greys) > 30]
    assert len(large) > 20
    assert max(large) < 115


def test_mitochondria_are_dark_and_keep_off_membranes(volume):
    assert 0.02 < volume.mitochondria.mean() < 0.15
    assert not (volume.mitochondria & borders(volume.labels)).any()
    assert volume.raw[volume.mitochondria].mean() < 95


def test_calibres_vary(volume):
    border = borders(volume.labels)
    depth = ndimage.distance_transform_edt(~border) + 0.5
    radii = ndimage.maximum(depth, volume.labels, np.unique(volume.labels)) * 10
    assert np.percentile(radii, 90) > 2 * np.percentile(radii, 10)


@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 31, 16), (16, 16, 100)])
def test_small_and_odd_shapes(shape):
    volume = synthesize(shape, seed=0)
    assert volume.raw.shape == shape
    assert (volume.labels > 0).all()


def test_all_neurites_may_be_equally_thick():
    labels = synthesize((16, 16, 16), options=SyntheticOptions(thinnest=60, thickest=60)).labels
    assert labels.max() > 3


def test_thick_sections_smear_membranes():
    sections = synthesize((16, 64, 64), voxel_size=(40, 8, 8), seed=5, options=SyntheticOptions(noise=0))
    block = synthesize((32, 40, 40), voxel_size=(10, 10, 10), seed=5, options=SyntheticOptions(noise=0))
    assert sections.raw.shape == (16, 64, 64)
    assert sections.raw[borders(sections.labels)].std() > 1.5 * block.raw[borders(block.labels)].std()


def test_defects_damage_sections_and_leave_the_truth():
    options = SyntheticOptions(missing_sections=0.1, faint_sections=0.2, soiled_sections=0.2)
    clean = synthesize((40, 32, 32), voxel_size=(40, 8, 8), seed=3)
    damaged = synthesize((40, 32, 32), voxel_size=(40, 8, 8), seed=3, options=options)
    np.testing.assert_array_equal(clean.labels, damaged.labels)
    missing = (damaged.raw == 0).all(axis=(1, 2))
    faint = damaged.raw.std(axis=(1, 2)) < 0.6 * clean.raw.std(axis=(1, 2))
    changed = (damaged.raw != clean.raw).any(axis=(1, 2))
    assert 1 <= missing.sum() <= 10
    assert (faint & ~missing).sum() >= 3
    assert missing.sum() + faint.sum() < 40
    assert changed.sum() < 32


def test_shifted_sections_move_image_and_truth_alike():
    size = (40, 8, 8)
    still = synthesize((16, 40, 40), voxel_size=size, seed=4)
    moved = synthesize((16, 40, 40), voxel_size=size, seed=4, options=SyntheticOptions(section_shift=16))
    moves = 0
    for before, after in zip(
        zip(still.raw, still.labels, still.mitochondria, strict=True),
        zip(moved.raw, moved.labels, moved.mitochondria, strict=True),
        strict=True,
    ):
        matches = [
            (y, x)
            for y in range(-8, 9)
            for x in range(-8, 9)
            if all(
                np.array_equal(np.roll(old, (-y, -x), (0, 1))[8:-8, 8:-8], new[8:-8, 8:-8])
                for old, new in zip(before, after, strict=True)
            )
        ]
        assert len(matches) == 1
        moves += matches != [(0, 0)]
    assert moves >= 8


def test_grey_values_beyond_black_and_white_are_cut_off():
    raw = synthesize((16, 24, 24), seed=0, options=SyntheticOptions(noise=10)).raw
    for end, beside in ((0, 1), (255, 254)):
        assert (raw == end).mean() > 5 * (raw == beside).mean()


def test_everything_can_be_switched_off():
    plain = SyntheticOptions(
        branching=0, roughness=0, mitochondria=0, synapses=0, organelles=0, texture=0, noise=0, blur=0, drift=0
    )
    volume = synthesize((32, 32, 32), seed=0, options=plain)
    assert not volume.mitochondria.any()
    inside = ndimage.distance_transform_edt(~borders(volume.labels)) > 4
    largest = np.bincount(volume.labels[inside].astype(np.int64)).argmax()
    low, high = np.percentile(volume.raw[inside & (volume.labels == largest)], [2, 98])
    assert high - low <= 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (64, 64)}, "shape must be three"),
        ({"shape": (32, 32.5, 32)}, "whole numbers"),
        ({"shape": (64, 64, 8)}, "at least 16"),
        ({"shape": (32, 32, 32), "voxel_size": (10, 10)}, "voxel size must be three"),
        ({"shape": (32, 32, 32), "voxel_size": (10, 0, 10)}, "positive"),
        ({"shape": (32, 32, 32), "voxel_size": (10, np.nan, 10)}, "positive"),
        ({"shape": (32, 32, 32), "options": SyntheticOptions(thinnest=100, thickest=50)}, "thinner"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        synthesize(**arguments)
