"""Meshes of neuroglancer: levels of detail, cut into cells, packed by Draco.

https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/meshes.md
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.export.shards import Entry
from clew.meshes.surfaces import Surface, simplified

BITS = 16
"""Of each coordinate in a cell."""
MOST_LEVELS = 4
ENOUGH = 3000
"""Triangles of a surface for which one level more pays."""
KEPT = 0.25
"""Part of the triangles that the next level has."""


def mesh_info(sharding: dict[str, Any]) -> dict[str, Any]:
    """The file `info` of the folder of meshes."""
    return {
        "@type": "neuroglancer_multilod_draco", "vertex_quantization_bits": BITS, "lod_scale_multiplier": 1,
        "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], "sharding": sharding,
    }  # fmt: skip


def multiresolution(surface: Surface, detail: float) -> Entry:
    """A surface at its levels of detail: its cells, and the manifest of them.

    Parameters
    ----------
    surface : Surface
        Corners (z, y, x) in nm.
    detail : float
        Size in nm of what the finest level shows.
    """
    levels = [Surface(surface.vertices[:, ::-1].astype(np.float64), surface.faces)]  # (x, y, z) from here on
    while len(levels) < MOST_LEVELS and len(levels[-1].faces) > ENOUGH:
        levels.append(simplified(levels[-1], KEPT))
    corners = np.concatenate([level.vertices for level in levels])
    origin = np.floor(corners.min(0))
    # one cell at the coarsest level; half as large at each finer one
    cell = np.ceil((corners.max(0) - origin).max() + 1) / 2 ** (len(levels) - 1)
    cells = [_cells(level, origin, cell * 2**number) for number, level in enumerate(levels)]
    return Entry(b"".join(data for each in cells for _, data in each), _manifest(cells, origin, cell, detail))


def _manifest(
    cells: list[list[tuple[NDArray[np.int64], bytes]]], origin: NDArray[np.float64], cell: float, detail: float
) -> bytes:
    count = len(cells)
    manifest = struct.pack("<3f3fI", *[cell] * 3, *origin, count)
    manifest += (detail * 2.0 ** np.arange(count)).astype("<f4").tobytes() + np.zeros((count, 3), "<f4").tobytes()
    manifest += np.array([len(each) for each in cells], "<u4").tobytes()
    for each in cells:
        places = np.array([place for place, _ in each], "<u4").reshape(-1, 3)
        manifest += places.T.tobytes() + np.array([len(data) for _, data in each], "<u4").tobytes()
    return manifest


def _cells(level: Surface, origin: NDArray[np.float64], side: float) -> list[tuple[NDArray[np.int64], bytes]]:
    """The cells of a level in Z order, each with its part of the surface."""
    import DracoPy

    vertices, faces = cut_at_planes(level, origin, side)
    node = np.maximum(np.floor((vertices[faces].mean(1) - origin) / side).astype(np.int64), 0)
    found = []
    nodes, inverse = np.unique(node, axis=0, return_inverse=True)
    for number in np.argsort(_z_order(nodes), kind="stable"):
        used, local = np.unique(faces[inverse.reshape(-1) == number], return_inverse=True)
        inside = (vertices[used] - origin - nodes[number] * side) / side
        whole = np.clip(np.rint(inside * (2**BITS - 1)), 0, 2**BITS - 1).astype(np.uint32)
        data = DracoPy.encode(whole, local.reshape(-1, 3).astype(np.uint32), quantization_bits=0, preserve_order=False)
        found.append((nodes[number], data))
    return found


def _z_order(places: NDArray[np.int64]) -> NDArray[np.int64]:
    code = np.zeros(len(places), np.int64)
    for bit in range(int(places.max(initial=1)).bit_length()):
        for axis in range(3):
            code |= (places[:, axis] >> bit & 1) << (3 * bit + axis)
    return code


def cut_at_planes(
    surface: Surface, origin: NDArray[np.float64], side: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same surface, of triangles that lie in one cell each.

    Parameters
    ----------
    surface : Surface
        Corners in any order of axes.
    origin : (3,) floats
        Corner of the first cell, in that order.
    side : float
        Of a cell.

    Returns
    -------
    vertices : (n, 3) float64
    faces : (m, 3) int64
    """
    vertices, faces = np.asarray(surface.vertices, np.float64), surface.faces.astype(np.int64)
    for axis in range(3):
        for plane in range(1, int(np.ceil((vertices[:, axis].max() - origin[axis]) / side))):
            vertices, faces = _cut(vertices, faces, axis, origin[axis] + plane * side)
    return vertices, faces


def _cut(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], axis: int, plane: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Divide each triangle that has corners on both sides of a plane into three."""
    height = vertices[:, axis] - plane
    above, below = (height[faces] > 0).sum(1), (height[faces] < 0).sum(1)
    through = (above > 0) & (below > 0)
    if not through.any():
        return vertices, faces
    cut = faces[through]
    alone = np.where(above[through] == 1, (height[cut] > 0).argmax(1), (height[cut] <= 0).argmax(1))
    rows = np.arange(len(cut))
    a, b, c = (cut[rows, (alone + step) % 3] for step in range(3))
    new = [
        vertices[a] + (vertices[other] - vertices[a]) * (height[a] / (height[a] - height[other]))[:, None]
        for other in (b, c)
    ]
    for corners in new:
        corners[:, axis] = plane
    ab = len(vertices) + rows
    ac = ab + len(cut)
    pieces = [np.stack(corners, 1) for corners in ((a, ab, ac), (ab, b, c), (ab, c, ac))]
    return np.concatenate([vertices, *new]), np.concatenate([faces[~through], *pieces])
