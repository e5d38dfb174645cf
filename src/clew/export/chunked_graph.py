"""What PyChunkedGraph ingests: supervoxels by chunk, their edges and components.

https://github.com/CAVEconnectome/PyChunkedGraph/blob/main/pychunkedgraph/ingest/ingest.md
"""

from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.segmentation.region_graph import RegionGraph
from clew.space import Triple

LAYER_BITS = 8
"""Of an id: the layer, 1 for supervoxels."""
SPATIAL_BITS = 10
"""Of an id, for each axis: what PyChunkedGraph takes where nothing is said."""
ZSTD_LEVEL = 17
"""Compression of its own writer."""
FULL = 255.0
"""Of an affinity of 1."""


class Numbering(NamedTuple):
    """How ids of supervoxels are made: layer, chunk, and a number from 1 on.

    Parameters
    ----------
    spatial_bits : int
        For each axis of a chunk.
    """

    spatial_bits: int

    @classmethod
    def of(cls, chunks: Triple) -> "Numbering":
        """The numbering of so many chunks along each axis."""
        return cls(max(SPATIAL_BITS, *((count - 1).bit_length() for count in chunks)))

    @property
    def shift(self) -> int:
        """Bits of the number in a chunk."""
        return 64 - LAYER_BITS - 3 * self.spatial_bits

    def base(self, chunk: Triple) -> int:
        """What is added to the numbers in a chunk (z, y, x)."""
        z, y, x = chunk
        bits = self.spatial_bits
        return ((((1 << bits | x) << bits) | y) << bits | z) << self.shift

    def ids(self, chunk: Triple, count: int) -> NDArray[np.uint64]:
        """Ids of so many supervoxels of a chunk (z, y, x)."""
        if count >> self.shift:
            raise InputError(
                f"the chunk {chunk} has {count} fragments, and there are ids for fewer than 2^{self.shift}: give a "
                "smaller --chunk-shape"
            )
        return np.uint64(self.base(chunk)) + np.arange(1, count + 1, dtype=np.uint64)


class Supervoxels(NamedTuple):
    """A row for each supervoxel, by ascending id.

    Parameters
    ----------
    ids, fragments, segments : (n,) uint64
    """

    ids: NDArray[np.uint64]
    fragments: NDArray[np.uint64]
    segments: NDArray[np.uint64]


class Edges(NamedTuple):
    """Pairs of supervoxels that touch.

    Parameters
    ----------
    ones, others : (n,) uint64
        The first lies in the chunk.
    affinities : (n,) float32
        Sums of the affinities of the pairs of voxels, as a minimum cut adds them up.
    areas : (n,) uint64
        Pairs of voxels.
    """

    ones: NDArray[np.uint64]
    others: NDArray[np.uint64]
    affinities: NDArray[np.float32]
    areas: NDArray[np.uint64]

    @property
    def message(self) -> bytes:
        """In the protocol's form: EdgesMsg."""
        columns: list[tuple[NDArray[Any], str]]
        columns = [(self.ones, "<u8"), (self.others, "<u8"), (self.affinities, "<f4"), (self.areas, "<u8")]
        return b"".join(
            _field(number, values.astype(kind).tobytes()) for number, (values, kind) in enumerate(columns, 1)
        )


def edges_of_chunk(graph: RegionGraph, own: NDArray[np.uint64], around: Supervoxels) -> dict[str, Edges]:
    """Edges of a chunk: in it, between pieces of a fragment, and to other fragments.

    Parameters
    ----------
    graph : RegionGraph
        Of the supervoxels of the chunk and of one voxel more on each side.
    own : (n,) uint64
        Ids of the chunk, ascending.
    around : Supervoxels
        All of the graph.

    Returns
    -------
    dict
        `in`, with an edge to itself for each supervoxel that has no other; `cross` between pieces of one fragment, which
        nothing cuts; `between` with those of other fragments in chunks beside this one.
    """
    inside = np.isin(graph.edges, own)
    sums = np.add.reduceat(graph.bins * graph.counts, graph.starts[:-1]) if len(graph.edges) else np.zeros(0)
    ends = np.where(inside[:, :1], graph.edges, graph.edges[:, ::-1])
    same = np.equal(*around.fragments[np.searchsorted(around.ids, ends)].T)
    sums = np.where(same, np.inf, sums / FULL)
    alone = np.setdiff1d(own, ends[inside.any(1)])
    out = inside.any(1) & ~inside.all(1)
    masks = {"in": inside.all(1), "cross": out & same, "between": out & ~same}
    found = {kind: _ordered(ends[mask], sums[mask], graph.areas[mask]) for kind, mask in masks.items()}
    loops = _ordered(np.column_stack([alone, alone]), np.full(len(alone), np.inf), np.zeros(len(alone)))
    joined: Any = zip(found["in"], loops, strict=True)
    return found | {"in": Edges._make(map(np.concatenate, joined))}


def edge_file(edges: dict[str, Edges]) -> bytes:
    """The file of the edges of a chunk: ChunkEdgesMsg, compressed."""
    content = b"".join(_field(number, edges[kind].message) for number, kind in enumerate(("in", "cross", "between"), 1))
    return bytes(imagecodecs.zstd_encode(content, ZSTD_LEVEL))


def component_file(edges: dict[str, Edges], around: Supervoxels) -> bytes:
    """The file that says which supervoxels of a chunk and beside it are one segment.

    ChunkComponentsMsg: the number of supervoxels of each segment, and their ids.
    """
    ids = np.unique(np.concatenate([ends for kind in edges.values() for ends in kind[:2]]))
    segments = around.segments[np.searchsorted(around.ids, ids)]
    order = np.argsort(segments, kind="stable")
    first = np.flatnonzero(np.diff(segments[order], prepend=0))
    sizes = np.diff(first, append=len(ids)).astype(np.uint64)
    return _field(1, _varints(np.insert(ids[order], first, sizes)))


def dataset_description(folder: str, chunk_shape: Triple, numbering: Numbering) -> dict[str, Any]:
    """What the ingest is started with, as it is in its configuration.

    Parameters
    ----------
    folder : str
        Address of the folder with all three parts.
    chunk_shape : (z, y, x) ints
    numbering : Numbering
    """
    parts = {"EDGES": "edges", "COMPONENTS": "components", "WATERSHED": "watershed"}
    return {
        "data_source": {key: f"{folder}/{name}" for key, name in parts.items()},
        "graph_config": {
            "CHUNK_SIZE": list(chunk_shape[::-1]), "FANOUT": 2, "LAYER_ID_BITS": LAYER_BITS, "SPATIAL_BITS": numbering.spatial_bits,
        },
        "backend_client": {"TYPE": "bigtable", "CONFIG": {"ADMIN": True, "READ_ONLY": False}},
        "ingest_config": {},
    }  # fmt: skip


def _ordered(ends: NDArray[np.uint64], affinities: NDArray[Any], areas: NDArray[Any]) -> Edges:
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ones, others = ends[order].T
    return Edges(ones, others, affinities[order].astype(np.float32), areas[order].astype(np.uint64))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, as protocol buffers have it."""
    return bytes([number << 3 | 2]) + _varints(np.array([len(content)], np.uint64)) + content


def _varints(values: NDArray[np.uint64]) -> bytes:
    """Numbers, seven bits in a byte, of which the highest bit says that more follow."""
    left = values[:, None] >> np.arange(0, 64, 7, dtype=np.uint64)
    there = left > 0
    there[:, 0] = True
    coded = (left & np.uint64(127)).astype(np.uint8) | ((left > 127).astype(np.uint8) << 7)
    return coded[there].tobytes()
