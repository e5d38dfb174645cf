"""Start, memory, merge and split of proofreading by the number of fragments: `python -m benchmarks.proofreading --side 216`.

Fragments are cubes of 8³ voxels in a cube of `--side` fragments an edge, 216 for 10⁷; each touches its six neighbours. Planes are
segments, so that a split cuts one of side² fragments. The first call writes tables as a run does, the second measures.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, Table, peak_bytes
from clew.pipeline._edits import Edits
from clew.pipeline._tables import load_merge_tree, load_region_graph, save_merge_tree, save_region_graph
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.region_graph import RegionGraph
from clew.space import Box, Triple
from clew.view.graphene import FRAGMENT, Graph
from clew.view.keys import Keys
from clew.view.layers import Layer
from clew.view.neuroglancer import view

EDGE = 8
"""Voxels of a fragment along each axis."""
LEVELS = 4
"""Different affinities in a contact."""
SIZE = (40.0, 8.0, 8.0)


class Cubes:
    """A volume of cubes, each with 1 + the place of its first voxel as its id, made where it is read."""

    dtype = np.dtype(np.uint64)

    def __init__(self, side: int) -> None:
        self.shape: Triple = (side * EDGE,) * 3

    def __getitem__(self, box: Any) -> Any:
        z, y, x = (
            np.arange(*along.indices(size), dtype=np.uint64) // EDGE * EDGE
            for along, size in zip(box, self.shape, strict=True)
        )
        length = np.uint64(self.shape[0])
        return ((z[:, None, None] * length + y[:, None]) * length + x) + np.uint64(1)


def make_graph(side: int) -> RegionGraph:
    """All contacts of the cubes, affinities of 200 and more."""
    count = side**3
    index = np.arange(count).reshape((side,) * 3)
    ids = Cubes(side)[(slice(0, None, EDGE),) * 3].ravel()
    ends = [np.stack([np.delete(index, -1, axis).ravel(), np.delete(index, 0, axis).ravel()], 1) for axis in range(3)]
    pairs = np.concatenate(ends)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    bins = np.tile(np.arange(200, 200 + LEVELS, dtype=np.uint8), len(pairs))
    counts = np.random.default_rng(0).integers(1, EDGE**2 // LEVELS, len(bins))
    starts = np.arange(len(pairs) + 1) * LEVELS
    return RegionGraph(ids, np.full(count, EDGE**3), ids[pairs], starts, bins, counts)


def make_tree(graph: RegionGraph, side: int) -> MergeTree:
    """Rows, then the planes from them, then all planes, which no threshold below 1 joins."""
    ids = graph.fragments.reshape((side,) * 3)
    rows = [np.broadcast_to(ids[..., :1], ids.shape)[..., 1:], ids[..., 1:]]
    planes = [np.broadcast_to(ids[:, :1, 0], ids.shape[:2])[:, 1:], ids[:, 1:, 0]]
    stacks = [np.broadcast_to(ids[:1, 0, 0], side)[1:], ids[1:, 0, 0]]
    merges = np.concatenate([np.stack([part.ravel() for part in pair], 1) for pair in (rows, planes, stacks)])
    scores = np.linspace(0.9, 0.6, len(merges), dtype=np.float32)
    scores[-(side - 1) :] = np.linspace(0.4, 0.0, side - 1)
    return MergeTree(graph.fragments, graph.sizes, merges, scores, "mean")


class Course:
    """Steps one after another, with CPU seconds and memory after each."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def do(self, name: str, job: Callable[[], Any]) -> Any:
        """One step."""
        wall, spent = time.perf_counter(), time.process_time()
        found = job()
        spent, wall = time.process_time() - spent, time.perf_counter() - wall
        note = f"wall {wall:.2f} s; anonymous memory {anonymous_bytes() / 1e9:.2f} GB, at most so far {peak_bytes() / 1e9:.2f} GB"
        self.rows.append(Row(name, spent, "CPU s", note=note))
        return found


def anonymous_bytes() -> int:
    """Memory of this process that no file stands for (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def measure(folder: Path, side: int) -> Table:
    """Everything that the command does, and what one waits for in the page."""
    import neuroglancer

    course, volume = Course(), Cubes(side)
    tree = course.do("read the merge tree", lambda: load_merge_tree(str(folder / "tree.h5"))[0])
    graph = course.do("read the region graph", lambda: load_region_graph(str(folder / "graph.h5"))[0])
    edits = course.do("open the edits", lambda: Edits(folder / "edits.sqlite", graph, tree, volume, threshold=0.5))
    course.do("replay them", edits.apply)
    course.do("segments", edits.segments)
    layers = [
        Layer("segmentation", volume, "segmentation", SIZE, tree=tree),
        Layer("corrected", volume, "segmentation", SIZE, editor=edits),
    ]
    viewer = course.do("lay out the page", lambda: view(layers))
    graph_of_page: Graph = viewer.clew.keys.graph
    keys: Keys = viewer.clew.keys
    far = side * EDGE - 1
    root = course.do("select a segment", lambda: graph_of_page.segments_of([FRAGMENT | 1])[0])
    course.do("its fragments", lambda: graph_of_page.leaves(root))
    below = FRAGMENT | int(volume[slice(EDGE, EDGE + 1), slice(0, 1), slice(0, 1)].item())
    course.do("first merge", lambda: graph_of_page.merge((FRAGMENT | 1, (0, 0, 0)), (below, (0, 0, EDGE))))
    course.do("first split", lambda: graph_of_page.split_at([(0, 0, 0)], [(0, far, far)]))
    course.do("second split", lambda: graph_of_page.split_at([(far, 0, 0)], [(far, far, far)]))
    course.do("undo", lambda: keys.press("undo", {}))
    course.do("look", lambda: keys.press("look", {}))
    course.do("first J", lambda: keys.press("next", {}))
    course.do("second J", lambda: keys.press("next", {}))
    course.do("a chunk", lambda: graph_of_page.chunk(0, Box.between((0, 0, 0), (64, 64, 64))))
    neuroglancer.stop()
    edits.close()
    return Table(f"Proofreading {side**3:,} fragments, {len(graph.edges):,} contacts", course.rows)


def write_tables(folder: Path, side: int) -> None:
    """A region graph and its merge tree, as a run writes them."""
    graph = make_graph(side)
    save_region_graph(str(folder / "graph.h5"), graph, {}, False)
    save_merge_tree(str(folder / "tree.h5"), make_tree(graph, side), {}, False)


def main() -> None:
    """Write the tables; where they are, measure in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=100)
    parser.add_argument("--tables", type=Path, required=True)
    options = parser.parse_args()
    if options.tables.is_dir():
        print(measure(options.tables, options.side).markdown())
    else:
        options.tables.mkdir(parents=True)
        write_tables(options.tables, options.side)


if __name__ == "__main__":
    main()
