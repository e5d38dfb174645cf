"""The coarse grid on which tissue grows, and its way to the voxels of the image."""

from dataclasses import dataclass
from itertools import product
from math import ceil, prod

import numpy as np

from clew.space import Box

FINE = 14.0
"""Axes with voxels up to this size (nm) are grown at twice the voxel size."""
THIN = 20.0
"""Axes with larger voxels are grown in slices at most this thick (nm)."""


@dataclass(frozen=True)
class Grid:
    """Coarse cells of ``step`` nm.

    Voxels are made by doubling or averaging cells, axis by axis.

    Parameters
    ----------
    shape : tuple of int
        Cells along (z, y, x).
    step : tuple of float
        Size of a cell in nm.
    double : tuple of bool
        Axes on which one cell becomes two voxels.
    slices : tuple of int
        Cells that are averaged into one voxel, along each axis.
    voxels : tuple of int
        Shape of the image, before odd edges are cut.
    """

    shape: tuple[int, ...]
    step: tuple[float, ...]
    double: tuple[bool, ...]
    slices: tuple[int, ...]
    voxels: tuple[int, ...]

    @property
    def extent(self) -> np.ndarray:
        """Size of the grid in nm."""
        return np.array(self.shape) * np.array(self.step)


def make_grid(shape: tuple[int, ...], voxel_size: tuple[float, ...]) -> Grid:
    """Choose the cells for an image of ``shape`` voxels of ``voxel_size`` nm."""
    double = tuple(size <= FINE for size in voxel_size)
    slices = tuple(1 if fine else ceil(size / THIN) for fine, size in zip(double, voxel_size, strict=True))
    step = tuple(
        2 * size if fine else size / count for fine, size, count in zip(double, voxel_size, slices, strict=True)
    )
    cells = tuple(
        ceil(length / 2) if fine else length * count for fine, length, count in zip(double, shape, slices, strict=True)
    )
    return Grid(cells, step, double, slices, tuple(shape))


def crop(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Cut the half cells at the far edges, on the axes that were doubled."""
    return array[tuple(slice(length * count) for length, count in zip(grid.voxels, grid.slices, strict=True))]


def average_slices(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Average the cells within each thick voxel.

    An electron beam does the same within a section.
    """
    if prod(grid.slices) == 1:
        return array
    split = [part for length, count in zip(grid.voxels, grid.slices, strict=True) for part in (length, count)]
    return array.reshape(split).mean(axis=(1, 3, 5), dtype=np.float32)


def middle_slices(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Take the middle cell of each thick voxel."""
    return array[tuple(slice(count // 2, None, count) for count in grid.slices)]


def refine(field: np.ndarray, grid: Grid) -> np.ndarray:
    """Linear interpolation of a field from cells to voxels."""
    for axis, fine in enumerate(grid.double):
        if not fine:
            continue
        field = np.moveaxis(field, axis, 0)
        doubled = np.empty((2 * len(field), *field.shape[1:]), field.dtype)
        previous, following = np.concatenate([field[:1], field[:-1]]), np.concatenate([field[1:], field[-1:]])
        doubled[0::2] = 0.75 * field + 0.25 * previous
        doubled[1::2] = 0.75 * field + 0.25 * following
        field = np.moveaxis(doubled, 0, axis)
    return crop(field, grid)


def refine_owners(owner: np.ndarray, gap: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate owners and their lead over the next owner from cells to voxels.

    The border between two owners is where the interpolated, signed lead is zero, so it is as smooth as a level set
    although owners are ids.

    Returns
    -------
    tuple
        Owner of each voxel (int32) and its lead in nm (float32, not negative).
    """
    fine_shape = tuple(length * (2 if fine else 1) for length, fine in zip(owner.shape, grid.double, strict=True))
    fine_owner, fine_gap = np.empty(fine_shape, owner.dtype), np.empty(fine_shape, np.float32)
    owners, gaps = np.pad(owner, 1, mode="edge"), np.pad(gap, 1, mode="edge")
    for sides in product(*[(-1, 1) if fine else (0,) for fine in grid.double]):
        place = tuple(slice((side + 1) // 2, None, 2) if side else slice(None) for side in sides)
        fine_owner[place], fine_gap[place] = _one_side(owners, gaps, sides)
    return crop(fine_owner, grid), crop(fine_gap, grid)


def _one_side(owners: np.ndarray, gaps: np.ndarray, sides: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    inner = (slice(1, -1),) * 3
    owner = owners[inner]
    lead = np.zeros(owner.shape, np.float32)
    challenger, strength = owner.copy(), np.zeros(owner.shape, np.float32)
    for corner in product(*[(0, side) if side else (0,) for side in sides]):
        weight = prod(0.25 if move else 0.75 for move, side in zip(corner, sides, strict=True) if side)
        window = Box.whole(owner.shape).shifted(1 + move for move in corner)
        other, part = owners[window], np.float32(weight) * gaps[window]
        rival = other != owner
        lead += np.where(rival, -part, part)
        stronger = rival & (part > strength)
        challenger[stronger], strength[stronger] = other[stronger], part[stronger]
    return np.where(lead < 0, challenger, owner), np.abs(lead)
