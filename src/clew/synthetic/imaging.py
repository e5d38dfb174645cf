"""What a microscope adds: blur, noise, drift, and the defects of serial sections."""

import numpy as np
from scipy import ndimage

from clew.synthetic.grid import FINE
from clew.synthetic.options import SyntheticOptions


def acquire(
    image: np.ndarray, voxel_size: tuple[float, ...], options: SyntheticOptions, rng: np.random.Generator
) -> np.ndarray:
    """Image grey values as a microscope does: blur, drift of contrast, noise.

    Noise is that of shots and of the detector; the result is float32.

    Nothing is blurred along an axis of thick sections, which are imaged one by one.
    """
    image = _drift(image, options.drift, rng)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    if options.blur > 0:
        spread = np.array([options.blur if size <= FINE else 0.0 for size in voxel_size])
        image = ndimage.gaussian_filter(image, spread, truncate=3.0)
        widths = spread * (0.6, 0.9, 0.9)
        noise = ndimage.gaussian_filter(noise, widths, truncate=3.0)
        noise /= noise.std()
    strength = np.sqrt(np.maximum(image, 0))
    strength *= np.float32(0.45 * options.noise)
    strength += np.float32(1.5 * options.noise)
    noise *= strength
    noise += image
    return noise


def _drift(image: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Change the gain slowly over the volume and a little from section to section."""
    if amount == 0:
        return image
    coarse = rng.normal(0, amount, (4, 4, 4)).astype(np.float32)
    gain = 1 + _spread(coarse, image.shape)
    gain *= 1 + rng.normal(0, 0.15 * amount, (len(image), 1, 1)).astype(np.float32)
    return (image - 128) * gain + 128 + 60 * (gain - 1)


def _spread(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Interpolate a few values along each axis to a shape."""
    for axis, length in enumerate(shape):
        place = np.linspace(0, coarse.shape[axis] - 1, length, dtype=np.float32)
        below = np.minimum(place.astype(np.int64), coarse.shape[axis] - 2)
        part = (place - below).reshape([-1 if other == axis else 1 for other in range(3)]).astype(np.float32)
        coarse = np.take(coarse, below, axis) * (1 - part) + np.take(coarse, below + 1, axis) * part
    return coarse


def damage_sections(image: np.ndarray, options: SyntheticOptions, rng: np.random.Generator) -> None:
    """Black out, fade and soil sections, in place."""
    chances = rng.random((3, len(image)))
    for section in np.flatnonzero(chances[0] < options.faint_sections):
        image[section] = image[section].mean() + (image[section] - image[section].mean()) * rng.uniform(0.15, 0.4)
    for section in np.flatnonzero(chances[1] < options.soiled_sections):
        _soil(image[section], rng)
    image[chances[2] < options.missing_sections] = 0


def _soil(section: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a dark fold or a cloud of dirt over a section, in place."""
    y, x = np.ix_(*[np.arange(length, dtype=np.float32) for length in section.shape])
    angle, size = rng.uniform(0, np.pi), max(section.shape)
    centre = rng.random(2) * section.shape
    across = (y - centre[0]) * np.cos(angle) + (x - centre[1]) * np.sin(angle)
    along = (x - centre[1]) * np.cos(angle) - (y - centre[0]) * np.sin(angle)
    if rng.random() < 0.5:
        bend = size * 0.03 * np.sin(along / (size * 0.15))
        cover = np.exp(-(((across + bend) / (size * 0.02 + 1)) ** 2))
    else:
        cover = np.clip(1.5 - np.hypot(across / (size * 0.2), along / (size * 0.12)), 0, 1)
    section += (30 - section) * (0.9 * cover)


def shift_sections(
    arrays: list[np.ndarray], voxel_size: tuple[float, ...], deviation: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Shift each section of all arrays alike, by whole voxels; edges are repeated."""
    if deviation == 0:
        return arrays
    depth, height, width = arrays[0].shape
    moves = rng.normal(0, deviation, (depth, 2)) / np.array(voxel_size[1:])
    rows = np.clip(np.arange(height) + np.rint(moves[:, :1]).astype(int), 0, height - 1)
    columns = np.clip(np.arange(width) + np.rint(moves[:, 1:]).astype(int), 0, width - 1)
    sections = np.arange(depth)[:, None, None]
    return [array[sections, rows[:, :, None], columns[:, None, :]] for array in arrays]
