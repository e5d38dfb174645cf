"""What PyChunkedGraph ingests: supervoxels, edges and components, against a slow twin."""

from itertools import product

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.errors import InputError
from clew.export.chunked_graph import Numbering
from clew.export.chunks_in_blocks import Chunks
from clew.space import Box
from readers.chunked_graph import messages


class Files:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, number: int, files: dict[str, bytes]) -> None:
        self.files |= files


def naive(fragments: np.ndarray, affinities: np.ndarray, chunk: tuple[int, ...]) -> tuple[np.ndarray, dict]:
    """Supervoxels, and of each pair of touching ones the sum of affinities and the number of voxel pairs."""
    supervoxels, edges = np.zeros(fragments.shape, np.uint64), {}
    for place in product(*(range(-(-n // c)) for n, c in zip(fragments.shape, chunk, strict=True))):
        box = tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunk, strict=True))
        z, y, x = place
        for number, fragment in enumerate(sorted(set(fragments[box].ravel().tolist()) - {0}), 1):
            supervoxels[box][fragments[box] == fragment] = (1 << 56) + (x << 46) + (y << 36) + (z << 26) + number
    for voxel in np.ndindex(*fragments.shape):
        for axis in range(3):
            other = tuple(at - (a == axis) for a, at in enumerate(voxel))
            one, two = int(supervoxels[voxel]), int(supervoxels[other]) if min(other) >= 0 else 0
            if one != two and one and two:
                total, area = edges.get((min(one, two), max(one, two)), (0, 0))
                edges[min(one, two), max(one, two)] = total + int(affinities[(axis, *voxel)]), area + 1
    return supervoxels, edges


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 5)] * 3), st.tuples(*[st.integers(1, 4)] * 3))
def test_files_hold_each_contact_in_both_chunks(seed: int, shape: tuple[int, ...], chunk: tuple[int, ...]):
    rng = np.random.default_rng(seed)
    fragments = rng.integers(0, 5, shape).astype(np.uint64) * np.uint64(1 << 40)
    affinities = rng.integers(0, 256, (3, *shape), np.uint8)
    chunks = Chunks(Grid(Domain.whole(shape), chunk))
    store = MemoryStore(chunks.grid.domain, {"source": fragments, "affinities": affinities})
    store.outputs = {"edges": Files(), "components": Files()}
    run_serial(chunks.tasks(), store, rng=rng)
    supervoxels, expected = naive(fragments, affinities, chunk)
    np.testing.assert_array_equal(chunks.read(store, Box.whole(shape)), supervoxels)
    fragment_of = dict(zip(supervoxels.ravel().tolist(), fragments.ravel().tolist(), strict=True))
    seen, named, kinds = {}, set(), messages()
    for name, content in store.outputs["edges"].files.items():
        x, y, z = map(int, name.removeprefix("edges_").removesuffix(".proto.zst").split("_"))
        message = kinds["ChunkEdgesMsg"].FromString(imagecodecs.zstd_decode(content))
        touched = set()
        for kind in ("in_chunk", "cross_chunk", "between_chunk"):
            part = getattr(message, kind)
            columns = [np.frombuffer(values, kind).tolist() for values, kind in (
                (part.node_ids1, "<u8"), (part.node_ids2, "<u8"), (part.affinities, "<f4"), (part.areas, "<u8"))]  # fmt: skip
            for one, other, affinity, area in zip(*columns, strict=True):
                assert one >> 26 == Numbering(10).base((z, y, x)) >> 26
                assert (one >> 26 == other >> 26) == (kind == "in_chunk")
                assert (fragment_of[one] == fragment_of[other]) == (kind == "cross_chunk" or one == other)
                total, count = expected[min(one, other), max(one, other)] if one != other else (0, 0)
                assert area == count
                assert affinity == (np.inf if fragment_of[one] == fragment_of[other] else np.float32(total / 255))
                seen.setdefault((min(one, other), max(one, other)), []).append(kind)
                touched |= {one, other}
        named |= {one for one in touched if one >> 26 == Numbering(10).base((z, y, x)) >> 26}
        components = list(kinds["ChunkComponentsMsg"].FromString(
            store.outputs["components"].files[f"components_{x}_{y}_{z}.proto"]).components)  # fmt: skip
        members: dict[int, set[int]] = {}
        for supervoxel in touched:
            members.setdefault(fragment_of[supervoxel], set()).add(supervoxel)
        groups = []
        while components:
            groups.append(set(components[1 : 1 + components[0]]))
            components = components[1 + components[0] :]
        assert sorted(map(sorted, groups)) == sorted(map(sorted, members.values()))
    assert named == set(supervoxels.ravel().tolist()) - {0}
    loops = {pair for pair in seen if pair[0] == pair[1]}
    assert loops == {(one, one) for one in named if not any(one in pair for pair in expected)}
    assert seen.keys() - loops == expected.keys()
    assert all(len(kinds) == (1 if "in_chunk" in kinds else 2) for kinds in seen.values())


def test_more_fragments_than_ids_are_refused():
    with pytest.raises(InputError, match="there are ids for fewer than 2\\^2: give a smaller --chunk-shape"):
        Numbering(18).ids((0, 0, 0), 4)
    assert Numbering.of((1, 5000, 2)).spatial_bits == 13
