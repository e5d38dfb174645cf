import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from clew.errors import InputError
from clew.training.augmentation import change_intensity, random_order, sampling_field, section_slips
from clew.training.options import NO_AUGMENTATION as OFF
from clew.training.options import SERIAL_SECTIONS, AugmentationOptions, TrainingOptions
from clew.training.sampling import Sampler, TrainingVolume, scale_raw

STILL = dataclasses.replace(OFF, warp_probability=1)
SECTIONS = dataclasses.replace(OFF, serial_sections=True, elastic_jitter=(0, 2, 2))
SHAPE = (20, 48, 40)
CENTER = np.array([20.5, 60.5, 60.5])


def change(options, **changes):
    return dataclasses.replace(options, **changes)


def field_of(seed, options, shape=SHAPE):
    return sampling_field(shape, np.random.default_rng(seed), options, "cpu")


def centred(shape=SHAPE):
    return np.stack(np.meshgrid(*[np.arange(size) - (size - 1) / 2 for size in shape], indexing="ij"))


def coordinate_volume(axis):
    """Raw and labels that say where they are along an axis."""
    shape = (40, 120, 120)
    ramp = np.broadcast_to(np.expand_dims(np.arange(shape[axis]), [a for a in range(3) if a != axis]), shape)
    return TrainingVolume((2 * ramp).astype(np.uint8), (ramp + 1).astype(np.uint32), np.ones(shape, bool))


def sampler_of(volume, augmentation, shape=SHAPE, **changes):
    return Sampler((volume,), shape, shape, TrainingOptions(**changes), augmentation)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    "options",
    [
        OFF,
        change(OFF, warp_probability=1, rotate="in-plane", scaling=0.1, elastic_jitter=(2, 2, 2)),
        change(OFF, warp_probability=1, rotate="all", scaling=0.3, mirror=True, transpose="all"),
        change(
            SECTIONS, warp_probability=1, rotate="in-plane", slipped_sections=0.2, shifted_sections=0.2, mirror=True
        ),
        change(SECTIONS, slipped_sections=0.5, transpose="in-plane", mirror=True),
    ],
)
def test_labels_stay_aligned_with_raw(axis, options):
    sampler = sampler_of(coordinate_volume(axis), options)
    for seed in range(6):
        crop = sampler.cut(sampler.volumes[0], CENTER, np.random.default_rng(seed))
        assert crop.raw.shape == crop.labels.shape == crop.mask.shape == SHAPE
        place = (crop.raw + 1) * 127.5 / 2
        inside = crop.mask & (place > 1) & (place < (40, 120, 120)[axis] - 2)
        assert inside.mean() > 0.5
        assert np.abs(place - (crop.labels.astype(float) - 1))[inside].max() < 0.51


def test_everything_off_is_the_volume_itself():
    rng = np.random.default_rng(3)
    raw = rng.integers(0, 256, (40, 120, 120), dtype=np.uint8)
    labels = rng.integers(0, 9, raw.shape).astype(np.uint32)
    volume = TrainingVolume(raw, labels, rng.random(raw.shape) < 0.5)
    crop = sampler_of(volume, OFF).cut(volume, np.array([19.5, 63.5, 59.5]), rng)
    box = np.s_[10:30, 40:88, 40:80]
    np.testing.assert_allclose(crop.raw, scale_raw(raw[box]), atol=1e-6)
    np.testing.assert_array_equal(crop.labels, labels[box])
    np.testing.assert_array_equal(crop.mask, volume.mask[box])
    assert field_of(0, OFF) is None
    assert field_of(0, STILL) is None
    assert field_of(0, SECTIONS) is None


def test_rotation_in_the_plane_turns_by_up_to_a_quarter():
    angles = []
    for seed in range(40):
        field = field_of(seed, change(STILL, rotate="in-plane"))
        np.testing.assert_allclose(field[0], centred()[0], atol=1e-4)
        np.testing.assert_allclose(np.hypot(*field[1:]), np.hypot(*centred()[1:]), atol=1e-3)
        step = field[1:, 0, 1, 0] - field[1:, 0, 0, 0]
        angles.append(np.arctan2(step[1], step[0]))
    assert min(angles) >= 0
    assert max(angles) <= np.pi / 2
    assert np.ptp(angles) > 1.2


def test_any_rotation_keeps_distances_and_hand():
    field = field_of(1, change(STILL, rotate="all"))
    steps = np.stack([np.diff(field, axis=axis + 1)[:, 0, 0, 0] for axis in range(3)], axis=1)
    np.testing.assert_allclose(steps.T @ steps, np.eye(3), atol=1e-4)
    assert np.linalg.det(steps) == pytest.approx(1, abs=1e-4)
    assert abs(steps[0, 0]) < 0.99


def test_zoom_is_one_factor_and_leaves_serial_sections_in_place():
    factors = [field_of(seed, change(STILL, scaling=0.2)) / centred() for seed in range(30)]
    for factor in factors:
        assert np.ptp(factor) < 1e-4
    assert 1 / 1.2 <= min(f.min() for f in factors) < 0.9
    assert 1.1 < max(f.max() for f in factors) <= 1 / 0.8
    serial = field_of(1, change(STILL, scaling=0.2, serial_sections=True, slipped_sections=0, shifted_sections=0))
    np.testing.assert_allclose(serial[0], centred()[0], atol=1e-5)
    assert abs(serial[1, 0, 0, 0] / centred()[1, 0, 0, 0] - 1) > 0.001


def test_elastic_deformation_is_smooth_and_as_strong_as_asked_along_each_axis():
    options = change(STILL, elastic_spacing=(8, 20, 20), elastic_jitter=(0, 1, 3))
    moves = np.stack([field_of(seed, options) - centred() for seed in range(40)])
    strength = moves.std(axis=(0, 2, 3, 4))
    assert strength[0] < 1e-4
    assert 0.5 < strength[1] < 1.1
    assert 2.6 < strength[2] / strength[1] < 3.4
    roughness = [np.abs(np.diff(moves[:, 2], n=2, axis=axis)).max() for axis in (1, 2, 3)]
    assert roughness[0] > 2 * roughness[1]
    assert max(roughness[1:]) < 0.5


def test_elastic_deformation_goes_through_its_control_points():
    options = change(STILL, elastic_spacing=(1, 1, 1), elastic_jitter=(2, 2, 2))
    moves = field_of(0, options, (30, 30, 30)) - centred((30, 30, 30))
    assert 1.0 < moves.std() < 2.05


def test_slipped_sections_lie_apart_and_shifted_ones_take_the_rest_along():
    rng = np.random.default_rng(0)
    slips = section_slips(4000, rng, change(SECTIONS, slipped_sections=0.05, largest_slip=10))
    alone = slips.any(axis=1)
    assert 0.03 < alone.mean() < 0.07
    assert np.abs(slips).max() == 10
    shifts = section_slips(4000, rng, change(SECTIONS, shifted_sections=0.05, largest_slip=10))
    jumps = np.diff(shifts, axis=0)
    assert 0.03 < jumps.any(axis=1).mean() < 0.07
    assert np.abs(jumps).max() == 10
    assert not section_slips(50, rng, change(SERIAL_SECTIONS, serial_sections=False)).any()


def test_a_slip_moves_whole_sections_by_whole_pixels():
    options = change(SECTIONS, slipped_sections=0.3)
    moves = field_of(2, options) - centred()
    rng = np.random.default_rng(2)
    rng.random()
    slips = section_slips(SHAPE[0], rng, options)
    np.testing.assert_allclose(moves[0], 0, atol=1e-5)
    np.testing.assert_allclose(moves[1:], np.broadcast_to(slips.T[:, :, None, None], moves[1:].shape), atol=1e-5)
    assert slips.any()


def test_half_of_the_crops_are_mirrored_along_each_axis_and_all_orders_occur():
    rng = np.random.default_rng(0)
    found = [random_order(rng, AugmentationOptions()) for _ in range(600)]
    for axis in range(3):
        assert 0.42 < np.mean([axis in flips for _, flips in found]) < 0.58
    assert len({order for order, _ in found}) == 6
    plane = [random_order(rng, SERIAL_SECTIONS)[0] for _ in range(50)]
    assert set(plane) == {(0, 1, 2), (0, 2, 1)}


def test_the_asked_share_of_crops_is_warped():
    rng = np.random.default_rng(0)
    fields = [
        sampling_field((4, 4, 4), rng, change(OFF, warp_probability=0.3, rotate="in-plane"), "cpu") for _ in range(500)
    ]
    assert 0.24 < np.mean([field is not None for field in fields]) < 0.36


def test_contrast_and_brightness_change_about_the_mean():
    raw = np.random.default_rng(0).uniform(-0.5, 0.7, (8, 9, 10)).astype(np.float32)
    ratios, shifts = [], []
    for seed in range(60):
        changed = change_intensity(
            raw, np.random.default_rng(seed), change(OFF, intensity_scale=0.2, intensity_shift=0.1)
        )
        ratios.append(changed.std() / raw.std())
        shifts.append(changed.mean() - raw.mean())
    assert 0.8 <= min(ratios) < 0.85
    assert 1.15 < max(ratios) <= 1.2001
    assert -0.1001 <= min(shifts) < -0.06
    assert 0.06 < max(shifts) <= 0.1001


def test_serial_sections_change_one_by_one():
    raw = np.random.default_rng(0).uniform(-0.5, 0.7, (30, 9, 10)).astype(np.float32)
    changed = change_intensity(
        raw, np.random.default_rng(1), change(SECTIONS, intensity_scale=0.2, intensity_shift=0.1)
    )
    ratios = changed.std(axis=(1, 2)) / raw.std(axis=(1, 2))
    shifts = changed.mean(axis=(1, 2)) - raw.mean(axis=(1, 2))
    assert np.ptp(ratios) > 0.2
    assert np.ptp(shifts) > 0.1
    assert max(np.abs(ratios - 1).max() / 0.2, np.abs(shifts).max() / 0.1) < 1.001


def test_noise_is_white_and_blur_smooths():
    raw = np.zeros((20, 20, 20), np.float32)
    noise = [change_intensity(raw, np.random.default_rng(seed), change(OFF, noise=0.1)).std() for seed in range(30)]
    assert 0.08 < max(noise) < 0.103
    assert min(noise) < 0.02
    raw = np.random.default_rng(0).normal(0, 0.2, raw.shape).astype(np.float32)
    blurred = [change_intensity(raw, np.random.default_rng(seed), change(OFF, blur=2)) for seed in range(60)]
    assert 0.3 < np.mean([np.allclose(image, raw, atol=1e-6) for image in blurred]) < 0.7
    assert min(image.std() for image in blurred) < 0.3 * raw.std()
    raw[:] = np.arange(20)[:, None, None] % 2
    for seed in range(9):
        image = change_intensity(raw, np.random.default_rng(seed), change(SECTIONS, blur=2))
        np.testing.assert_allclose(image, raw, atol=1e-5)


@pytest.mark.parametrize("recipe", [AugmentationOptions(), SERIAL_SECTIONS])
def test_crops_do_not_depend_on_threads(recipe):
    volume = coordinate_volume(2)
    alone = [sampler_of(volume, recipe).draw(step, index) for step in range(4) for index in range(2)]
    shared = sampler_of(volume, recipe)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: shared.draw(*job), [(s, i) for s in range(4) for i in range(2)]))
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(alone[0].raw, alone[1].raw)
    assert not np.array_equal(alone[0].raw, sampler_of(volume, recipe, seed=1).draw(0).raw)


def test_serial_sections_must_not_leave_their_plane():
    with pytest.raises(InputError, match="give --transpose in-plane --elastic-jitter 0,2,2"):
        sampler_of(coordinate_volume(0), AugmentationOptions(serial_sections=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("recipe", [AugmentationOptions(warp_probability=1), SERIAL_SECTIONS])
def test_crops_of_a_gpu_are_those_of_the_processor(recipe):
    here = sampler_of(coordinate_volume(2), recipe)
    there = dataclasses.replace(here, device="cuda")
    for step in range(4):
        ours, theirs = here.draw(step), there.draw(step)
        np.testing.assert_allclose(ours.raw, theirs.raw, atol=1e-2)
        assert (ours.labels == theirs.labels).mean() > 0.999
        np.testing.assert_array_equal(there.draw(step).raw, theirs.raw)
