"""Fragments (supervoxels): affinities → small regions that each lie inside one neuron (the paper's watershed step)."""

import math
from collections.abc import Callable

import numpy as np

from clew.arrays import as_array
from clew.errors import InputError
from clew.kernels import components, distance, flood, forest, seeds, watershed
from clew.segmentation.affinities import quantise
from clew.segmentation.options import FragmentOptions

NEVER = 256
"""A strength that no pair reaches."""


def extract_fragments(
    affinities: np.ndarray, *, mask: np.ndarray | None = None, options: FragmentOptions = FragmentOptions()
) -> np.ndarray:
    """Divide a volume into fragments.

    A fragment's id is 1 + the smallest linear index (C order, whole volume) of its voxels: names depend on nothing but
    the fragments.

    Parameters
    ----------
    affinities : (offset, z, y, x) uint8 (0..255 = 0..1) or float in [0, 1]
        The first three channels belong to the offsets (-1, 0, 0), (0, -1, 0), (0, 0, -1); others are not looked at.
        Floats are rounded to 1/255 first, so that results do not depend on the type.
    mask : (z, y, x) bool or integer, optional
        Voxels outside (0) get no fragment and take part in no pair; its border, like the volume's, is no boundary.
    options
        See `FragmentOptions`.

    Returns
    -------
    (z, y, x) uint64
        0 where no pair is strong enough (but for seeds), or no seed can be reached.

    Raises
    ------
    InputError
        For affinities that cannot be used (see `check_affinities`), a mask of another shape, or options out of range.

    Notes
    -----
    Exact at block borders: `seeded-forest` and `affinity-watershed` are decided by a strict order of all voxel pairs
    (stronger first, then smaller index 3 · voxel + channel). `seeded-flood` is approximate at block borders.
    """
    check_options(options)
    levels = quantise(affinities)
    inside = mask_bytes(mask, levels.shape[1:])
    return METHODS[options.method](levels, inside, options)


def find_seeds(
    levels: np.ndarray, inside: np.ndarray, options: FragmentOptions, wanted: tuple[slice, slice, slice] = distance.ALL
) -> np.ndarray:
    """Seed voxels: where the capped distance to the boundary is the largest of the window around the voxel.

    Needs a context of `distance_cap` - 1 + half of `seed_window` voxels (and the pairs of those), no more.

    Parameters
    ----------
    levels : (3, z, y, x) uint8
    inside : (z, y, x) uint8, 1 inside, or of shape (0, 0, 0) for everywhere
    options : FragmentOptions
    wanted : slices (z, y, x)
        The voxels that are asked about; all by default.

    Returns
    -------
    (z, y, x) uint8
        Of the voxels wanted.
    """
    limits = np.array([-1] + [_last_below(options.boundary_threshold * pairs) for pairs in (1, 2, 3)])
    interior = distance.interior_voxels(levels, inside, limits, options.per_section)
    bounds = [axis.indices(length) for axis, length in zip(wanted, interior.shape, strict=True)]
    half = options.seed_window // 2
    z, y, x = (slice(max(start - half, 0), stop + half) for start, stop, _ in bounds)
    near = (z, y, x)
    depth = distance.capped_distance(interior, options.distance_cap, options.per_section, near)
    if inside.size:
        depth *= inside[near]
    found = seeds.seed_voxels(depth, options.seed_window, options.per_section)
    return found[tuple(slice(b[0] - n.start, b[1] - n.start) for b, n in zip(bounds, near, strict=True))]


def check_options(options: FragmentOptions) -> None:
    """Refuse options that make no sense, in one line."""
    if options.method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, not {options.method!r}")
    for name in ("boundary_threshold", "low", "high"):
        value = getattr(options, name)
        if not 0 <= value <= 1:
            raise InputError(f"{name} must be in [0, 1], not {value}")
    if options.low > options.high:
        raise InputError(f"low ({options.low}) must not be above high ({options.high})")
    if options.seed_window < 1 or options.seed_window % 2 == 0:
        raise InputError(f"seed_window must be odd and at least 1, not {options.seed_window}")
    if not 1 <= options.distance_cap <= 128:
        raise InputError(f"distance_cap must be 1 to 128 voxels, not {options.distance_cap}")


def _seeded_forest(levels: np.ndarray, inside: np.ndarray, options: FragmentOptions) -> np.ndarray:
    flags = watershed.best_picks(levels, inside, level_of(options.low), NEVER, options.per_section)
    watershed.hold_seeds(flags, find_seeds(levels, inside, options))
    result, numbers = _unite_picks(flags)
    components.unite_touching_seeds(flags, numbers, options.per_section)
    firsts, seeded = components.number_components(flags, numbers)
    pairs = forest.touching_pairs(levels, numbers, seeded, level_of(options.low), options.per_section)
    components.spread_labels(forest.seeded_forest(pairs.ends, seeded, firsts), result)
    return result.reshape(levels.shape[1:])


def _affinity_watershed(levels: np.ndarray, inside: np.ndarray, options: FragmentOptions) -> np.ndarray:
    flags = watershed.best_picks(levels, inside, level_of(options.low), level_of(options.high), options.per_section)
    result, numbers = _unite_picks(flags)
    firsts, _ = components.number_components(flags, numbers)
    components.spread_labels(firsts, result)
    return result.reshape(levels.shape[1:])


def _seeded_flood(levels: np.ndarray, inside: np.ndarray, options: FragmentOptions) -> np.ndarray:
    shape = levels.shape[1:]
    flags = find_seeds(levels, inside, options) * np.uint8(watershed.SEED | watershed.ALIVE)
    result = np.empty(flags.size, np.uint64)
    dtype = components.parent_type(flags.size)
    numbers = result.view(dtype)[: flags.size]
    numbers[:] = np.arange(flags.size, dtype=dtype)
    components.unite_touching_seeds(flags, numbers, options.per_section)
    firsts, _ = components.number_components(flags, numbers)
    heights = flood.boundary_map(levels, inside, options.per_section)
    open_voxels = heights <= 255 - level_of(options.low)
    if inside.size:
        open_voxels &= inside.view(np.bool_)
    flood.flood(heights, open_voxels, numbers.reshape(shape), options.per_section)
    components.spread_labels(components.first_voxels(numbers, len(firsts) - 1), result)
    return result.reshape(shape)


def _unite_picks(flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Components of the picks: (result, parents), where the parents lie in the memory of the uint64 result."""
    result = np.empty(flags.size, np.uint64)
    parents = result.view(components.parent_type(flags.size))[: flags.size]
    components.unite_links(watershed.pick_links(flags), parents)
    return result, parents


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, FragmentOptions], np.ndarray]] = {
    "seeded-forest": _seeded_forest,
    "affinity-watershed": _affinity_watershed,
    "seeded-flood": _seeded_flood,
}


def level_of(fraction: float) -> int:
    """Smallest level of 0..255 that is at least the fraction; the rounding undoes binary fractions (0.2 · 255 = 51)."""
    return math.ceil(round(255 * fraction, 9))


def _last_below(fraction: float) -> int:
    """Largest whole number that is not above fraction · 255."""
    return math.floor(round(255 * fraction, 9))


def mask_bytes(mask: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    if mask is None:
        return np.empty((0, 0, 0), np.uint8)
    mask = as_array(mask, "mask")
    if mask.shape != shape:
        raise InputError(f"the mask must have the shape of the volume, {shape}, not {mask.shape}")
    return np.ascontiguousarray(mask != 0).view(np.uint8)
