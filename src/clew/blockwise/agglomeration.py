"""Tasks from fragments to the merge tree: the region graph of each block, then levels of joined blocks.

Volumes: `affinities` and `fragments` in. The tables ("contacts", z, y, x), region graphs of the blocks, add up to the
region graph of the whole.
"""

from functools import partial
from itertools import product

from clew.blockwise.executor import Task, keys
from clew.blockwise.grid import Grid, Place
from clew.blockwise.store import Store, as_record, as_table
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.agglomeration_options import AgglomerationOptions
from clew.segmentation.graph_blocks import (
    Merges,
    OpenGraph,
    Sizes,
    assemble_tree,
    block_graph,
    block_sizes,
    join_graphs,
    merge_inside,
    start_graph,
)
from clew.segmentation.region_graph import RegionGraph


def agglomeration_tasks(grid: Grid, options: AgglomerationOptions) -> list[Task]:
    """All tasks from fragments to the table ("tree",), equal to `agglomerate` of the whole region graph.

    Parameters
    ----------
    grid : Grid
    options : AgglomerationOptions
        Score (mean or quantile) and floor: the tree is stored down to the floor, what is below never goes up.
    """
    tasks = []
    for place in grid.places():
        work = partial(_start, grid=grid, place=place, options=options)
        writes = (*_written(0, place), ("contacts", *place), ("sizes", *place))
        tasks.append(Task(work, keys("fragments", _with_lower(place)), writes))
    for level in range(1, grid.top + 1):
        for place in grid.places(level):
            work = partial(_join, grid=grid, level=level, place=place, options=options)
            tasks.append(Task(work, keys("graph", grid.parts(place, level), level - 1), _written(level, place)))
    merges = tuple(("merges", level, *place) for level in range(grid.top + 1) for place in grid.places(level))
    work = partial(_assemble, grid=grid, score=options.score)
    tasks.append(Task(work, keys("sizes", grid.places()) + merges, (("tree",),)))
    return tasks


def load_tree(store: Store, score: str) -> MergeTree:
    """The merge tree that the tasks have written."""
    return MergeTree(**store.load(("tree",)), score=score)


def load_contacts(store: Store, place: Place) -> RegionGraph:
    """The region graph of one block."""
    return as_record(RegionGraph, store.load(("contacts", *place)))


def _written(level: int, place: Place) -> tuple[tuple[str | int, ...], ...]:
    return ("graph", level, *place), ("merges", level, *place)


def _with_lower(place: Place) -> list[Place]:
    """A block and those whose voxels it sees."""
    z, y, x = (range(max(at - 1, 0), at + 1) for at in place)
    return list(product(z, y, x))


def _start(store: Store, *, grid: Grid, place: Place, options: AgglomerationOptions) -> None:
    block = grid.block(place)
    fragments = store.read("fragments", block.seen)
    graph = block_graph(store.read("affinities", block.seen), fragments, block)
    store.save(("contacts", *place), as_table(graph))
    store.save(("sizes", *place), as_table(block_sizes(graph)))
    _merge(store, start_graph(graph, fragments, block, options.score), 0, place, options)


def _join(store: Store, *, grid: Grid, level: int, place: Place, options: AgglomerationOptions) -> None:
    parts = []
    for part in grid.parts(place, level):
        graph = as_record(OpenGraph, store.load(("graph", level - 1, *part)))
        parts.append((graph, grid.block(part, level - 1)))
    _merge(store, join_graphs(parts, grid.block(place, level), options.score), level, place, options)


def _merge(store: Store, graph: OpenGraph, level: int, place: Place, options: AgglomerationOptions) -> None:
    merges, left = merge_inside(graph, options)
    store.save(("merges", level, *place), as_table(merges))
    store.save(("graph", level, *place), as_table(left))


def _assemble(store: Store, *, grid: Grid, score: str) -> None:
    sizes = [as_record(Sizes, store.load(("sizes", *place))) for place in grid.places()]
    merges = [
        as_record(Merges, store.load(("merges", level, *place)))
        for level in range(grid.top + 1)
        for place in grid.places(level)
    ]
    tree = as_table(assemble_tree(sizes, merges, score))
    store.save(("tree",), {name: values for name, values in tree.items() if name != "score"})
