"""Which pairs of voxels every voxel picks, and the links that follow.

Order of pairs and bytes of flags and links as in `_flags`; the pair of voxel v and channel c has index 3 · v + c. All loops go
along rows in x over small integers, so that they vectorise.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._flags import (
    FAR,
    LINK_X,
    LINK_Y,
    LINK_Z,
    OBJECT,
    OUTSIDE,
    SEED,
    X_AFTER,
    X_BEFORE,
    Y_AFTER,
    Y_BEFORE,
    Z_AFTER,
    Z_BEFORE,
)  # fmt: skip
from clew.kernels._jit import bare_kernel, inline

NEVER = 256
"""A strength that no pair reaches."""
_AFFINITY, _DEPTH, _BIT = np.uint16(8), np.uint16(3), np.uint16(7)
"""What a candidate is packed of, so that the largest is the first pair in strict order: affinity << 8 | depth of the other voxel
(`FAR` - its steps) << 3 | bit of the pair."""


class _Volume(NamedTuple):
    """What is read of a volume.

    Affinities (3, z, y, x) uint8, mask (z, y, x) uint8 or of no size for everywhere, steps (z, y, x) uint8, and whether pairs in z
    count.
    """

    affinities: np.ndarray
    mask: np.ndarray
    steps: np.ndarray
    across: bool


class _Row(NamedTuple):
    """Candidates of a row of voxels, (x,) uint16.

    They are affinity << 8 | depth of the other voxel << 3; 0 where there is no pair.

    Parameters
    ----------
    z_before, y_before, x_before, x_after, y_after, z_after : (x,)
        By the place of the other voxel.
    best : (x,)
        The largest, with the bit of its pair.
    inside, outside : (x,) uint8, ones and zeros
    """

    z_before: np.ndarray
    y_before: np.ndarray
    x_before: np.ndarray
    x_after: np.ndarray
    y_after: np.ndarray
    z_after: np.ndarray
    best: np.ndarray
    inside: np.ndarray
    outside: np.ndarray


def best_picks(
    affinities: np.ndarray, mask: np.ndarray, steps: np.ndarray, low: int, high: int, per_section: bool
) -> np.ndarray:
    """Flags with the best pair of every voxel, and all its strong pairs.

    The best must be at least `low`, and strong pairs at least `high`. A pair of affinity 0 is never strong, and is picked only
    where neither voxel is `FAR`.

    A voxel of an object is one that is inside, or, where there are strong pairs, one in a pair above 0.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    mask : (z, y, x) uint8, 1 inside, or of shape (0, 0, 0) for everywhere
    steps : (z, y, x) uint8
        Outward, 0..FAR.
    low, high : int, 0..255, or `NEVER`
    per_section : bool
        Pairs in the plane only.

    Returns
    -------
    (z, y, x) uint8
    """
    flags = np.empty(affinities.shape[1:], np.uint8)
    width = flags.shape[2]
    row = _Row(*np.zeros((7, width), np.uint16), np.ones(width, np.uint8), np.zeros(width, np.uint8))
    _pick(_Volume(affinities, mask, steps, not per_section), low, high, row, flags)
    return flags


@inline
def _voxels(volume, row, z, y):
    return row.inside if volume.mask.size == 0 else volume.mask[z, y]


@inline
def _measure(volume, row, channel, place, other, candidates):
    """Candidates of the pairs of one channel between a row and another.

    The later of the two rows is at `place`.
    """
    z, y = place
    back_z, back_y = np.int64(channel == 0), np.int64(channel == 1)
    _, depth, height, width = volume.affinities.shape
    if back_z <= z < depth and back_y <= y < height and (volume.across or channel > 0):
        values, steps = volume.affinities[channel, z, y], volume.steps[other]
        here, there = _voxels(volume, row, z, y), _voxels(volume, row, z - back_z, y - back_y)
        for x in range(width):
            candidates[x] = _pack(values[x], steps[x], here[x] & there[x])
    else:
        candidates[:] = 0


@inline
def _pack(affinity, steps, inside):
    return ((np.uint16(affinity) << _AFFINITY) | (np.uint16(FAR - steps) << _DEPTH)) * np.uint16(inside)


@inline
def _measure_row(volume, row, z, y):
    """Candidates of the voxels of a row."""
    _measure(volume, row, 0, (z, y), (z - 1, y), row.z_before)
    _measure(volume, row, 1, (z, y), (z, y - 1), row.y_before)
    _measure(volume, row, 1, (z, y + 1), (z, y + 1), row.y_after)
    _measure(volume, row, 0, (z + 1, y), (z + 1, y), row.z_after)
    values, steps, here = volume.affinities[2, z, y], volume.steps[z, y], _voxels(volume, row, z, y)
    for x in range(1, values.size):
        both = here[x] & here[x - 1]
        row.x_before[x] = _pack(values[x], steps[x - 1], both)
        row.x_after[x - 1] = _pack(values[x], steps[x], both)


@inline
def _better(best, candidates, bit):
    for x in range(best.size):
        best[x] = max(best[x], np.uint16(candidates[x] | np.uint16(bit)))


@inline
def _flag(best, steps, least, everywhere, flags):
    """The pick of the best pair, where it counts; whether it is of an object."""
    for x in range(flags.size):
        positive = best[x] >= np.uint16(1) << _AFFINITY
        reached = (best[x] >= np.uint16(1) << _DEPTH) & (steps[x] < FAR)
        use = (best[x] >= least) & (positive | reached)
        held = positive & (everywhere | (steps[x] < OUTSIDE))
        flags[x] = np.uint8(use) * (np.uint8(1 << (best[x] & _BIT)) | np.uint8(OBJECT) * np.uint8(held))


@inline
def _strong(picks, candidates, bit, least):
    for x in range(picks.size):
        picks[x] |= np.uint8(1 << bit) if candidates[x] >= least else np.uint8(0)


@bare_kernel
def _pick(volume, low, high, row, flags):
    least, strong = np.uint16(low << _AFFINITY), np.uint16(max(high, 1) << _AFFINITY)
    for z in range(flags.shape[0]):
        for y in range(flags.shape[1]):
            _measure_row(volume, row, z, y)
            row.best[:] = 0
            _better(row.best, row.z_before, Z_BEFORE)
            _better(row.best, row.y_before, Y_BEFORE)
            _better(row.best, row.x_before, X_BEFORE)
            _better(row.best, row.x_after, X_AFTER)
            _better(row.best, row.y_after, Y_AFTER)
            _better(row.best, row.z_after, Z_AFTER)
            picks = flags[z, y]
            _flag(row.best, volume.steps[z, y], least, high < NEVER, picks)
            if high < NEVER:
                _strong(picks, row.z_before, Z_BEFORE, strong)
                _strong(picks, row.y_before, Y_BEFORE, strong)
                _strong(picks, row.x_before, X_BEFORE, strong)
                _strong(picks, row.x_after, X_AFTER, strong)
                _strong(picks, row.y_after, Y_AFTER, strong)
                _strong(picks, row.z_after, Z_AFTER, strong)


def hold_seeds(flags: np.ndarray, seeds: np.ndarray) -> None:
    """Take away the picks of seed voxels and mark them, in place.

    A seed is joined, it never joins.
    """
    _hold(flags.reshape(-1), seeds.reshape(-1))


@bare_kernel
def _hold(flags, seeds):
    for i in range(flags.size):
        flags[i] = np.uint8((flags[i] & OBJECT) | SEED) if seeds[i] else flags[i]


def pick_links(flags: np.ndarray) -> np.ndarray:
    """Links of every voxel to its predecessors.

    There is a link if either voxel of the pair picked it.

    A link in y or z that two other links imply (those of the previous voxel in x and across) is left out: each costs two walks
    to a root.

    Returns
    -------
    (z, y, x) uint8
    """
    links = np.empty_like(flags)
    _link(flags, links)
    return links


@inline
def _picked(flag, before, own_bit, other_bit):
    """1 where one of two voxels picked their pair.

    The later one by its own bit, the one before by the other.
    """
    return ((flag >> np.uint8(own_bit)) | (before >> np.uint8(other_bit))) & np.uint8(1)


@inline
def _across(flags, others, links, linked, own_bit, other_bit, bit):
    """Links between a row and its predecessor row, whose own link bytes are `linked`."""
    links[0] |= np.uint8(bit) * _picked(flags[0], others[0], own_bit, other_bit)
    for x in range(1, flags.size):
        link = _picked(flags[x], others[x], own_bit, other_bit)
        earlier = _picked(flags[x - 1], others[x - 1], own_bit, other_bit)
        implied = earlier & links[x] & linked[x] & np.uint8(LINK_X)
        links[x] |= np.uint8(bit) * (link & (implied ^ np.uint8(1)))


@bare_kernel
def _link(flags, links):
    for z in range(flags.shape[0]):
        for y in range(flags.shape[1]):
            row, out = flags[z, y], links[z, y]
            out[0] = 0
            for x in range(1, row.size):
                out[x] = np.uint8(LINK_X) * _picked(row[x], row[x - 1], X_BEFORE, X_AFTER)
            if y > 0:
                _across(row, flags[z, y - 1], out, links[z, y - 1], Y_BEFORE, Y_AFTER, LINK_Y)
            if z > 0:
                _across(row, flags[z - 1, y], out, links[z - 1, y], Z_BEFORE, Z_AFTER, LINK_Z)
