"""Surfaces and skeletons: closed, the same from blocks as from the whole, and where the segments are."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.meshes.in_blocks import coarse_voxels, segment_tasks
from clew.meshes.pieces import bucket_of, pack, unpack
from clew.meshes.skeletons import skeleton_of, voxels_of_segments
from clew.meshes.surfaces import FEW, Surface, join_surfaces, placed, simplified, surfaces
from clew.volumes.pyramid import pool

LABELS = arrays(np.uint64, (5, 6, 8), elements=st.sampled_from([0, 0, 1, 9, 2**63 + 8]))


def triangles(surface: Surface) -> Counter:
    """Each triangle by its corners, from the smallest on."""
    corners = surface.vertices[surface.faces].tolist()
    turned = [tuple(map(tuple, each)) for each in corners]
    return Counter(min((a, b, c), (b, c, a), (c, a, b)) for a, b, c in turned)


def in_blocks(
    labels: np.ndarray, kind: str, block_shape: tuple[int, int, int], detail: float = 1
) -> dict[int, list[Any]]:
    """What tasks find of each segment."""
    found: dict[int, list[Any]] = {}

    def write(store: Any, bucket: int, tables: list, ids: np.ndarray) -> None:
        found.update(unpack(tables, ids))

    coarse = coarse_voxels(Grid(Domain.whole(labels.shape), block_shape), (1, 1, 1), (0, 0, 0), detail)
    store = MemoryStore(Domain.whole(labels.shape), {"source": labels})
    store.save(("wanted",), {"ids": np.unique(labels[labels > 0])})
    run_serial(segment_tasks(kind, coarse, pool, write, ("wanted",), "made"), store)
    return found


@settings(max_examples=25)
@given(LABELS, st.tuples(*[st.integers(1, 9)] * 3))
def test_blocks_give_the_surfaces_of_the_whole_and_they_are_closed(
    labels: np.ndarray, block_shape: tuple[int, int, int]
):
    found = in_blocks(labels, "surfaces", block_shape)
    whole = surfaces(np.pad(labels, 1), (-1, -1, -1))
    assert found.keys() == whole.keys() == set(labels[labels > 0].tolist())
    for id, pieces in found.items():
        surface = join_surfaces([Surface(*piece) for piece in pieces])
        assert triangles(surface) == triangles(whole[id])
        edges = Counter(tuple(edge) for a, b, c in surface.faces.tolist() for edge in ((a, b), (b, c), (c, a)))
        assert all(edges[b, a] == count for (a, b), count in edges.items()), "an open edge"


def volume_of(surface: Surface) -> float:
    """What a closed surface encloses; positive where it is seen from outside."""
    a, b, c = np.moveaxis(surface.vertices[surface.faces].astype(float)[..., ::-1], 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def ball(radius: int) -> np.ndarray:
    z, y, x = np.mgrid[: 2 * radius + 3, : 2 * radius + 3, : 2 * radius + 3] - radius - 1
    return (z**2 + y**2 + x**2 <= radius**2).astype(np.uint64)


def test_a_surface_encloses_its_voxels_also_when_simplified():
    labels = ball(12)
    surface = placed(join_surfaces([surfaces(labels, (3, 4, 5))[1]]), (30, 20, 10), (100, 0, 0))
    assert volume_of(surface) == pytest.approx(labels.sum() * 6000, rel=0.02)
    np.testing.assert_allclose(surface.vertices.mean(0), (100 + 16 * 30, 17 * 20, 18 * 10), atol=1)
    fewer = simplified(surface)
    assert FEW / 10 < len(fewer.faces) <= 0.21 * len(surface.faces)
    assert volume_of(fewer) == pytest.approx(volume_of(surface), rel=0.02)


@given(st.dictionaries(st.integers(1, 2**64 - 1), st.integers(0, 5)), st.sampled_from([1, 2, 8]))
def test_pieces_come_back(lengths: dict[int, int], buckets: int):
    pieces = {id: (np.full((count, 3), id % 97), np.arange(count)) for id, count in lengths.items()}
    tables = pack(pieces, buckets)
    for bucket, table in enumerate(tables):
        ids = np.array([id for id in lengths if bucket_of(np.array([id], np.uint64), buckets)[0] == bucket], np.uint64)
        found = dict(unpack([table, table], ids))
        assert found.keys() == set(ids.tolist())
        for id, (one, other) in found.items():
            for part, wanted in zip(one, pieces[id], strict=True):
                np.testing.assert_array_equal(part, wanted)
            assert len(other) == 2


@given(LABELS, st.tuples(*[st.integers(1, 9)] * 3))
@settings(max_examples=25)
def test_blocks_find_all_voxels(labels: np.ndarray, block_shape: tuple[int, int, int]):
    for id, pieces in in_blocks(labels, "voxels", block_shape).items():
        found = np.concatenate([voxels for (voxels,) in pieces])
        assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, np.argwhere(labels == id).tolist()))


def test_coarse_voxels_are_pooled_and_placed():
    labels = np.zeros((8, 8, 8), np.uint64)
    labels[2:6, 2:6, 4:8] = 7
    grid = Grid(Domain.whole(labels.shape), (4, 8, 4))
    coarse = coarse_voxels(grid, (40, 10, 4), (5, 6, 7), 20)
    assert (coarse.factors, coarse.voxel_size, coarse.offset) == ((1, 2, 4), (40, 20, 16), (5, 11, 13))
    (pieces,) = in_blocks(labels, "voxels", (4, 8, 4), detail=2).values()
    assert sorted(map(tuple, np.concatenate([v for (v,) in pieces]).tolist())) == [
        (z, y, x) for z in (1, 2) for y in (1, 2) for x in (2, 3)
    ]


def test_the_skeleton_of_a_rod_is_a_line_in_its_middle():
    labels = np.zeros((9, 9, 100), np.uint64)
    labels[3:6, 3:6, 5:95] = 4
    ((voxels,),) = voxels_of_segments(labels, (10, 20, 30)).values()
    skeleton = skeleton_of(voxels, (10, 10, 10), (1000, 0, 0))
    assert len(skeleton.edges) == len(skeleton.vertices) - 1
    length = np.linalg.norm(np.subtract(*skeleton.vertices[skeleton.edges.T]), axis=1).sum()
    assert 840 <= length <= 920
    middle = np.median(skeleton.vertices, 0)
    np.testing.assert_allclose(middle, (1000 + 14 * 10, 24 * 10, (30 + 49.5) * 10), atol=30)
    assert np.median(skeleton.radii) == pytest.approx(20, abs=5)


def test_a_segment_of_one_voxel_and_one_of_two_parts_have_skeletons(monkeypatch: pytest.MonkeyPatch):
    one = skeleton_of(np.array([[1, 2, 3]], np.int32), (10, 10, 10), (0, 0, 0))
    np.testing.assert_array_equal(one.vertices, [[10, 20, 30]])
    two = np.array([[0, 0, 0], [40, 0, 0]], np.int32)
    assert len(skeleton_of(two, (10, 10, 10), (0, 0, 0)).vertices) == 2
    monkeypatch.setattr("clew.meshes.skeletons.LARGEST_BOX", 30)
    np.testing.assert_array_equal(skeleton_of(two, (10, 10, 10), (0, 0, 0)).vertices, [[5, 5, 5], [405, 5, 5]])
