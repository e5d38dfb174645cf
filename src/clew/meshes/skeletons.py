"""Skeletons of segments: centre lines by TEASAR (Sato et al. 2000).

They are made of whole segments, so they are the same for all blocks.
"""

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.labels import Labels
from clew.space import Lengths, Triple

SCALE, CONSTANT = 1.5, 300.0
"""A branch is what is farther from the centre line than `SCALE` times its radius there, and `CONSTANT` nm."""
LARGEST_BOX = 1 << 29
"""Voxels of the box around a segment; a larger one is looked at with voxels of twice the size."""


class Skeleton(NamedTuple):
    """Centre lines of a segment: one for each of its parts that do not touch.

    Parameters
    ----------
    vertices : (n, 3) float64
        (z, y, x) in nm.
    edges : (m, 2) uint32
        Indices of vertices.
    radii : (n,) float32
        Distance to the surface in nm.
    """

    vertices: NDArray[np.float64]
    edges: NDArray[np.uint32]
    radii: NDArray[np.float32]


def voxels_of_segments(labels: Labels, corner: Triple) -> dict[int, tuple[NDArray[np.int32]]]:
    """The voxels (z, y, x) of each segment of a block, int32, by id.

    `corner` is where the first voxel lies.
    """
    flat = labels.reshape(-1)
    order = np.argsort(flat, kind="stable")
    ids, first = np.unique(flat[order], return_index=True)
    parts = np.split(order, first[1:])
    voxels = (np.stack(np.unravel_index(part, labels.shape), 1) + np.array(corner) for part in parts)
    return {id: (each.astype(np.int32),) for id, each in zip(ids.tolist(), voxels, strict=True) if id}


def skeleton_of(voxels: NDArray[np.int32], voxel_size: Lengths, offset: Lengths) -> Skeleton:
    """The skeleton of one segment.

    Parameters
    ----------
    voxels : (n, 3) int32
        All its voxels (z, y, x).
    voxel_size, offset : (z, y, x) floats
        In nm; the offset is the centre of voxel 0.
    """
    from bioimage_cpp.skeleton import teasar

    low, size, origin = voxels.min(0), np.array(voxel_size), np.array(offset)
    while prod(int(length) for length in voxels.max(0) - low + 1) > LARGEST_BOX:
        origin, size, voxels = origin + size / 2, size * 2, np.unique(voxels // 2, axis=0)
        low = voxels.min(0)
    mask = np.zeros(voxels.max(0) - low + 3, np.uint8)
    mask[tuple((voxels - low + 1).T)] = 1
    vertices, edges, radii = teasar(mask, spacing=tuple(size), scale=SCALE, constant=CONSTANT)
    return Skeleton(vertices + (low - 1) * size + origin, edges.astype(np.uint32), radii.astype(np.float32))
