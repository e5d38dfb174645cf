"""The paper's seeded flood of the boundary map, with one first-in-first-out queue for each of 256 levels.

The volume is worked on with a closed rim of one voxel, so that no step needs to look where the volume ends; index 0 is
a corner of the rim and stands for "none" in the queues.
"""

import numpy as np

from clew.kernels._jit import kernel

_U = np.uint64


def boundary_map(affinities: np.ndarray, mask: np.ndarray, per_section: bool) -> np.ndarray:
    """255 - mean affinity of each voxel's own pairs, rounded (halves of the mean upwards); 0 where there is no pair.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    mask : (z, y, x) uint8, 1 inside, or of shape (0, 0, 0) for everywhere
        Pairs that leave the mask are not counted, just as pairs that leave the volume.
    per_section
        Count the pairs in the plane only.

    Returns
    -------
    (z, y, x) uint8
    """
    heights = np.empty(affinities.shape[1:], np.uint8)
    _measure(affinities, mask, per_section, heights)
    return heights


@kernel
def _measure(affinities, mask, per_section, heights):
    depth, height, width = heights.shape
    whole = mask.size == 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                total = np.int64(0)
                count = np.int64(0)
                if whole or mask[z, y, x]:
                    if z > 0 and not per_section and (whole or mask[z - 1, y, x]):
                        total += np.int64(affinities[0, z, y, x])
                        count += 1
                    if y > 0 and (whole or mask[z, y - 1, x]):
                        total += np.int64(affinities[1, z, y, x])
                        count += 1
                    if x > 0 and (whole or mask[z, y, x - 1]):
                        total += np.int64(affinities[2, z, y, x])
                        count += 1
                heights[z, y, x] = 255 - (2 * total + count) // (2 * count) if count else 0


def flood(heights: np.ndarray, open_voxels: np.ndarray, labels: np.ndarray, per_section: bool) -> None:
    """Flood the heights from the labelled voxels, in place: lowest level first, first come first served.

    Parameters
    ----------
    heights : (z, y, x) uint8
    open_voxels : (z, y, x) bool
        Where the flood may go; labelled voxels elsewhere are taken away.
    labels : (z, y, x) uint32 or int64
        Labels of the seeds, 0 elsewhere; afterwards of everything that was reached.
    per_section
        Flood in the plane only.
    """
    rimmed = tuple(size + 2 for size in heights.shape)
    inner = (slice(1, -1),) * 3
    closed = np.iinfo(labels.dtype).max
    reached = np.full(rimmed, closed, labels.dtype)
    reached[inner] = np.where(open_voxels, labels, closed)
    levels = np.zeros(rimmed, np.uint8)
    levels[inner] = heights
    plane, row = rimmed[1] * rimmed[2], rimmed[2]
    steps = np.array([-row, -1, 1, row] if per_section else [-plane, -row, -1, 1, row, plane], np.int64)
    following = np.zeros(reached.size, labels.dtype)
    _flood(levels.reshape(-1), reached.reshape(-1), following, steps, closed)
    labels[...] = np.where(open_voxels, reached[inner], 0)


@kernel
def _flood(heights, labels, following, steps, closed):
    heads = np.zeros(256, np.int64)
    tails = np.zeros(256, np.int64)
    for i in range(labels.size):
        if labels[i] != 0 and labels[i] != closed:
            level = heights[i]
            if heads[level] == 0:
                heads[level] = i
            else:
                following[_U(tails[level])] = i
            tails[level] = i
    for level in range(256):
        i = heads[level]
        while i != 0:
            label = labels[_U(i)]
            for step in steps:
                j = i + step
                if labels[_U(j)] == 0:
                    labels[_U(j)] = label
                    reached = max(np.int64(heights[_U(j)]), level)
                    if heads[reached] == 0:
                        heads[reached] = j
                    else:
                        following[_U(tails[reached])] = j
                    tails[reached] = j
            i = np.int64(following[_U(i)])
