"""Where training crops may lie: positions with enough annotation, found once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.space import Triple

STEPS = 8
"""Sites are tried every eighth of a crop along each axis."""


@dataclass(frozen=True)
class CropSites:
    """Sites of crops in a volume and what is known of them.

    Parameters
    ----------
    corners : (site, 3) int64
        First voxels of well annotated crops; others lie up to `step` voxels further, not beyond `last`.
    step, last : (3,) int64
        Distance of the sites, and the last corner along each axis.
    shape : (z, y, x) ints
        Shape of a crop.
    best : float
        Share of annotated voxels in the best-annotated crop.
    """

    corners: NDArray[np.int64]
    step: NDArray[np.int64]
    last: NDArray[np.int64]
    shape: Triple
    best: float

    @property
    def middle(self) -> NDArray[np.float64]:
        """Centre of the crop at the site nearest to the middle of all sites."""
        distances = np.linalg.norm(self.corners - self.corners.mean(axis=0), axis=1)
        return self.corners[distances.argmin()] + (np.array(self.shape) - 1) / 2

    def draw_center(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the centre of a crop, in voxels.

        It is a whole number, and a half more along axes of even size.
        """
        corner = self.corners[rng.integers(len(self.corners))]
        corner = np.minimum(corner + rng.integers(0, self.step), self.last)
        return corner + (np.array(self.shape) - 1) / 2


def find_sites(mask: NDArray[np.bool_], shape: Triple, minimum: float) -> CropSites:
    """Find the sites whose crop is annotated nearly as well as the best one.

    Parameters
    ----------
    mask : (z, y, x) bool
        True where somebody annotated.
    shape : (z, y, x) ints
        Shape of a crop; where the annotation is shorter than it, the crop is centred on the annotation.
    minimum : float
        A crop must hold at least this share, 0 to 1, of the annotated voxels of the best-annotated crop.

    Returns
    -------
    CropSites

    Raises
    ------
    InputError
        If no two neighbouring voxels are annotated.
    """
    if not any((mask[1:] & mask[:-1]).any() for mask in (mask.swapaxes(0, axis) for axis in range(3))):
        raise InputError(
            f"no crop of {shape} voxels can be trained on: a mask has no two neighbouring annotated voxels"
        )
    starts = [_axis_starts(mask, axis, size) for axis, size in enumerate(shape)]
    counts: NDArray[Any] = mask
    for axis, size in enumerate(shape):
        counts = _window_sums(counts, starts[axis], size, axis)
    good = np.argwhere(counts >= max(1, minimum * counts.max()))
    corners = np.stack([starts[axis][good[:, axis]] for axis in range(3)], axis=1)
    step, last = np.array([_step(size) for size in shape]), np.array([start[-1] for start in starts])
    return CropSites(corners, step, last, shape, float(counts.max() / np.prod(shape)))


def _step(size: int) -> int:
    return max(1, size // STEPS)


def _axis_starts(mask: NDArray[np.bool_], axis: int, size: int) -> NDArray[np.int64]:
    """First voxels of windows inside the annotated part of an axis.

    The last possible window is included.
    """
    annotated = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    first, last = annotated[0], annotated[-1] + 1 - size
    if last <= first:
        return np.array([(first + last) // 2])
    return np.append(np.arange(first, last, _step(size)), last)


def _window_sums(counts: NDArray[Any], starts: NDArray[np.int64], size: int, axis: int) -> NDArray[np.int64]:
    """Sums over windows of an axis; windows may leave the array."""
    length = counts.shape[axis]
    low, high = np.clip(starts, 0, length), np.clip(starts + size, 0, length)
    edges = np.unique(np.concatenate([[0], low, high]))
    inner = edges[edges < length]
    narrow = np.int32 if counts.dtype == bool else np.int64  # three times as fast
    blocks = np.add.reduceat(counts, inner, axis=axis, dtype=narrow)
    totals = np.cumsum(np.insert(blocks, 0, 0, axis=axis), axis=axis, dtype=np.int64)
    return totals.take(np.searchsorted(inner, high), axis) - totals.take(np.searchsorted(inner, low), axis)
