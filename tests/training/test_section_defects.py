import dataclasses

import numpy as np
import pytest

from clew.training.options import SERIAL_SECTIONS
from clew.training.section_defects import ARTIFACTS, damage_sections

CLEAN = dataclasses.replace(SERIAL_SECTIONS, missing_sections=0, faint_sections=0, soiled_sections=0)


@pytest.fixture
def raw():
    return np.random.default_rng(0).uniform(-0.6, 0.6, (600, 40, 50)).astype(np.float32)


def damaged(raw, **shares):
    image = raw.copy()
    damage_sections(image, np.random.default_rng(1), dataclasses.replace(CLEAN, **shares))
    return image, (image != raw).any(axis=(1, 2))


def test_nothing_is_damaged_when_all_is_off(raw):
    assert not damaged(raw)[1].any()


def test_missing_sections_are_black_and_the_others_untouched(raw):
    image, hit = damaged(raw, missing_sections=0.1)
    assert 0.07 < hit.mean() < 0.13
    assert (image[hit] == -1).all()


def test_faint_sections_keep_their_mean_and_lose_contrast(raw):
    image, hit = damaged(raw, faint_sections=0.1)
    assert 0.07 < hit.mean() < 0.13
    np.testing.assert_allclose(image[hit].mean(axis=(1, 2)), raw[hit].mean(axis=(1, 2)), atol=1e-5)
    contrast = image[hit].std(axis=(1, 2)) / raw[hit].std(axis=(1, 2))
    assert 0.0999 <= contrast.min() < 0.2
    assert 0.4 < contrast.max() <= 0.5001


def test_soiled_sections_show_through_where_they_are_clean(raw):
    image, hit = damaged(raw, soiled_sections=0.2)
    assert 0.15 < hit.mean() < 0.25
    assert np.abs(image).max() <= 1
    kept = (image == raw)[hit].mean(axis=(1, 2))
    assert (kept < 1).all()
    assert np.mean(kept) > 0.3


def test_a_section_has_one_defect_at_most(raw):
    shares = {"missing_sections": 0.3, "faint_sections": 0.3, "soiled_sections": 0.4}
    image, hit = damaged(raw, **shares)
    black = (image == -1).all(axis=(1, 2))
    assert hit.all()
    assert 0.25 < black.mean() < 0.35


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda artifact: artifact.__name__)
@pytest.mark.parametrize("shape", [(64, 90), (1, 7), (33, 20)])
def test_artifacts_are_pictures_with_a_mask(artifact, shape):
    covered = []
    for seed in range(30):
        picture, alpha = artifact(shape, np.random.default_rng(seed))
        assert picture.shape == alpha.shape == shape
        assert picture.dtype == alpha.dtype == np.float32
        assert 0 <= alpha.min() <= alpha.max() <= 1
        covered.append(alpha.mean())
    assert 0.001 < np.mean(covered) < 0.6
    again = artifact(shape, np.random.default_rng(29))
    np.testing.assert_array_equal(again[0], picture)
