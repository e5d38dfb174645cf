"""Resampling of a crop on a GPU, in PyTorch.

It does what `clew.kernels.resampling` does on the CPU, with the same arguments.

The volumes stay in the computer's memory; for each crop the box that its field touches goes to the device.
"""

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.space import Box

Corners = list[Tensor]
"""Voxel numbers along z, y and x, (z, y, x) each."""


def fill_field(coefficients: NDArray[np.float32], basis: NDArray[np.float32], device: str) -> Tensor:
    """The field (3, z, y, x): sum over k of coefficients times basis.

    Coefficients are (3, z, y, k), the basis is (k, x).

    Term by term, because matrix products may be rounded to ten bits on a GPU.
    """
    field = torch.zeros((*coefficients.shape[:3], basis.shape[1]), device=device)
    for factor, row in zip(
        torch.from_numpy(coefficients).to(device).movedim(3, 0), torch.from_numpy(basis).to(device), strict=True
    ):
        field.addcmul_(factor[..., None], row)
    return field


def sample_linear(
    volume: NDArray[np.uint8], field: Tensor, base: NDArray[np.int64], fraction: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Interpolate a volume (z, y, x) linearly at base + fraction + field.

    It is reflected at its faces.
    """
    weights, low, high = [], [], []
    for place, whole, part, size in zip(field, base, fraction, volume.shape, strict=True):
        below = (place + float(part)).floor()
        weights.append(place + float(part) - below)
        index = below.long() + int(whole)
        low.append(_reflected(index, size))
        high.append(_reflected(index + 1, size))
    start, box = _touched(volume, low + high, field.device)
    sampled = torch.zeros_like(field[0])
    for corner in product((0, 1), repeat=3):
        weight = torch.ones_like(sampled)
        for step, share in zip(corner, weights, strict=True):
            weight *= share if step else 1 - share
        where = [(high if step else low)[axis] - start[axis] for axis, step in enumerate(corner)]
        sampled += weight * box[tuple(where)]
    return sampled.cpu().numpy()


def sample_nearest(
    labels: NDArray[np.uint32],
    mask: NDArray[np.bool_],
    field: Tensor,
    base: NDArray[np.int64],
    fraction: NDArray[np.float32],
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Labels and mask at the voxels nearest to base + fraction + field.

    Labels are (z, y, x) uint32; outside the volume they are 0 and the mask is false.
    """
    inside, where = torch.ones_like(field[0], dtype=torch.bool), []
    for place, whole, part, size in zip(field, base, fraction, labels.shape, strict=True):
        index = (place + (float(part) + 0.5)).floor().long() + int(whole)
        inside &= (index >= 0) & (index < size)
        where.append(index.clamp(0, size - 1))
    sampled = []
    for values in (labels.view(np.int32), mask):  # PyTorch has few operations on unsigned numbers
        start, box = _touched(values, where, field.device)
        found = box[tuple(index - first for index, first in zip(where, start, strict=True))]
        sampled.append(torch.where(inside, found, torch.zeros_like(found)).cpu().numpy())
    return sampled[0].view(np.uint32), sampled[1]


def _reflected(index: Tensor, size: int) -> Tensor:
    """Indices of voxels inside 0 .. size - 1, mirrored as often as needed.

    They are mirrored at the first and the last voxel.
    """
    index = index.remainder(max(2 * (size - 1), 1))
    return torch.minimum(index, 2 * (size - 1) - index).clamp(min=0)


def _touched(volume: NDArray, indices: Corners, device: torch.device) -> tuple[list[int], Tensor]:
    """First voxel of the box that holds all indices, and the box on the device."""
    start = [int(torch.stack([index.min() for index in indices[axis::3]]).min()) for axis in range(3)]
    stop = [int(torch.stack([index.max() for index in indices[axis::3]]).max()) + 1 for axis in range(3)]
    values = np.ascontiguousarray(volume[Box.between(start, stop)])
    return start, torch.from_numpy(values).to(device)
