"""The paper's seeded flood of the boundary map.

It has one first-in-first-out queue for each of 256 levels.

The volume is worked on with a closed rim of one voxel, so that no step needs to look where the volume ends; index 0 is
a corner of the rim and stands for "none" in the queues.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import at, bare_kernel, inline


class _Queues(NamedTuple):
    """Queues of voxels, one for each level.

    First and last voxel of each queue (256,) int64, and the one behind each voxel (voxels,), as the labels.

    A voxel waits once, so that one chain through all voxels holds all queues.
    """

    heads: np.ndarray
    tails: np.ndarray
    following: np.ndarray


def flood(heights: np.ndarray, open_voxels: np.ndarray, labels: np.ndarray, per_section: bool) -> None:
    """Flood the heights from the labelled voxels, in place.

    The lowest level comes first; at a level, first come, first served.

    Parameters
    ----------
    heights : (z, y, x) uint8
    open_voxels : (z, y, x) bool
        Where the flood may go; labelled voxels elsewhere are taken away.
    labels : (z, y, x) uint32 or int64
        Labels of the seeds, 0 elsewhere; afterwards of everything that was reached.
    per_section : bool
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
    queues = _Queues(np.zeros(256, np.int64), np.zeros(256, np.int64), np.zeros(reached.size, labels.dtype))
    _flood(levels.reshape(-1), reached.reshape(-1), queues, steps, closed)
    labels[...] = np.where(open_voxels, reached[inner], 0)


@inline
def _wait(queues, level, voxel):
    """Put a voxel at the end of the queue of a level."""
    if queues.heads[level] == 0:
        queues.heads[level] = voxel
    else:
        queues.following[at(queues.tails[level])] = voxel
    queues.tails[level] = voxel


@bare_kernel
def _flood(heights, labels, queues, steps, closed):
    for voxel in range(labels.size):
        if labels[voxel] != 0 and labels[voxel] != closed:
            _wait(queues, np.int64(heights[voxel]), voxel)
    for level in range(256):
        voxel = queues.heads[level]
        while voxel != 0:
            label = labels[at(voxel)]
            for step in steps:
                other = voxel + step
                if labels[at(other)] == 0:
                    labels[at(other)] = label
                    _wait(queues, max(np.int64(heights[at(other)]), level), other)
            voxel = np.int64(queues.following[at(voxel)])
