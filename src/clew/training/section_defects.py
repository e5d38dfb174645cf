"""Defects drawn over single serial sections: missing, faint, soiled.

Source: arXiv 1709.02974, supplement.

Artifacts are synthesised, each as a picture and an alpha mask with which it is blended in: folds, dirt, precipitate and
streaks. Raw is float32 in [-1, 1], -1 = black.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from clew.training.options import AugmentationOptions

Image = NDArray[np.float32]
BLACK = np.float32(-1)
FAINT = (0.1, 0.5)
"""What the contrast of a faint section is multiplied by."""


def damage_sections(raw: Image, rng: np.random.Generator, options: AugmentationOptions) -> None:
    """Black out, fade and soil sections of a crop (z, y, x), in place.

    A section has one defect at most.
    """
    missing = options.missing_sections
    faint = missing + options.faint_sections
    soiled = faint + options.soiled_sections
    for section, chance in zip(raw, rng.random(len(raw)), strict=True):
        if chance < missing:
            section[:] = BLACK
        elif chance < faint:
            mean = section.mean()
            section[:] = mean + (section - mean) * np.float32(rng.uniform(*FAINT))
        elif chance < soiled:
            picture, alpha = ARTIFACTS[rng.integers(len(ARTIFACTS))](section.shape, rng)
            section += alpha * (picture - section)


def _fold(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Image, Image]:
    """A dark, winding crease through the section.

    Its rim is brighter, where the section is stretched.
    """
    across, along = _turned(shape, rng)
    size = max(shape)
    bend = size * rng.uniform(0.01, 0.05) * np.sin(along / (size * rng.uniform(0.1, 0.3)) + rng.uniform(0, 2 * np.pi))
    distance = (across + bend) / (1 + size * rng.uniform(0.01, 0.04))
    picture = np.where(np.abs(distance) < 1, -0.9, 0.5)
    alpha = 0.95 * np.exp(-(distance**4)) + 0.5 * np.exp(-((np.abs(distance) - 1.6) ** 2) / 0.1)
    return picture.astype(np.float32), np.minimum(alpha, 1).astype(np.float32)


def _dirt(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Image, Image]:
    """A few dark, cloudy blobs of ragged outline."""
    size = min(shape)
    alpha = np.zeros(shape)
    for _ in range(rng.integers(1, 4)):
        y, x = _turned(shape, rng)
        radius, turn = size * rng.uniform(0.05, 0.2), np.arctan2(y, x)
        ragged = sum(rng.normal(0, 0.4 / k**1.5) * np.sin(k * turn + rng.uniform(0, 2 * np.pi)) for k in range(2, 8))
        alpha = np.maximum(alpha, np.clip((radius * (1 + ragged) - np.hypot(y, x)) / (0.15 * radius) + 0.5, 0, 1))
    picture = -0.7 + 0.5 * ndimage.gaussian_filter(rng.standard_normal(shape), 2)
    return picture.astype(np.float32), (0.9 * alpha).astype(np.float32)


def _precipitate(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Image, Image]:
    """Many small black grains of stain, thicker in one place than in others."""
    thickness = ndimage.gaussian_filter(rng.standard_normal(shape), min(shape) / 6)
    chance = np.exp(2 * thickness / max(float(thickness.std()), 1e-6)) * rng.uniform(0.0003, 0.001)
    clear = rng.random(shape) >= np.minimum(chance, 0.02)
    clear[rng.integers(shape[0]), rng.integers(shape[1])] = False
    distance = ndimage.distance_transform_edt(clear) / rng.uniform(1, 3)
    return np.full(shape, -0.95, np.float32), np.clip(1.5 - distance, 0, 1).astype(np.float32)


def _streaks(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Image, Image]:
    """Parallel bright and dark lines, as of a notched knife or of charging."""
    across, _ = _turned(shape, rng)
    lines = ndimage.gaussian_filter1d(rng.standard_normal(2 * sum(shape)), rng.uniform(1, 4))
    lines = lines[np.rint(across).astype(np.int64) + sum(shape)] / lines.std()
    return np.sign(lines).astype(np.float32), np.clip(0.5 * (np.abs(lines) - 0.7), 0, 0.8).astype(np.float32)


def _turned(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates across and along a random direction through a random pixel."""
    y, x = np.ix_(*[np.arange(size) - rng.uniform(0, size) for size in shape])
    angle = rng.uniform(0, np.pi)
    return y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)


ARTIFACTS: tuple[Callable[[tuple[int, ...], np.random.Generator], tuple[Image, Image]], ...] = (
    _fold,
    _dirt,
    _precipitate,
    _streaks,
)
