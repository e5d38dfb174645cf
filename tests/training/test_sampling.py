import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import InputError
from clew.training.batches import collate
from clew.training.crop_sites import _axis_starts, _window_sums, find_sites
from clew.training.options import NO_AUGMENTATION as PLAIN
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.sampling import Sampler, TrainingVolume, prepare_volume
from naive import resampling as naive

CROP = (16, 16, 16)


def sampler_of(*volumes, augmentation=PLAIN, crop=CROP, **changes):
    prepared = tuple(prepare_volume(volume, 0) for volume in volumes)
    return Sampler(prepared, crop, crop, TrainingOptions(**changes), augmentation)


def volume_of(labels, mask=None, raw=0):
    mask = np.ones(labels.shape, bool) if mask is None else mask
    return TrainingVolume(np.full(labels.shape, raw, np.uint8), labels.astype(np.uint64), mask)


@given(
    st.tuples(*[st.integers(2, 9)] * 3),
    st.tuples(*[st.integers(1, 12)] * 3),
    st.integers(0, 50),
    st.sampled_from([0.2, 1.0]),
)
def test_annotation_in_windows_equals_its_naive_count(shape, crop, seed, density):
    mask = np.random.default_rng(seed).random(shape) < density
    mask.flat[0] = True
    starts = [_axis_starts(mask, axis, size) for axis, size in enumerate(crop)]
    counts = mask
    for axis, size in enumerate(crop):
        counts = _window_sums(counts, starts[axis], size, axis)
    np.testing.assert_array_equal(counts, naive.window_counts(mask, starts, crop))


def test_sites_of_a_volume_that_is_all_annotated_are_everywhere():
    sites = find_sites(np.ones((20, 20, 20), bool), (4, 5, 20), 0.5)
    assert sites.best == 1
    rng = np.random.default_rng(0)
    corners = np.array([sites.draw_center(rng) for _ in range(800)]) - [1.5, 2, 9.5]
    assert set(corners[:, 0]) == set(range(17))
    assert set(corners[:, 1]) == set(range(16))
    assert set(corners[:, 2]) == {0}


def test_every_fifth_section_annotated_gives_crops_whose_other_sections_bring_no_loss():
    labels = np.random.default_rng(0).integers(1, 4, (60, 40, 40))
    mask = np.zeros(labels.shape, bool)
    mask[::5] = True
    for augmentation in (PLAIN, AugmentationOptions(transpose="none")):
        sampler = sampler_of(volume_of(labels, mask), augmentation=augmentation)
        for step in range(5):
            crop = sampler.draw(step)
            assert 0.1 < crop.mask.mean() < 0.3
            valid = collate([crop], ((-1, 0, 0), (0, -1, 0), (0, 0, -1)), 0).valid[0].numpy()
            assert not (valid & ~crop.mask).any()
            assert valid[1:].any()
    valid = collate([sampler_of(volume_of(labels, mask)).draw(0)], ((-1, 0, 0), (0, -1, 0)), 0).valid[0]
    assert not valid[0].any()


def test_a_small_annotated_corner_of_a_large_volume_is_found():
    mask = np.zeros((40, 200, 200), bool)
    mask[5:25, 150:170, 3:23] = True
    mask[30, 20, 20] = True
    sampler = sampler_of(volume_of(np.ones(mask.shape), mask))
    assert all(sampler.draw(step).mask.mean() >= 0.5 for step in range(30))


def test_annotation_thinner_than_a_crop_is_used():
    mask = np.zeros((40, 40, 40), bool)
    mask[20:24] = True
    crop = sampler_of(volume_of(np.ones(mask.shape), mask)).draw(0)
    assert crop.mask.mean() == pytest.approx(4 / 16)


def test_single_annotated_voxels_are_refused():
    mask = np.zeros((40, 40, 40), bool)
    mask[::3, ::3, ::3] = True
    with pytest.raises(InputError, match="no two neighbouring annotated voxels"):
        sampler_of(volume_of(np.ones(mask.shape), mask)).draw(0)


def test_volumes_are_drawn_by_weight():
    volumes = [volume_of(np.ones((16, 16, 16)), raw=0), volume_of(np.ones((16, 16, 48)), raw=255)]

    def share(**changes):
        sampler = sampler_of(*volumes, **changes)
        return np.mean([sampler.draw(step).raw[0, 0, 0] > 0 for step in range(400)])

    assert 0.68 < share() < 0.82
    assert 0.05 < share(volume_weights=(9, 1)) < 0.16
    assert share(volume_weights=(0, 3)) == 1
    with pytest.raises(InputError, match="one for each of 2 volumes"):
        share(volume_weights=(1,))
    with pytest.raises(InputError, match="the weights, or the masks, of all volumes are 0"):
        share(volume_weights=(0, 0))


def test_crops_by_content():
    labels = np.zeros((16, 16, 160))
    labels[:, 4:12, 60:80] = 1
    labels[:, 4:12, 80:100] = 2
    few = sampler_of(volume_of(labels))
    assert min(np.unique(few.draw(step).labels).size for step in range(40)) == 2
    both = sampler_of(volume_of(labels), minimum_objects=2)
    assert all(set(np.unique(both.draw(step).labels)) == {0, 1, 2} for step in range(20))
    full = sampler_of(volume_of(labels), minimum_foreground=0.4)
    assert all((full.draw(step).labels > 0).mean() >= 0.4 for step in range(20))
    with pytest.raises(InputError, match="holds 3 neurons or more"):
        sampler_of(volume_of(labels), minimum_objects=3).draw(0)


def test_a_long_crop_keeps_its_shape_under_transposition():
    labels = np.random.default_rng(0).integers(1, 5, (40, 40, 40))
    turning = dataclasses.replace(AugmentationOptions(), transpose="all")
    sampler = sampler_of(volume_of(labels), augmentation=turning, crop=(8, 12, 20))
    shapes = {tuple(array.shape for array in sampler.draw(step)[:3]) for step in range(20)}
    assert shapes == {((8, 12, 20),) * 3}


def test_sites_lie_between_those_that_were_tried_and_are_well_annotated():
    mask = np.zeros((16, 16, 72), bool)
    mask[..., :40] = True
    mask[..., 71] = True
    sites = find_sites(mask, (16, 16, 16), 0.5)
    rng = np.random.default_rng(0)
    starts = {int(sites.draw_center(rng)[2] - 7.5) for _ in range(500)}
    assert starts == set(range(34))
    assert sites.middle[2] == pytest.approx(16 + 7.5, abs=1)


@pytest.mark.parametrize("augmentation", [PLAIN, AugmentationOptions(warp_probability=1.0)])
def test_surroundings_are_the_labels_around_a_crop(augmentation):
    labels = np.random.default_rng(1).integers(1, 3, (5, 5, 5)).repeat(12, 0).repeat(12, 1).repeat(12, 2)
    volume = TrainingVolume((100 * labels).astype(np.uint8), labels.astype(np.uint32), labels > 0)
    sampler = Sampler((volume,), (20, 20, 20), (12, 12, 14), TrainingOptions(), augmentation, context=(7, 2, 9))
    for seed in range(6):
        crop = sampler.cut(volume, np.array([29.5, 29.5, 29.5]), np.random.default_rng(seed))
        assert crop.surroundings.shape == (26, 16, 32)
        np.testing.assert_array_equal(crop.surroundings[7:-7, 2:-2, 9:-9], crop.labels)
        shown = crop.raw[4:-4, 4:-4, 3:-3]
        dark, light = (np.median(shown[crop.labels == label]) for label in (1, 2))
        assert light > dark
        assert np.mean((shown > (dark + light) / 2) == (crop.labels == 2)) > 0.95
    if augmentation is PLAIN:
        np.testing.assert_array_equal(crop.surroundings, labels[17:43, 22:38, 14:46])
