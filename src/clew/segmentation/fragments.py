"""Fragments (supervoxels): affinities → small regions inside one neuron each.

This is the watershed step of the paper.
"""

import math
from typing import get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Block
from clew.errors import InputError
from clew.kernels import boundary, components, flood
from clew.kernels._flags import SEED, SEEDED
from clew.labels import as_truth, inside_mask, without_special
from clew.segmentation import forest
from clew.segmentation.affinities import quantise
from clew.segmentation.constraints import PointConstraints, checked_points
from clew.segmentation.options import FragmentOptions
from clew.segmentation.pieces import divide_at_points
from clew.segmentation.seeds import find_seeds, level_of
from clew.space import Box, triple

METHODS = get_args(get_type_hints(FragmentOptions)["method"])
SEEDED_BY_IDS = "seeded-forest"
"""The method that takes ids as seeds."""


def extract_fragments(
    affinities: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    cannot_link: np.ndarray | None = None,
    points: PointConstraints = PointConstraints(),
    options: FragmentOptions = FragmentOptions(),
) -> np.ndarray:
    """Divide a volume into fragments.

    A fragment's id is 1 + the smallest linear index (C order, whole volume) of its voxels: ids depend on nothing but
    the fragments.

    Parameters
    ----------
    affinities : (offset, z, y, x) uint8 (0..255 = 0..1) or float in [0, 1]
        The first three channels belong to the offsets (-1, 0, 0), (0, -1, 0), (0, 0, -1); others are not looked at.
        Floats are rounded to 1/255 first, so that results do not depend on the type.
    mask : (z, y, x) bool or numbers, optional
        Voxels outside (0) get no fragment and take part in no pair; its border, like the volume's, is no boundary.
    cannot_link : (z, y, x) whole numbers, optional
        Ids of nuclei, somata or glia, 0 elsewhere: each connected piece of one id (6 neighbours; 4 per section) is a seed of its
        own, so that no fragment holds two ids. For `seeded-forest` only.
    points : PointConstraints
        A fragment of `seeded-forest` that holds voxels of several sides of a split (`cannot_link`) is divided between them, as
        `Edits.split` does.
    options : FragmentOptions
        See `FragmentOptions`.

    Returns
    -------
    (z, y, x) uint64
        0 where no pair is strong enough, or no object can be reached.

    Raises
    ------
    InputError
        For affinities that cannot be used (see `quantise`), a mask of another shape or with NaN or values below 0, ids for
        another method, or options out of range.

    Notes
    -----
    Exact at block borders: `seeded-forest` and `affinity-watershed` are decided by a strict order of all voxel pairs
    (stronger first, then deeper inside an object or nearer to one, then smaller index 3 · voxel + channel). Pairs of
    affinity 0 never join two objects. `seeded-flood` is approximate at block borders.

    Examples
    --------
    >>> affinities = np.full((3, 6, 6, 12), 255, np.uint8)
    >>> affinities[2, :, :, 6] = 0  # nothing holds x = 5 and x = 6 together
    >>> clew.extract_fragments(affinities)[0, 0].tolist()
    [1, 1, 1, 1, 1, 1, 7, 7, 7, 7, 7, 7]
    """
    check_options(options)
    levels = quantise(affinities)
    inside = mask_bytes(mask, levels.shape[1:])
    ids = seed_ids(cannot_link, inside, levels.shape[1:], options)
    if options.method == "seeded-flood":
        return _seeded_flood(levels, inside, options)
    fragments = _exact(levels, inside, options, ids)
    if options.method == SEEDED_BY_IDS:
        _divide(fragments, levels, points)
    return fragments


def _divide(fragments: NDArray[np.uint64], levels: np.ndarray, points: PointConstraints) -> None:
    """Divide the fragments that hold points of several sides, in place."""
    held, _ = checked_points(points.cannot_link, "cannot_link", 5, fragments)
    shape = triple(fragments.shape)
    parts = divide_at_points(
        points.cannot_link, held, lambda box: fragments[box], lambda box: levels[(slice(None), *box)], shape
    )
    for part in parts:
        part.show(fragments, Box.whole(shape))


def seed_ids(
    cannot_link: np.ndarray | None, inside: np.ndarray, shape: tuple[int, ...], options: FragmentOptions
) -> NDArray[np.uint64] | None:
    """The ids that are seeds, 0 outside of the mask; None where there are none."""
    if cannot_link is None:
        return None
    if options.method != SEEDED_BY_IDS:
        raise InputError(
            f"ids (cannot_link) are seeds of {SEEDED_BY_IDS} only, not of {options.method}: choose that method"
        )
    ids = without_special(as_truth(cannot_link, "cannot_link"))
    if ids.shape != shape:
        raise InputError(f"cannot_link must have the shape of the volume, {shape}, not {ids.shape}")
    return np.where(inside != 0, ids, np.uint64(0)) if inside.size else ids


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


def _exact(
    levels: np.ndarray, inside: np.ndarray, options: FragmentOptions, ids: NDArray[np.uint64] | None
) -> np.ndarray:
    """Decide one block that is the whole volume.

    No neighbour has a say, so that everything is decided.

    The indices of components lie in the memory of the result: in an array of their own they would take 4 bytes a voxel more.
    """
    block = Block.whole(levels.shape[1:])
    result = np.empty(math.prod(block.owned.shape), np.uint64)
    picks = forest.pick_pairs(levels, inside, block, block.owned, options, ids)
    indices = components.indices_in(result)
    found = forest.find_components(picks.flags, indices, block, options, ids)
    names = found.firsts
    if (found.kinds[1:] < SEEDED).any():
        decided = forest.decide(levels, picks.steps, indices, found, options)
        names = decided.ids[decided.indices]
    components.spread_ids(names, result)
    return result.reshape(block.owned.shape)


def _seeded_flood(levels: np.ndarray, inside: np.ndarray, options: FragmentOptions) -> np.ndarray:
    shape = levels.shape[1:]
    flags = find_seeds(levels, inside, options) * np.uint8(SEED)
    result = np.empty(flags.size, np.uint64)
    indices = components.indices_in(result)
    indices[:] = np.arange(flags.size, dtype=indices.dtype)
    components.unite_touching_seeds(flags, indices, options.per_section)
    firsts, _ = components.index_components(flags, indices)
    heights = boundary.boundary_map(levels, inside, options.per_section)
    open_voxels = heights <= 255 - level_of(options.low)
    if inside.size:
        open_voxels &= inside.view(np.bool_)
    flood.flood(heights, open_voxels, indices.reshape(shape), options.per_section)
    components.spread_ids(components.first_voxels(indices, len(firsts) - 1), result)
    return result.reshape(shape)


def mask_bytes(mask: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    if mask is None:
        return np.empty((0, 0, 0), np.uint8)
    inside = inside_mask(mask)
    if inside.shape != shape:
        raise InputError(f"the mask must have the shape of the volume, {shape}, not {inside.shape}")
    return np.ascontiguousarray(inside).view(np.uint8)
