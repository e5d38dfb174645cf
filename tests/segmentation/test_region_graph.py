"""The region graph equals its naive twin, and blocks add up to the whole."""

from dataclasses import fields
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.kernels import region_graph as kernels
from clew.segmentation.region_graph import (
    RegionGraph,
    build_region_graph,
    contract_region_graph,
    merge_region_graphs,
)
from clew.space import Box
from naive.agglomeration import graph_contacts, region_contacts

SEEDS = st.integers(0, 2**32 - 1)


def random_volume(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 7, 3))
    step = np.uint64(rng.choice([1, 2**33 + 7, 2**60 + 2**33 + 7]))
    fragments = rng.integers(0, rng.integers(2, 12), shape).astype(np.uint64) * step
    return rng.integers(0, 256, (3, *shape)).astype(np.uint8), fragments


def assert_same(one: RegionGraph, two: RegionGraph) -> None:
    for field in fields(RegionGraph):
        mine, yours = getattr(one, field.name), getattr(two, field.name)
        assert mine.dtype == yours.dtype, field.name
        np.testing.assert_array_equal(mine, yours, field.name)


@given(SEEDS)
@settings(deadline=None)
def test_equals_the_naive_twin(seed: int):
    affinities, fragments = random_volume(seed)
    graph = build_region_graph(affinities, fragments)
    want = region_contacts(affinities, fragments)
    assert graph_contacts(graph) == {pair: sorted(want[pair]) for pair in sorted(want)}
    ids, sizes = np.unique(fragments[fragments > 0], return_counts=True)
    np.testing.assert_array_equal(graph.fragments, ids)
    np.testing.assert_array_equal(graph.sizes, sizes)


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_blocks_add_up_in_any_order(seed: int):
    affinities, fragments = random_volume(seed)
    rng = np.random.default_rng(seed)
    cuts = [sorted({0, length, *rng.integers(0, length + 1, 2).tolist()}) for length in fragments.shape]
    parts = []
    for block in product(*[list(pairwise(cut)) for cut in cuts]):
        box = Box(*(slice(*ends) for ends in block))
        read = box.grown((1, 1, 1), (0, 0, 0), inside=Box.whole(fragments.shape))
        parts.append(build_region_graph(affinities[(slice(None), *read)], fragments[read], owned=box.within(read)))
    order = rng.permutation(len(parts))
    assert_same(merge_region_graphs(parts[k] for k in order), build_region_graph(affinities, fragments))


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_contracting_equals_building_from_segments(seed: int):
    affinities, fragments = random_volume(seed)
    graph = build_region_graph(affinities, fragments)
    lookup = np.random.default_rng(seed).integers(0, 4, len(graph.fragments)).astype(np.uint64)
    segments = np.zeros_like(fragments)
    for fragment, segment in zip(graph.fragments, lookup, strict=True):
        segments[fragments == fragment] = segment
    assert_same(contract_region_graph(graph, lookup), build_region_graph(affinities, segments))


def test_a_contact_names_both_fragments_also_where_only_one_is_owned():
    graph = build_region_graph(
        np.full((3, 1, 1, 2), 9, np.uint8), np.array([[[3, 4]]], np.uint64), owned=np.s_[0:1, 0:1, 1:2]
    )
    assert [graph.fragments.tolist(), graph.sizes.tolist(), graph.edges.tolist()] == [[3, 4], [0, 1], [[3, 4]]]


def test_float_and_narrow_ids_give_the_same():
    affinities, fragments = random_volume(3)
    floats = affinities.astype(np.float32) / 255
    narrow = (fragments % np.uint64(11)).astype(np.uint32)
    assert_same(build_region_graph(floats, narrow), build_region_graph(affinities, narrow.astype(np.uint64)))


@pytest.mark.parametrize("shape", [(20, 20, 20), (5, 6, 7), (5, 6, 1)])
def test_tables_grow(shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch):
    """More fragments, contacts and voxel pairs than the tables hold at first; or one more (7 and 1 voxels along x)."""
    monkeypatch.setattr(kernels, "_CHUNK", 0)
    fragments = np.arange(1, np.prod(shape) + 1, dtype=np.uint64).reshape(shape)
    affinities = (fragments % np.uint64(256)).astype(np.uint8) * np.ones((3, 1, 1, 1), np.uint8)
    graph = build_region_graph(affinities, fragments)
    assert len(graph.fragments) == fragments.size
    assert len(graph.edges) == sum(fragments.size // length * (length - 1) for length in shape)
    np.testing.assert_array_equal(graph.bins, (graph.edges[:, 1] % np.uint64(256)).astype(np.uint8))
    assert (graph.counts == 1).all()


def test_arrays_that_do_not_fit_are_refused():
    affinities = np.zeros((3, 2, 2, 2), np.uint8)
    with pytest.raises(InputError, match="uint64 or uint32"):
        build_region_graph(affinities, np.zeros((2, 2, 2), np.int64))
    with pytest.raises(InputError, match="shape"):
        build_region_graph(affinities, np.zeros((2, 2, 3), np.uint64))
    with pytest.raises(InputError, match="owned"):
        build_region_graph(affinities, np.zeros((2, 2, 2), np.uint64), owned=(slice(0, 1), slice(0, 2), slice(2, 2)))
    with pytest.raises(InputError, match="steps of 1"):
        build_region_graph(affinities, np.zeros((2, 2, 2), np.uint64), owned=(slice(0, 2, 2), slice(0, 2), slice(0, 2)))
    with pytest.raises(InputError, match="at least one"):
        merge_region_graphs([])
    with pytest.raises(InputError, match="one segment"):
        contract_region_graph(build_region_graph(affinities, np.ones((2, 2, 2), np.uint64)), np.zeros(2, np.uint64))
