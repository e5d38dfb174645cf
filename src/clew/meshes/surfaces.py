"""Surfaces of segments: found block by block, joined, and simplified.

The surface lies half way between voxels of the segment and others (marching cubes, Lorensen and Cline 1987), so blocks that share
a plane of voxels share the corners on it, exactly.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.labels import Labels
from clew.space import Lengths, Triple

HALVES = 2
"""Corners are kept in halves of a voxel."""
FEW = 200
"""Triangles that are not simplified further."""
KEPT = 0.2
"""Part of the triangles that simplification leaves: at 20 nm a neuron looks the same."""


class Surface(NamedTuple):
    """Triangles.

    Parameters
    ----------
    vertices : (n, 3) numbers
        Corners (z, y, x).
    faces : (m, 3) uint32
        Indices of corners, those of a triangle counterclockwise as seen from outside.
    """

    vertices: NDArray[Any]
    faces: NDArray[np.uint32]


def surfaces(labels: Labels, corner: Triple) -> dict[int, Surface]:
    """The surfaces of all segments between the voxels of a block.

    Parameters
    ----------
    labels : (z, y, x) uint64
        The block, and around it what lies there: one plane of voxels towards lower numbers, of 0 where the volume ends.
    corner : (z, y, x) ints
        Where the first voxel lies.

    Returns
    -------
    dict of int to Surface
        By id, without 0; corners in halves of a voxel from the centre of voxel 0 on, int32. Triangles of a segment that goes on
        outside are open there.
    """
    from neuroglancer import _neuroglancer

    mesher = _neuroglancer.OnDemandObjectMeshGenerator(
        np.ascontiguousarray(labels), [1.0] * 3, np.zeros(3), max_quadrics_error=-1.0
    )
    start = HALVES * np.array(corner)
    found = {}
    for segment in np.unique(labels).tolist():
        data = mesher.get_mesh(segment) if segment else None
        if data is not None:
            vertices, faces = decoded(data)
            found[segment] = Surface((np.rint(HALVES * vertices[:, ::-1]) + start).astype(np.int32), faces)
    return found


def decoded(data: bytes) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Corners (x, y, z) and triangles as neuroglancer packs them."""
    (count,) = struct.unpack_from("<I", data)
    vertices = np.frombuffer(data, "<f4", 3 * count, 4).reshape(-1, 3)
    return vertices, np.frombuffer(data, "<u4", offset=4 + 12 * count).reshape(-1, 3)


def join_surfaces(parts: Sequence[Surface]) -> Surface:
    """One surface of those that blocks found: equal corners become one."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)])
    vertices, inverse = np.unique(np.concatenate([part.vertices for part in parts]), axis=0, return_inverse=True)
    return Surface(vertices, inverse.reshape(-1)[faces].astype(np.uint32))


def placed(surface: Surface, voxel_size: Lengths, offset: Lengths) -> Surface:
    """A surface with corners in nm, float64, where `offset` is the centre of voxel 0."""
    return Surface(surface.vertices * (np.array(voxel_size) / HALVES) + np.array(offset), surface.faces)


def simplified(surface: Surface, kept: float = KEPT) -> Surface:
    """A surface of fewer triangles, by quadric errors (Garland and Heckbert 1997).

    Parameters
    ----------
    surface : Surface
    kept : float
        Part of the triangles that remains; surfaces of few triangles stay.
    """
    import fast_simplification

    if len(surface.faces) <= FEW:
        return surface
    middle = surface.vertices.mean(0)  # float32 is exact enough near 0 only
    vertices, faces = fast_simplification.simplify(
        (surface.vertices - middle).astype(np.float32), surface.faces.astype(np.int32), target_reduction=1 - kept
    )
    return Surface(vertices + middle, faces.astype(np.uint32))
