"""A synthetic electron microscopy volume, from nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from scipy import ndimage

from clew.errors import InputError
from clew.space import Lengths, Triple, triple
from clew.synthetic.grid import Grid, make_grid
from clew.synthetic.imaging import acquire, damage_sections, shift_sections
from clew.synthetic.neurites import grow_tissue
from clew.synthetic.options import VOXEL_SIZE, SyntheticOptions
from clew.synthetic.organelles import Organelles, place_organelles
from clew.synthetic.rendering import render
from clew.synthetic.territory import Territory

SMALLEST = 16
"""Voxels along the shortest edge, at least."""


@dataclass(frozen=True)
class SyntheticVolume:
    """An image and its truth.

    Parameters
    ----------
    raw : (z, y, x) uint8
        Image.
    labels : (z, y, x) uint64
        Neuron of each voxel, 1, 2, …; dense: neighbours touch in the middle of their double membrane.
    mitochondria : (z, y, x) bool
        Where mitochondria are.
    voxel_size : tuple of float
        In nm, (z, y, x).
    """

    raw: np.ndarray
    labels: np.ndarray
    mitochondria: np.ndarray
    voxel_size: Lengths


def synthesize(
    shape: Sequence[int],
    *,
    voxel_size: Sequence[float] = VOXEL_SIZE,
    seed: int | np.random.Generator = 0,
    options: SyntheticOptions = SyntheticOptions(),
) -> SyntheticVolume:
    """Make neuropil that never existed: an image of neurites, and its truth.

    Neurites branch, touch and fill space; the image has the faults of real ones.

    Parameters
    ----------
    shape : sequence of 3 int
        Voxels along (z, y, x), each at least 16.
    voxel_size : sequence of 3 float
        In nm. Isotropic at about 10 nm looks like FIB-SEM; thick sections, as (40, 4, 4), like serial sections, with
        membranes that cross a section obliquely smeared.
    seed : int or numpy.random.Generator
        The same seed, shape, voxel size and options give the same volume.
    options : SyntheticOptions
        Tissue, image and defects.

    Returns
    -------
    SyntheticVolume
        Image, truth and mitochondria.

    Raises
    ------
    InputError
        If shape or voxel size cannot be used, or the thickest neurite is thinner than the thinnest.

    Examples
    --------
    >>> volume = clew.synthesize((16, 32, 32), seed=3)
    >>> volume.raw.shape, volume.raw.dtype, volume.labels.dtype
    ((16, 32, 32), dtype('uint8'), dtype('uint64'))
    """
    size, lengths = _check(shape, voxel_size, options)
    rng = np.random.default_rng(seed)
    grid = make_grid(lengths, size)
    organelles = _grow(grid, options, rng)
    image, owner, mitochondria = render(organelles, grid, size, options, rng)
    image = acquire(image, size, options, rng)
    image, owner, mitochondria = shift_sections([image, owner, mitochondria], size, options.section_shift, rng)
    damage_sections(image, options, rng)
    raw = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return SyntheticVolume(raw, owner.astype(np.uint64), mitochondria, size)


def _check(shape: Sequence[int], voxel_size: Sequence[float], options: SyntheticOptions) -> tuple[Lengths, Triple]:
    if len(shape) != 3 or any(not isfinite(length) or length != int(length) or length < SMALLEST for length in shape):
        raise InputError(f"shape must be three whole numbers (z, y, x) of at least {SMALLEST}, not {tuple(shape)}")
    if len(voxel_size) != 3 or any(not isfinite(step) or step <= 0 for step in voxel_size):
        raise InputError(f"voxel size must be three positive numbers (z, y, x) in nm, not {tuple(voxel_size)}")
    if options.thickest < options.thinnest:
        raise InputError(
            f"the thickest neurite ({options.thickest:g} nm) must not be thinner than the thinnest "
            f"({options.thinnest:g} nm)"
        )
    return triple(map(float, voxel_size)), triple(map(int, shape))


def _grow(grid: Grid, options: SyntheticOptions, rng: np.random.Generator) -> Organelles:
    relief = rng.standard_normal(grid.shape, dtype=np.float32)
    relief = ndimage.gaussian_filter(relief, [50 / step for step in grid.step], mode="wrap")
    territory = Territory(grid, relief / max(1e-6, float(relief.std())))
    neurites = grow_tissue(territory, options, rng)
    territory.settle()
    organelles = place_organelles(territory, neurites, options, rng)
    territory.give_ids(smallest=60)
    return organelles
