"""From the geometry of a tissue to the grey values of an electron microscope."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from clew.space import Box
from clew.synthetic.grid import Grid, average_slices, middle_slices, refine, refine_owners
from clew.synthetic.options import SyntheticOptions
from clew.synthetic.organelles import Organelles

MEMBRANE_GREY = 80.0
MITOCHONDRION_GREY = 76.0
SYNAPSE_GREY = 58.0
TILE = 96
"""Edge in voxels of the periodic textures."""


@dataclass(frozen=True)
class Appearance:
    """Look of the cytoplasm by owner: mean grey value and strength of its speckle."""

    grey: np.ndarray
    speckle: np.ndarray


def draw_appearance(owners: int, options: SyntheticOptions, rng: np.random.Generator) -> Appearance:
    """Draw bright, middling and dark neurites; bright ones have the stronger speckle."""
    kind = rng.choice(3, size=owners + 1, p=[0.5, 0.32, 0.18])
    grey = np.array([171.0, 148.0, 124.0])[kind] + rng.normal(0, 6, owners + 1)
    speckle = np.array([22.0, 15.0, 9.0])[kind] * options.texture * rng.uniform(0.6, 1.4, owners + 1)
    return Appearance(grey.astype(np.float32), speckle.astype(np.float32))


def render(
    organelles: Organelles,
    grid: Grid,
    voxel_size: tuple[float, ...],
    options: SyntheticOptions,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the image without noise.

    Returns
    -------
    tuple
        Image (float32 grey values), owners (int32) and mitochondria (bool), each of the shape of the image.
    """
    territory = organelles.territory
    owner, lead = refine_owners(territory.owner, territory.lead(), grid)
    depth = lead * np.float32(0.5)
    del lead
    appearance = draw_appearance(int(owner.max()), options, rng)
    size = tuple(size / count for size, count in zip(voxel_size, grid.slices, strict=True))
    image = appearance.grey[owner]
    speckle = _periodic(owner.shape, _band(46.0, size, rng))
    image += appearance.speckle[owner] * np.minimum(speckle, 0.7)
    _draw_microtubules(image, organelles, grid, options)
    _draw_vesicles(image, organelles, grid)
    mitochondria = _draw_mitochondria(image, organelles, grid, size, rng)
    _draw_membranes(image, depth, organelles, grid, options)
    return average_slices(image, grid), middle_slices(owner, grid), middle_slices(mitochondria, grid)


def _band(scale: float, size: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Periodic noise of unit variance with grains of about ``scale`` nm."""
    noise = rng.standard_normal((TILE,) * 3, dtype=np.float32)
    widths = [0.35 * scale / step for step in size]
    noise = ndimage.gaussian_filter(noise, widths, mode="wrap") - ndimage.gaussian_filter(
        noise, [2.5 * width for width in widths], mode="wrap"
    )
    return noise / noise.std()


def _periodic(shape: tuple[int, ...], tile: np.ndarray) -> np.ndarray:
    repeats = [-(-length // TILE) for length in shape]
    return np.tile(tile, repeats)[Box.whole(shape)]


def _blend(image: np.ndarray, grey: float | np.ndarray, amount: np.ndarray) -> None:
    """Mix ``grey`` into the image in place; ``amount`` in [0, 1] is overwritten."""
    change = np.subtract(np.asarray(grey, np.float32), image)
    change *= amount
    image += change


def _inside(distance: np.ndarray, softness: float) -> np.ndarray:
    """1 inside a surface, 0 outside, linear across ``softness`` nm."""
    return np.clip(np.float32(0.5) - distance / np.float32(softness), 0, 1)


def _draw_microtubules(image: np.ndarray, organelles: Organelles, grid: Grid, options: SyntheticOptions) -> None:
    distance = refine(organelles.microtubules, grid)
    image -= np.float32(30 * min(options.texture, 1.5)) * np.clip(1.4 - distance / np.float32(14), 0, 1)


def _draw_vesicles(image: np.ndarray, organelles: Organelles, grid: Grid) -> None:
    distance = refine(organelles.vesicles, grid)
    _blend(image, 165.0, _inside(distance, 10))
    _blend(image, MEMBRANE_GREY, np.clip(1.5 - np.abs(distance) / np.float32(9), 0, 1))


def _draw_mitochondria(
    image: np.ndarray, organelles: Organelles, grid: Grid, size: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    distance = refine(organelles.mitochondria, grid)
    cristae = _periodic(distance.shape, _band(45.0, size, rng))
    cristae *= np.float32(4)
    cristae += np.float32(MITOCHONDRION_GREY + 3)
    cristae -= 10 * np.clip(1 - np.abs(distance + 10) / np.float32(10), 0, 1)
    _blend(image, cristae, _inside(distance, 14))
    return distance < 0


def _draw_membranes(
    image: np.ndarray, depth: np.ndarray, organelles: Organelles, grid: Grid, options: SyntheticOptions
) -> None:
    """Darken along the borders, more so at synapses; ``depth`` is overwritten."""
    density = refine(organelles.synapses, grid)
    half = np.float32(options.membrane / 2)
    thickening = np.clip(1.2 - density / np.float32(100), 0, 1)
    depth -= half * thickening
    depth /= half
    np.square(depth, out=depth, where=depth > 0)
    depth[depth < 0] = 0
    _blend(image, MEMBRANE_GREY, np.exp(-depth))
    _blend(image, SYNAPSE_GREY, _inside(density, 20))
