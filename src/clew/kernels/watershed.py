"""Which pairs of voxels every voxel picks, and the links that follow.

Pairs have a strict order: stronger first, then smaller index; the pair of voxel v and channel c has index 3 · v + c.
Of equally strong pairs of one voxel the order is therefore always z-, y-, x-, x+, y+, z+.

A flag byte holds the picks of a voxel, bits 0..5 for z+, y+, x+, x-, y-, z-, and
`ALIVE` if any pair of it is strong enough, `SEED` if it is a seed.
A link byte holds the voxel's links to its predecessors in x, y, z: bits 0, 1, 2.
"""

import numpy as np

from clew.kernels._jit import inline, kernel

ALIVE = 64
SEED = 128


def best_picks(affinities: np.ndarray, mask: np.ndarray, low: int, high: int, per_section: bool) -> np.ndarray:
    """Flags with the best pair of every voxel, if it is at least `low`, and all its pairs of at least `high`.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    mask : (z, y, x) uint8, 1 inside, or of shape (0, 0, 0) for everywhere
    low, high
        0..256; 256 is never reached.
    per_section
        Pairs in the plane only.

    Returns
    -------
    (z, y, x) uint8
    """
    flags = np.empty(affinities.shape[1:], np.uint8)
    _pick(affinities, mask, low, high, per_section, flags)
    return flags


@inline
def _strengths(values, here, there, out):
    """1 + affinity of the pairs of a row whose two voxels are inside, else 0."""
    for x in range(values.size):
        out[x] = (np.uint16(values[x]) + np.uint16(1)) * np.uint16(here[x] & there[x])


@inline
def _better(best, strengths, start, bit):
    for x in range(best.size):
        best[x] = max(best[x], np.uint16((strengths[x + start] << 6) | bit))


@inline
def _strong(picks, strengths, start, bit, least):
    for x in range(picks.size):
        picks[x] |= np.uint8(bit) if strengths[x + start] >= least else np.uint8(0)


@kernel
def _pick(affinities, mask, low, high, per_section, flags):
    depth, height, width = flags.shape
    inside = np.ones(width, np.uint8)
    outside = np.zeros(width, np.uint8)
    whole = mask.size == 0
    rows = np.zeros((4, width), np.uint16)
    up, back, forth, down = rows[0], rows[1], rows[2], rows[3]
    side = np.zeros(width + 1, np.uint16)
    best = np.zeros(width, np.uint16)
    least = np.uint16((low + 1) << 6)
    for z in range(depth):
        for y in range(height):
            here = inside if whole else mask[z, y]
            previous = outside if z == 0 or per_section else (inside if whole else mask[z - 1, y])
            _strengths(affinities[0, z, y], here, previous, up)
            previous = outside if y == 0 else (inside if whole else mask[z, y - 1])
            _strengths(affinities[1, z, y], here, previous, back)
            _strengths(affinities[2, z, y, 1:], here[1:], here[:-1], side[1:width])
            if y + 1 < height:
                _strengths(affinities[1, z, y + 1], here, inside if whole else mask[z, y + 1], forth)
            else:
                forth[:] = 0
            if z + 1 < depth and not per_section:
                _strengths(affinities[0, z + 1, y], here, inside if whole else mask[z + 1, y], down)
            else:
                down[:] = 0
            best[:] = 0
            _better(best, up, 0, 32)
            _better(best, back, 0, 16)
            _better(best, side, 0, 8)
            _better(best, side, 1, 4)
            _better(best, forth, 0, 2)
            _better(best, down, 0, 1)
            picks = flags[z, y]
            for x in range(width):
                picks[x] = np.uint8(best[x] & 63) | np.uint8(64) if best[x] >= least else np.uint8(0)
            if high < 256:
                _strong(picks, up, 0, 32, high + 1)
                _strong(picks, back, 0, 16, high + 1)
                _strong(picks, side, 0, 8, high + 1)
                _strong(picks, side, 1, 4, high + 1)
                _strong(picks, forth, 0, 2, high + 1)
                _strong(picks, down, 0, 1, high + 1)


def hold_seeds(flags: np.ndarray, seeds: np.ndarray) -> None:
    """Take away the picks of seed voxels and mark them, in place: a seed is joined, it never joins."""
    _hold(flags.reshape(-1), seeds.reshape(-1))


@kernel
def _hold(flags, seeds):
    for i in range(flags.size):
        flags[i] = np.uint8((flags[i] & 64) | 128) if seeds[i] else flags[i]


def pick_links(flags: np.ndarray) -> np.ndarray:
    """Links of every voxel to its predecessors: one if either voxel of the pair picked it.

    A link in y or z that two other links imply (those of the previous voxel in x and across) is left out.

    Returns
    -------
    (z, y, x) uint8
    """
    links = np.empty_like(flags)
    _link(flags, links)
    return links


@inline
def _across(flags, others, links, linked, mine, theirs, bit):
    """Links between a row and its predecessor row, whose own link bytes are `linked`."""
    width = flags.size
    links[0] |= np.uint8(bit) * (((flags[0] >> mine) | (others[0] >> theirs)) & np.uint8(1))
    for x in range(1, width):
        link = ((flags[x] >> mine) | (others[x] >> theirs)) & np.uint8(1)
        earlier = ((flags[x - 1] >> mine) | (others[x - 1] >> theirs)) & np.uint8(1)
        implied = earlier & links[x] & linked[x] & np.uint8(1)
        links[x] |= np.uint8(bit) * (link & (implied ^ np.uint8(1)))


@kernel
def _link(flags, links):
    depth, height, width = flags.shape
    for z in range(depth):
        for y in range(height):
            row = flags[z, y]
            out = links[z, y]
            out[0] = 0
            for x in range(1, width):
                out[x] = ((row[x] >> np.uint8(3)) | (row[x - 1] >> np.uint8(2))) & np.uint8(1)
            if y > 0:
                _across(row, flags[z, y - 1], out, links[z, y - 1], np.uint8(4), np.uint8(1), 2)
            if z > 0:
                _across(row, flags[z - 1, y], out, links[z - 1, y], np.uint8(5), np.uint8(0), 4)
