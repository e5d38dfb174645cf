"""What the microscope adds, fault by fault, to images of which everything is known."""

from dataclasses import replace

import numpy as np
import pytest

from clew.synthetic.imaging import acquire, damage_sections, shift_sections
from clew.synthetic.options import SyntheticOptions

PERFECT = SyntheticOptions(noise=0, blur=0, drift=0)
NM = (10.0, 10.0, 10.0)


def rng():
    return np.random.default_rng(0)


def flat(grey, shape=(30, 40, 50)):
    return np.full(shape, grey, np.float32)


@pytest.mark.parametrize("blur", [0, 0.85])
@pytest.mark.parametrize(("grey", "deviation"), [(0, 1.5), (100, 6.0), (225, 8.25)])
def test_noise_grows_with_the_root_of_the_grey_value(grey, deviation, blur):
    found = acquire(flat(grey), NM, replace(PERFECT, noise=1, blur=blur), rng())
    assert found.mean() == pytest.approx(grey, abs=0.2)
    assert found.std() == pytest.approx(deviation, rel=0.03)


@pytest.mark.parametrize(("thickness", "smeared"), [(10.0, True), (40.0, False)])
def test_thick_sections_are_imaged_one_by_one(thickness, smeared):
    image = flat(100)
    image[15:] = 200
    image[:, 20:] += 50
    found = acquire(image, (thickness, 10.0, 10.0), replace(PERFECT, blur=1), rng())
    assert (np.unique(found[:, 5, 5]).size > 2) == smeared
    assert np.unique(found[5, :, 5]).size > 2


def test_contrast_drifts_slowly_in_the_plane_and_by_sections():
    found = acquire(flat(128, (40, 100, 100)), NM, replace(PERFECT, drift=0.2), rng())
    assert found.std() > 3
    for axis in (1, 2):
        assert np.abs(np.diff(found, axis=axis)).max() < 3
    steps = np.diff(found, axis=0)
    assert steps.mean(axis=(1, 2)).std() > 2 * steps.std(axis=(1, 2)).mean()


def test_chosen_sections_are_black_faint_or_soiled_and_the_others_stay():
    before = rng().normal(130, 20, (300, 24, 24)).astype(np.float32)
    for name in ("missing_sections", "faint_sections", "soiled_sections"):
        image = before.copy()
        damage_sections(image, SyntheticOptions(**{name: 0.2}), rng())
        changed = (image != before).any(axis=(1, 2))
        assert 40 <= changed.sum() <= 80
        hit, was = image[changed], before[changed]
        if name == "missing_sections":
            assert not hit.any()
        if name == "faint_sections":
            np.testing.assert_allclose(hit.mean(axis=(1, 2)), was.mean(axis=(1, 2)), rtol=1e-4)
            ratio = hit.std(axis=(1, 2)) / was.std(axis=(1, 2))
            assert 0.14 < ratio.min() < ratio.max() < 0.41
        if name == "soiled_sections":
            assert (hit.mean(axis=(1, 2)) < was.mean(axis=(1, 2)) - 1).mean() > 0.8


def test_sections_shift_in_nm_alike_in_all_arrays_and_repeat_their_edges():
    z, y, x = np.indices((400, 60, 70))
    moved_z, moved_y, moved_x, again = shift_sections([z, y, x, 7 * y], (40.0, 4.0, 8.0), 24, rng())
    np.testing.assert_array_equal(moved_z, z)
    np.testing.assert_array_equal(again, 7 * moved_y)
    down, across = moved_y[:, 30, 0] - 30, moved_x[:, 0, 35] - 35
    assert down.std() == pytest.approx(6, rel=0.15)
    assert across.std() == pytest.approx(3, rel=0.15)
    np.testing.assert_array_equal(moved_y, np.clip(y + down[:, None, None], 0, 59))
    np.testing.assert_array_equal(moved_x, np.clip(x + across[:, None, None], 0, 69))
