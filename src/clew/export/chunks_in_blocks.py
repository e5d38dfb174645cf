"""Tasks that cut fragments at chunk borders, and collect edges and components.

Volumes: `source` (fragments) and `affinities` in. Tables: ("supervoxels", z, y, x) of each chunk, with the segment of each; their
segments come from ("segments", z, y, x) where others write them. Exact: both chunks at a border say the same of a contact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_ids
from clew.blockwise.grid import Grid
from clew.blockwise.store import Key, Store
from clew.blockwise.tasks import Task, keys
from clew.export.chunked_graph import Numbering, Supervoxels, component_file, edge_file, edges_of_chunk
from clew.segmentation.region_graph import build_region_graph
from clew.segmentation.relabel import relabel
from clew.space import Box, Triple

FRAGMENTS = "supervoxels"
EDGES, COMPONENTS = "edges", "components"


@dataclass(frozen=True)
class Chunks:
    """The chunks of a volume; can be pickled.

    Parameters
    ----------
    grid : Grid
        A block is a chunk.
    segments : str
        Name of the tables that say of which segment a fragment is: `supervoxels` where each is one of its own.
    """

    grid: Grid
    segments: str = FRAGMENTS

    @property
    def numbering(self) -> Numbering:
        """How supervoxels are numbered."""
        return Numbering.of(self.grid.levels[0])

    def needs(self, box: Box) -> tuple[Key, ...]:
        """The tables of which the supervoxels of a box are made."""
        return keys(FRAGMENTS, self.grid.touched(box))

    def read(self, store: Store, box: Box) -> NDArray[np.uint64]:
        """The supervoxels of a box."""
        ids = as_ids(store.read("source", box), "the fragments")
        found = np.empty(box.shape, np.uint64)
        for chunk in self.grid.touched(box):
            part = self.grid.block(chunk).owned.overlap(box).within(box)
            fragments = store.load((FRAGMENTS, *chunk))["fragments"]
            found[part] = relabel(ids[part], fragments, self.numbering.ids(chunk, len(fragments)))
        return found

    def rows(self, store: Store, chunk: Triple) -> Supervoxels:
        """All supervoxels of a chunk."""
        table = store.load((self.segments, *chunk))
        return Supervoxels(self.numbering.ids(chunk, len(table["fragments"])), table["fragments"], table["segments"])

    def tasks(self) -> list[Task]:
        """Tasks that find the supervoxels of each chunk, and that write its files."""
        places = self.grid.places()
        found = [Task(_Find(self, chunk), (), ((FRAGMENTS, *chunk),)) for chunk in places]
        for number, chunk in enumerate(places):
            beside = self.grid.touched(_seen(self.grid, chunk))
            reads = dict.fromkeys((*keys(FRAGMENTS, beside), *keys(self.segments, beside)))
            found.append(Task(_Write(self, chunk, number), tuple(reads), ((EDGES, number), (COMPONENTS, number))))
        return found


@dataclass(frozen=True)
class _Find:
    chunks: Chunks
    chunk: Triple

    def __call__(self, store: Store) -> None:
        box = self.chunks.grid.block(self.chunk).owned
        ids = np.unique(as_ids(store.read("source", box), "the fragments"))
        ids = ids[ids > 0]
        self.chunks.numbering.ids(self.chunk, len(ids))
        store.save((FRAGMENTS, *self.chunk), {"fragments": ids, "segments": ids})


@dataclass(frozen=True)
class _Write:
    chunks: Chunks
    chunk: Triple
    number: int

    def __call__(self, store) -> None:  # type: ignore[no-untyped-def]
        """Write the edges and components of a chunk; one without fragments has none."""
        box = _seen(self.chunks.grid, self.chunk)
        parts = [self.chunks.rows(store, chunk) for chunk in self.chunks.grid.touched(box)]
        around = Supervoxels._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(around.ids)
        around = Supervoxels._make(column[order] for column in around)
        own = self.chunks.rows(store, self.chunk).ids
        graph = build_region_graph(store.read("affinities", box), self.chunks.read(store, box))
        edges = edges_of_chunk(graph, own, around)
        name = "_".join(map(str, self.chunk[::-1]))
        some = len(own) > 0
        store.outputs[EDGES].put(self.number, {f"edges_{name}.proto.zst": edge_file(edges)} if some else {})
        store.outputs[COMPONENTS].put(
            self.number, {f"components_{name}.proto": component_file(edges, around)} if some else {}
        )


def _seen(grid: Grid, chunk: Triple) -> Box:
    """A chunk and one voxel more on each side, so that all its contacts lie in it."""
    return grid.block(chunk).grown((1, 1, 1), (1, 1, 1))
