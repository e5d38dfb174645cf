"""Files of meshes and skeletons, and what neuroglancer reads of both."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorstore
from hypothesis import given
from hypothesis import strategies as st

from clew.export.mesh_files import mesh_file
from clew.export.multiresolution import BITS, cut_at_planes, multiresolution
from clew.export.shards import Entry, shard_bytes, shard_file, sharding
from clew.export.skeleton_files import nml_file, precomputed_skeleton, rooted, swc_file
from clew.meshes.pieces import bucket_of
from clew.meshes.skeletons import Skeleton
from clew.meshes.surfaces import Surface
from clew.volumes.formats.nml import read_nml
from clew.volumes.formats.swc import read_swc

TETRAHEDRON = Surface(
    np.array([[0, 0, 0], [0, 0, 1000], [0, 2000, 0], [3000, 0, 0]], float),
    np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]], np.uint32),
)
FORK = Skeleton(
    np.array([[100, 200, 300], [110, 200, 300], [120, 200, 300], [110, 230, 300], [500, 500, 500]], float),
    np.array([[2, 1], [0, 1], [1, 3]], np.uint32),
    np.array([10, 20, 30, 40, 50], np.float32),
)


def test_ply_and_obj_have_the_corners_in_micrometers():
    ply = mesh_file(TETRAHEDRON, "7", "ply")
    head, _, body = ply.partition(b"end_header\n")
    assert b"element vertex 4\n" in head
    assert b"element face 4\n" in head
    corners = np.frombuffer(body, "<f4", 12).reshape(4, 3)
    np.testing.assert_array_equal(corners, [[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    assert body[48:] == b"".join(struct.pack("<B3I", 3, *face) for face in TETRAHEDRON.faces)
    lines = mesh_file(TETRAHEDRON, "7", "obj").decode().splitlines()
    assert lines[1:3] == ["o 7", "v 0 0 0"]
    assert lines[-1] == "f 2 4 3"


def test_glb_is_what_its_header_says():
    glb = mesh_file(TETRAHEDRON, "7", "glb")
    magic, version, size, length, kind = struct.unpack_from("<4sIII4s", glb)
    assert (magic, version, size, kind) == (b"glTF", 2, len(glb), b"JSON")
    document = json.loads(glb[20 : 20 + length])
    binary = glb[20 + length + 8 :]
    assert document["buffers"][0]["byteLength"] == len(binary)
    view = document["bufferViews"][1]
    corners = np.frombuffer(binary, "<f4", 12, view["byteOffset"]).reshape(4, 3)
    assert corners.max(0).tolist() == document["accessors"][1]["max"] == [1, 2, 3]
    assert (len(glb) % 4, length % 4) == (0, 0)


def test_swc_and_nml_are_read_as_the_skeleton(tmp_path: Path):
    order, parents = rooted(FORK)
    edges = {frozenset((order[n], order[p])) for n, p in enumerate(parents) if p >= 0}
    assert edges == {frozenset(edge) for edge in FORK.edges.tolist()}
    assert all(parent < number for number, parent in enumerate(parents))
    (tmp_path / "7.swc").write_bytes(swc_file(FORK, "7"))
    (tmp_path / "7.nml").write_bytes(nml_file(FORK, "7", (10, 5, 5), (100, 0, 0)))
    for found in (read_swc(str(tmp_path / "7.swc"), (1000, 1000, 1000)), read_nml(str(tmp_path / "7.nml"))):
        assert (len(found.positions), len(found.edges)) == (5, 3)
    assert b"1 0 0.3000 0.2000 0.1000 0.0100 -1" in (tmp_path / "7.swc").read_bytes()
    assert b'<node id="2" radius="20.00" x="60.00" y="40.00" z="1.00"/>' in (tmp_path / "7.nml").read_bytes()


def test_a_precomputed_skeleton_is_packed_as_written():
    data = precomputed_skeleton(FORK)
    assert struct.unpack_from("<II", data) == (5, 3)
    np.testing.assert_array_equal(np.frombuffer(data, "<f4", 3, 8), [300, 200, 100])
    np.testing.assert_array_equal(np.frombuffer(data, "<u4", 6, 8 + 60).reshape(3, 2), FORK.edges)
    np.testing.assert_array_equal(np.frombuffer(data, "<f4", 5, 8 + 60 + 24), FORK.radii)


@given(st.dictionaries(st.integers(1, 2**64 - 1), st.binary(max_size=9), max_size=20), st.sampled_from([1, 2, 32]))
def test_shards_are_read_by_tensorstore(contents: dict[int, bytes], shards: int):
    context = tensorstore.Context()
    store = tensorstore.KvStore.open({"driver": "memory"}, context=context).result()
    buckets = {id: int(bucket_of(np.array([id], np.uint64), shards)[0]) for id in contents}
    for shard in set(buckets.values()):
        entries = {id: Entry(b"before", contents[id]) for id in contents if buckets[id] == shard}
        store[shard_file(shard, shards)] = shard_bytes(entries)
    spec = {"driver": "neuroglancer_uint64_sharded", "metadata": sharding(shards), "base": {"driver": "memory"}}
    read = tensorstore.KvStore.open(spec, context=context).result()
    for id, content in contents.items():
        assert read[id.to_bytes(8, "big")] == content


@given(st.integers(0, 2**32 - 1), st.floats(5, 60))
def test_cut_triangles_lie_in_one_cell_and_cover_the_same(seed: int, side: float):
    rng = np.random.default_rng(seed)
    surface = Surface(rng.uniform(0, 100, (12, 3)), rng.permutation(12).reshape(4, 3).astype(np.uint32))
    vertices, faces = cut_at_planes(surface, np.zeros(3), side)
    cells = vertices[faces] / side
    assert (np.ceil(cells.max(1) - 1e-6) - np.floor(cells.min(1) + 1e-6) <= 1).all()

    def area(corners: np.ndarray) -> np.ndarray:
        return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).sum(0)

    np.testing.assert_allclose(area(vertices[faces]), area(surface.vertices[surface.faces]), atol=1e-6)


def test_levels_lie_where_the_surface_is(monkeypatch: pytest.MonkeyPatch):
    import DracoPy

    monkeypatch.setattr("clew.export.multiresolution.ENOUGH", 300)
    u, v = np.meshgrid(np.linspace(0, np.pi, 20), np.linspace(0, 2 * np.pi, 40), indexing="ij")
    corners = 5000 + 2000 * np.stack([np.cos(u), np.sin(u) * np.cos(v), np.sin(u) * np.sin(v) / 2], -1).reshape(-1, 3)
    at = np.arange(19)[:, None] * 40 + np.arange(39)
    faces = np.concatenate([np.stack([at, at + 1, at + 40], -1), np.stack([at + 1, at + 41, at + 40], -1)]).reshape(
        -1, 3
    )
    before, manifest = multiresolution(Surface(corners, faces.astype(np.uint32)), 20.0)
    cell, origin = np.frombuffer(manifest, "<f4", 1)[0], np.frombuffer(manifest, "<f4", 3, 12)
    (levels,) = struct.unpack_from("<I", manifest, 24)
    assert levels >= 2
    counts = np.frombuffer(manifest, "<u4", levels, 28 + 16 * levels)
    at, start = 28 + 20 * levels, 0
    for level, count in enumerate(counts.tolist()):
        places = np.frombuffer(manifest, "<u4", 3 * count, at).reshape(3, count).T
        sizes = np.frombuffer(manifest, "<u4", count, at + 12 * count)
        at += 16 * count
        found = []
        for place, size in zip(places, sizes.tolist(), strict=True):
            points = DracoPy.decode(before[start : start + size]).points
            start += size
            found.append(origin + cell * 2**level * (place + points / (2**BITS - 1)))
        found = np.concatenate(found)
        np.testing.assert_allclose(found.min(0), corners.min(0)[::-1], atol=100)
        np.testing.assert_allclose(found.max(0), corners.max(0)[::-1], atol=100)
    assert (at, start) == (len(manifest), len(before))
