"""Random changes of training crops: geometry as one resampling, then intensity (arXiv 1709.02974, supplement)."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from clew.training.options import AugmentationOptions


def sampling_grid(
    shape: tuple[int, int, int], rng: np.random.Generator, options: AugmentationOptions, *, per_section: bool = False
) -> NDArray[np.float32]:
    """Where to sample a crop: (3, z, y, x) float32 voxel coordinates relative to the crop's centre.

    A share of the crops is rotated in the plane by U[0, π/2] and deformed by smooth random displacements, as one field.
    """
    axes = [np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2) for size in shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    if rng.random() >= options.warp_probability:
        return grid
    angle = np.float32(rng.uniform(0, np.pi / 2))
    y, x = grid[1].copy(), grid[2].copy()
    grid[1], grid[2] = np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x
    if options.elastic_jitter:
        control = [max(2, 1 + round(size / options.elastic_spacing)) for size in shape]
        jitter = rng.normal(0, options.elastic_jitter, (1, 3, *control)).astype(np.float32)
        if per_section:
            jitter[:, 0] = 0
        grid += functional.interpolate(torch.from_numpy(jitter), shape, mode="trilinear", align_corners=True)[0].numpy()
    return grid


def sample_raw(raw: NDArray[np.uint8], center: NDArray[np.float64], grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Raw (z, y, x) at `center + grid` by trilinear interpolation, float32 in 0..255; reflected outside the volume."""
    start, stop = _spanned_box(raw.shape, center, grid)
    box = raw[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))].astype(np.float32)
    extent = np.maximum(np.array(box.shape) - 1, 1).reshape(3, 1, 1, 1)
    where = (grid + (center - start).reshape(3, 1, 1, 1)) * (2 / extent) - 1
    sites = torch.from_numpy(np.ascontiguousarray(where[::-1].transpose(1, 2, 3, 0), dtype=np.float32))
    sampled = functional.grid_sample(
        torch.from_numpy(box)[None, None], sites[None], mode="bilinear", padding_mode="reflection", align_corners=True
    )
    return sampled[0, 0].numpy()


def sample_labels(labels: NDArray, center: NDArray[np.float64], grid: NDArray[np.float32]) -> NDArray:
    """Labels or a mask (z, y, x) at the voxels nearest to `center + grid`; 0 outside the volume."""
    where = np.rint(grid + center.reshape(3, 1, 1, 1)).astype(np.int64)
    shape = np.array(labels.shape).reshape(3, 1, 1, 1)
    inside = ((where >= 0) & (where < shape)).all(axis=0)
    z, y, x = np.clip(where, 0, shape - 1)
    return np.where(inside, labels[z, y, x], labels.dtype.type(0))


def _spanned_box(
    shape: tuple[int, ...], center: NDArray[np.float64], grid: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The part of a volume that the coordinates touch, or its whole length on an axis that they leave."""
    low = np.floor(grid.min(axis=(1, 2, 3)) + center).astype(np.int64) - 1
    high = np.ceil(grid.max(axis=(1, 2, 3)) + center).astype(np.int64) + 2
    leaves = (low < 0) | (high > np.array(shape))
    return np.where(leaves, 0, low), np.where(leaves, shape, high)


def permute_axes(arrays: list[NDArray], rng: np.random.Generator, options: AugmentationOptions) -> list[NDArray]:
    """The same random mirroring and transposition of the last three axes of all arrays."""
    flips = tuple(axis - 3 for axis in range(3) if options.mirror and rng.random() < 0.5)
    order = {"none": (0, 1, 2), "in-plane": (0, *rng.permutation([1, 2])), "all": tuple(rng.permutation(3))}
    axes = order[options.transpose]
    return [np.flip(array.transpose(axes), flips) for array in arrays]


def change_intensity(
    raw: NDArray[np.float32], rng: np.random.Generator, options: AugmentationOptions
) -> NDArray[np.float32]:
    """Random contrast, brightness, blur and noise of raw (z, y, x) float32 in [-1, 1]."""
    mean = raw.mean()
    scale = 1 + rng.uniform(-options.intensity_scale, options.intensity_scale)
    shift = rng.uniform(-options.intensity_shift, options.intensity_shift)
    if options.blur and rng.random() < 0.5:
        raw = ndimage.gaussian_filter(raw, rng.uniform(0, options.blur))
    changed = (raw - mean) * np.float32(scale) + np.float32(mean + shift)
    if options.noise:
        changed += rng.normal(0, rng.uniform(0, options.noise), raw.shape).astype(np.float32)
    return changed.astype(np.float32, copy=False)
