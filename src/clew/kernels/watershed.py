"""Which pairs of voxels every voxel picks, and the links that follow.

Pairs have a strict order: stronger first, then smaller index; the pair of voxel v and channel c has index 3 · v + c.
Bytes of flags and links as in `_flags`. All loops go along rows in x over small integers, so that they vectorise.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._flags import (
    ALIVE,
    LINK_X,
    LINK_Y,
    LINK_Z,
    PICK_BITS,
    PICKS,
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


class _Volume(NamedTuple):
    """What is read of a volume.

    Affinities (3, z, y, x) uint8, mask (z, y, x) uint8 or of no size for everywhere, and whether pairs in z count.
    """

    affinities: np.ndarray
    mask: np.ndarray
    across: bool


class _Row(NamedTuple):
    """Strengths of the pairs of a row of voxels, uint16.

    1 + affinity where both voxels are inside, else 0.

    Parameters
    ----------
    z_before, y_before, y_after, z_after : (x,)
    along : (x + 1,), with the voxel before in x; one place on, with the voxel after
    best : (x,), strength << 6 | the bit of the pair: the maximum is the first pair in strict order
    inside, outside : (x,) uint8, ones and zeros
    """

    z_before: np.ndarray
    y_before: np.ndarray
    y_after: np.ndarray
    z_after: np.ndarray
    along: np.ndarray
    best: np.ndarray
    inside: np.ndarray
    outside: np.ndarray


def best_picks(affinities: np.ndarray, mask: np.ndarray, low: int, high: int, per_section: bool) -> np.ndarray:
    """Flags with the best pair of every voxel, and all its strong pairs.

    The best must be at least `low`, and strong pairs at least `high`.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    mask : (z, y, x) uint8, 1 inside, or of shape (0, 0, 0) for everywhere
    low, high : int, 0..255, or `NEVER`
    per_section : bool
        Pairs in the plane only.

    Returns
    -------
    (z, y, x) uint8
    """
    flags = np.empty(affinities.shape[1:], np.uint8)
    width = flags.shape[2]
    sides = np.zeros((5, width), np.uint16)
    row = _Row(
        *sides[:4], np.zeros(width + 1, np.uint16), sides[4], np.ones(width, np.uint8), np.zeros(width, np.uint8)
    )
    _pick(_Volume(affinities, mask, not per_section), low, high, row, flags)
    return flags


@inline
def _voxels(volume, row, z, y):
    return row.inside if volume.mask.size == 0 else volume.mask[z, y]


@inline
def _measure(volume, row, channel, z, y, strengths):
    """Strengths of the pairs (voxel, predecessor) of one channel in a row.

    0 where there is no such row.
    """
    back_z, back_y = np.int64(channel == 0), np.int64(channel == 1)
    _, depth, height, width = volume.affinities.shape
    if back_z <= z < depth and back_y <= y < height and (volume.across or channel > 0):
        values = volume.affinities[channel, z, y]
        here, there = _voxels(volume, row, z, y), _voxels(volume, row, z - back_z, y - back_y)
        for x in range(width):
            strengths[x] = (np.uint16(values[x]) + np.uint16(1)) * np.uint16(here[x] & there[x])
    else:
        strengths[:] = 0


@inline
def _measure_row(volume, row, z, y):
    """Strengths of all pairs of the voxels of a row."""
    _measure(volume, row, 0, z, y, row.z_before)
    _measure(volume, row, 1, z, y, row.y_before)
    _measure(volume, row, 1, z, y + 1, row.y_after)
    _measure(volume, row, 0, z + 1, y, row.z_after)
    values, here = volume.affinities[2, z, y], _voxels(volume, row, z, y)
    for x in range(1, values.size):
        row.along[x] = (np.uint16(values[x]) + np.uint16(1)) * np.uint16(here[x] & here[x - 1])


@inline
def _better(best, strengths, start, bit):
    for x in range(best.size):
        best[x] = max(best[x], np.uint16((strengths[x + start] << PICK_BITS) | (1 << bit)))


@inline
def _strong(picks, strengths, start, bit, least):
    for x in range(picks.size):
        picks[x] |= np.uint8(1 << bit) if strengths[x + start] >= least else np.uint8(0)


@bare_kernel
def _pick(volume, low, high, row, flags):
    best = row.best
    least = np.uint16((low + 1) << PICK_BITS)
    for z in range(flags.shape[0]):
        for y in range(flags.shape[1]):
            _measure_row(volume, row, z, y)
            best[:] = 0
            _better(best, row.z_before, 0, Z_BEFORE)
            _better(best, row.y_before, 0, Y_BEFORE)
            _better(best, row.along, 0, X_BEFORE)
            _better(best, row.along, 1, X_AFTER)
            _better(best, row.y_after, 0, Y_AFTER)
            _better(best, row.z_after, 0, Z_AFTER)
            picks = flags[z, y]
            for x in range(picks.size):
                picks[x] = np.uint8(best[x] & PICKS) | np.uint8(ALIVE) if best[x] >= least else np.uint8(0)
            if high < NEVER:
                _strong(picks, row.z_before, 0, Z_BEFORE, high + 1)
                _strong(picks, row.y_before, 0, Y_BEFORE, high + 1)
                _strong(picks, row.along, 0, X_BEFORE, high + 1)
                _strong(picks, row.along, 1, X_AFTER, high + 1)
                _strong(picks, row.y_after, 0, Y_AFTER, high + 1)
                _strong(picks, row.z_after, 0, Z_AFTER, high + 1)


def hold_seeds(flags: np.ndarray, seeds: np.ndarray) -> None:
    """Take away the picks of seed voxels and mark them, in place.

    A seed is joined, it never joins.
    """
    _hold(flags.reshape(-1), seeds.reshape(-1))


@bare_kernel
def _hold(flags, seeds):
    for i in range(flags.size):
        flags[i] = np.uint8((flags[i] & ALIVE) | SEED) if seeds[i] else flags[i]


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
