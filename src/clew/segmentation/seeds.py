"""Seeds of fragments: the voxels that are farthest from the boundary.

And how far outward from the depth of objects each voxel is.
"""

import math

import numpy as np

from clew.kernels import boundary, distance, seeds
from clew.kernels._flags import FAR, OUTSIDE
from clew.segmentation.options import FragmentOptions
from clew.space import Box


def most_steps(options: FragmentOptions) -> int:
    """Steps from the surface after which all voxels count as equally far."""
    return min(options.distance_cap, FAR - OUTSIDE + 1)


def find_steps(
    levels: np.ndarray, inside: np.ndarray, options: FragmentOptions, wanted: Box | None = None
) -> np.ndarray:
    """How far outward each voxel is; see `steps_outward`.

    What is in a pair above the boundary threshold is inside of an object; nothing outside of the mask is a surface or an object.
    Needs a context of `most_steps` voxels, no more. Parameters and result as for `find_seeds`.
    """
    least = _last_below(options.boundary_threshold) + 1
    objects = boundary.voxels_of_pairs(levels, inside, least, options.per_section)
    steps = distance.steps_outward(objects, options.per_section)
    if inside.size:
        within = distance.steps_outward(objects | (inside ^ 1), options.per_section)
        steps = np.where(objects, within, steps)
    return _end_after(most_steps(options), steps if wanted is None else np.ascontiguousarray(steps[wanted]))


def _end_after(most: int, steps: np.ndarray) -> np.ndarray:
    """Steps that end after fewer than those of the kernel."""
    if most > FAR - OUTSIDE:
        return steps
    outer = np.where(steps < OUTSIDE - 1 + most, steps, np.uint8(FAR))
    return np.where(steps < OUTSIDE, np.maximum(steps, np.uint8(OUTSIDE - most)), outer)


def find_seeds(
    levels: np.ndarray, inside: np.ndarray, options: FragmentOptions, wanted: Box | None = None
) -> np.ndarray:
    """Find seed voxels: those farthest from the boundary within a window.

    Distances are capped.

    Needs a context of `distance_cap` - 1 + half of `seed_window` voxels (and the pairs of those), no more.

    Parameters
    ----------
    levels : (3, z, y, x) uint8
    inside : (z, y, x) uint8, 1 inside, or of shape (0, 0, 0) for everywhere
    options : FragmentOptions
    wanted : Box, optional
        The voxels that are asked about; all by default.

    Returns
    -------
    (z, y, x) uint8
        Of the voxels wanted.
    """
    limits = np.array([-1] + [_last_below(options.boundary_threshold * pairs) for pairs in (1, 2, 3)])
    interior = boundary.interior_voxels(levels, inside, limits, options.per_section)
    whole = Box.whole(interior.shape)
    wanted = wanted or whole
    half = (options.seed_window // 2,) * 3
    near = wanted.grown(half, half, inside=whole)
    depth = distance.capped_distance(interior, options.distance_cap, options.per_section, near)
    if inside.size:
        depth *= inside[near]
    found = seeds.seed_voxels(depth, options.seed_window, options.per_section)
    return found[wanted.within(near)]


def level_of(fraction: float) -> int:
    """Smallest level of 0..255 that is at least a fraction.

    The rounding undoes binary fractions (0.2 · 255 = 51).
    """
    return math.ceil(round(255 * fraction, 9))


def _last_below(fraction: float) -> int:
    """Largest whole number that is not above fraction · 255."""
    return math.floor(round(255 * fraction, 9))
