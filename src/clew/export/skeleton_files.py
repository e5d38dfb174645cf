"""Skeletons as files of others: SWC (µm), NML (voxels), and precomputed (nm)."""

import struct
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

from clew.meshes.skeletons import Skeleton
from clew.space import Lengths

NANOMETERS = 1000.0
"""In a µm."""
RADIUS = [{"id": "radius", "data_type": "float32", "num_components": 1}]
"""Attributes of vertices, as in `info` of precomputed skeletons."""


def rooted(skeleton: Skeleton) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertices in an order in which each comes after the one that leads to it.

    Returns
    -------
    order : (n,) int64
    parents : (n,) int64
        Of each vertex in this order, the place of its parent in it; −1 for the first of each part.
    """
    count = len(skeleton.vertices)
    ends = skeleton.edges.astype(np.int64).T
    graph = coo_matrix((np.ones(ends.shape[1]), tuple(ends)), (count, count)).tocsr()
    _, part = connected_components(graph, directed=False)
    roots = np.unique(part, return_index=True)[1]
    walks = [breadth_first_order(graph, root, directed=False) for root in roots]
    order = np.concatenate([walk for walk, _ in walks]).astype(np.int64)
    before = np.concatenate([parents[walk] for walk, parents in walks]).astype(np.int64)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    return order, np.where(before < 0, -1, place[np.maximum(before, 0)])


def swc_file(skeleton: Skeleton, name: str) -> bytes:
    """A skeleton as SWC, x, y, z and radius in µm."""
    order, parents = rooted(skeleton)
    nodes = np.column_stack([skeleton.vertices[:, ::-1], skeleton.radii])[order] / NANOMETERS
    lines = [f"# segment {name}, in micrometers: id type x y z radius parent"]
    for number, ((x, y, z, radius), parent) in enumerate(zip(nodes.tolist(), parents.tolist(), strict=True), 1):
        lines.append(f"{number} 0 {x:.4f} {y:.4f} {z:.4f} {radius:.4f} {parent + 1 if parent >= 0 else -1}")
    return ("\n".join(lines) + "\n").encode()


def nml_file(skeleton: Skeleton, name: str, voxel_size: Lengths, offset: Lengths) -> bytes:
    """A skeleton as NML of WEBKNOSSOS and Knossos, nodes in voxels of the volume."""
    nodes = (skeleton.vertices - np.array(offset)) / np.array(voxel_size)
    z, y, x = voxel_size
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>', "<things>", "  <parameters>", f"    <experiment name={quoteattr(name)}/>",
        f'    <scale x="{x:g}" y="{y:g}" z="{z:g}" unit="nanometer"/>', "  </parameters>",
        f'  <thing id="1" name={quoteattr(name)} color.r="1" color.g="0" color.b="0" color.a="1">', "    <nodes>",
    ]  # fmt: skip
    for number, ((z, y, x), radius) in enumerate(zip(nodes.tolist(), skeleton.radii.tolist(), strict=True), 1):
        lines.append(f'      <node id="{number}" radius="{radius:.2f}" x="{x:.2f}" y="{y:.2f}" z="{z:.2f}"/>')
    lines += ["    </nodes>", "    <edges>"]
    lines += [f'      <edge source="{a}" target="{b}"/>' for a, b in (skeleton.edges.astype(int) + 1).tolist()]
    return "\n".join([*lines, "    </edges>", "  </thing>", "</things>", ""]).encode()


def precomputed_skeleton(skeleton: Skeleton) -> bytes:
    """A skeleton as neuroglancer reads it, x, y, z in nm, with radii."""
    head = struct.pack("<II", len(skeleton.vertices), len(skeleton.edges))
    vertices = skeleton.vertices[:, ::-1].astype("<f4")
    return head + vertices.tobytes() + skeleton.edges.astype("<u4").tobytes() + skeleton.radii.astype("<f4").tobytes()
