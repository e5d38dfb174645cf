"""Agglomeration in blocks: each block merges what it can decide.

The rest of the region graph goes up a level.

A fragment that reaches a face of its block may have contacts beyond: it is held. So is every region whose best edge leads to
a held one. A region whose edges are all below the floor is finished. What is held goes up, with the edges between.

Volumes: `affinities` and `fragments` in. The tables ("contacts", z, y, x), region graphs of the blocks, add up to the
region graph of the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Block, plane_of
from clew.blockwise.grid import Grid
from clew.blockwise.store import Store, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.errors import InputError
from clew.kernels import agglomeration as kernels
from clew.kernels import agglomeration_layout as layout
from clew.kernels.merge_tree import cut_tree
from clew.memory import refuse_beyond_memory
from clew.segmentation.agglomeration import Score, initial_graph, parse_score, run_merges
from clew.segmentation.constraints import Rows, chain_sides, sides_of_regions
from clew.segmentation.histograms import (
    Cells,
    chosen_cells,
    contract_contacts,
    joined_cells,
    mean_cells,
    pool_contacts,
)
from clew.segmentation.in_blocks.constraints import (
    BlockConstraints,
    Given,
    find_in_block,
    join_constraints,
    nothing_given,
    points_in_blocks,
    whole_groups,
)
from clew.segmentation.in_blocks.tree import Merges, Sizes, tree_tasks
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from clew.space import Box, Triple

BYTES_AN_EDGE = 300
"""Memory of a task for each edge that comes up to it: 325 measured with 112 000 edges, score hist_quant_75_init_max."""
UNCHECKED_EDGES = 1_000_000
"""Edges that are merged without a look at the free memory."""


@dataclass(frozen=True)
class OpenGraph:
    """What is not yet decided of a region graph.

    Parameters
    ----------
    regions : (n,) uint64
        Smallest fragment of each region, ascending; all that have an edge or reach a face.
    faces : (n,) uint8
        Bit 2 · axis + side for each face of the block that the region reaches.
    edges : (m, 2) uint64
        Two regions each, smaller first.
    keys : (m, 2) uint64
        Largest of the pooled pairs of fragments; the rows are in the order of these.
    starts : (m + 1,) int64
    bins : (k,) uint8
    counts : (k,) int64
        Histograms of the edges, as in `RegionGraph`; with init-with-max of the maxima of contacts, for a mean of the same
        number and sum.
    cannot_link : (l, 3) uint64
    must_link : (p, 4) uint64
        As of `BlockConstraints`, of these regions.
    """

    regions: NDArray[np.uint64]
    faces: NDArray[np.uint8]
    edges: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    starts: NDArray[np.int64]
    bins: NDArray[np.uint8]
    counts: NDArray[np.int64]
    cannot_link: Rows = field(default_factory=lambda: nothing_given().cannot_link)
    must_link: Rows = field(default_factory=lambda: nothing_given().must_link)


def block_graph(affinities: np.ndarray, fragments: np.ndarray, block: Block) -> RegionGraph:
    """The region graph of the pairs that a block owns.

    Affinities and fragments are those of `block.seen`.
    """
    return build_region_graph(affinities, fragments, owned=block.owned.within(block.seen))


def start_graph(
    graph: RegionGraph,
    fragments: np.ndarray,
    block: Block,
    score: str,
    constraints: BlockConstraints = nothing_given(),
) -> OpenGraph:
    """A block's region graph, ready to be agglomerated together with others.

    Parameters
    ----------
    graph : RegionGraph
        Of the pairs that the block owns.
    fragments : (z, y, x) uint64
        Of `block.seen`. Every fragment must be connected (by 26 neighbours), as those of `extract_fragments` do.
    block : Block
    score : str
    constraints : BlockConstraints
        Of the voxels that the block owns.

    Raises
    ------
    InputError
        For an unknown score or one that is not exact in blocks.
    """
    kind = reducible_score(score).kind
    ids, faces = _reached(fragments, block)
    graph = initial_graph(graph, score)
    cells = graph.starts, graph.bins, graph.counts
    if kind == layout.MEAN and len(graph.edges):
        sums, totals = (np.add.reduceat(v, graph.starts[:-1]) for v in (graph.counts * graph.bins, graph.counts))
        cells = mean_cells(sums, totals)
    return _open_graph(ids, faces, graph.edges, graph.edges, cells, constraints)


def join_graphs(parts: Sequence[tuple[OpenGraph, Block]], block: Block, score: str) -> OpenGraph:
    """Put the graphs of the parts of a block together.

    Faces between them disappear, and parts of contacts are added up.

    Only contacts of two fragments can be in several parts: of init-with-max their largest value counts.
    """
    ids = np.concatenate([graph.regions for graph, _ in parts])
    faces = np.concatenate([graph.faces & _outer_faces(part, block) for graph, part in parts])
    edges, keys = (np.concatenate([getattr(graph, name) for graph, _ in parts]) for name in ("edges", "keys"))
    cells = joined_cells([(graph.starts, graph.bins, graph.counts) for graph, _ in parts])
    rows, cells = pool_contacts(edges, cells, reducible_score(score).maximum)
    order = np.lexsort((keys[rows, 1], keys[rows, 0]))
    rows = rows[order]
    constraints = join_constraints([BlockConstraints(graph.cannot_link, graph.must_link) for graph, _ in parts])
    return _open_graph(ids, faces, edges[rows], keys[rows], chosen_cells(cells, order), constraints)


def merge_inside(graph: OpenGraph, options: AgglomerationOptions) -> tuple[Merges, OpenGraph]:
    """Merge every pair of regions that is certain to merge next, again and again.

    Returns also what goes up a level.

    Raises
    ------
    InputError
        For an unknown score, one that is not exact in blocks, a floor outside [0, 1], or constraints that contradict each other.
    """
    reducible_score(options.score)
    graph = _link_inside(graph)
    waiting = graph.faces != 0
    linked = graph.must_link[graph.must_link[:, 0] != 0, 0]
    waiting[np.searchsorted(graph.regions, linked)] = True
    sizes = np.ones(len(graph.regions), np.int64)
    table = RegionGraph(graph.regions, sizes, graph.edges, graph.starts, graph.bins, graph.counts)
    done = run_merges(table, options, 0, waiting, chain_sides(graph.cannot_link, graph.regions))
    pairs = graph.regions[done.pairs[:, : layout.ABSORBED + 1]]
    merges = Merges(pairs, graph.keys[done.pairs[:, layout.MERGE_KEY]], done.levels)
    left = layout.open_edges(done.graph)
    ends = graph.regions[np.sort(left.regions, axis=1)]
    keys, cells = graph.keys[left.keys], _cells_of(done, left.rows)
    constraints = BlockConstraints(_sides_after(graph, done.pairs), graph.must_link)
    return merges, _open_graph(graph.regions[waiting], graph.faces[waiting], ends, keys, cells, constraints)


def _link_inside(graph: OpenGraph) -> OpenGraph:
    """Make one region of each must-link group that the block holds whole."""
    if not len(graph.must_link):
        return graph
    regions, rest = whole_groups(graph.regions, graph.faces, graph.must_link)
    rows, cells = contract_contacts(
        regions[np.searchsorted(graph.regions, graph.edges)], (graph.starts, graph.bins, graph.counts)
    )
    edges = np.sort(regions[np.searchsorted(graph.regions, graph.edges[rows])], axis=1)
    there = rest[:, 0] != 0
    rest[there, 0] = regions[np.searchsorted(graph.regions, rest[there, 0])]
    constraints = BlockConstraints(sides_of_regions(graph.cannot_link, graph.regions, regions), rest)
    return _open_graph(regions, graph.faces, edges, graph.keys[rows], cells, constraints)


def _sides_after(graph: OpenGraph, pairs: NDArray[np.int64]) -> Rows:
    """Sides of the regions that merges have left."""
    if not len(graph.cannot_link):
        return graph.cannot_link
    parents, merged = np.arange(len(graph.regions)), np.full(len(graph.regions), -1)
    parents[pairs[:, layout.ABSORBED]] = pairs[:, layout.SURVIVOR]
    merged[pairs[:, layout.ABSORBED]] = 0
    roots = cut_tree(parents, merged, -1.0)
    owners = graph.regions[roots[np.searchsorted(graph.regions, graph.cannot_link[:, 0])]]
    return np.unique(np.column_stack([owners, graph.cannot_link[:, 1:]]), axis=0)


def block_sizes(graph: RegionGraph) -> Sizes:
    """The fragments of the block's region graph and their voxels.

    Fragments of which the block owns no voxel (0) are listed, too.
    """
    return Sizes(graph.fragments, graph.sizes)


def reducible_score(score: str) -> Score:
    """Take a score apart; refused is one that is not exact in blocks."""
    parsed = parse_score(score)
    if parsed.kind == layout.TOP:
        raise InputError(
            f"the score {score} is not exact in blocks: choose mean or hist_quant_Q, or segment without blocks"
        )
    return parsed


def _cells_of(done: kernels.Merged, rows: NDArray[np.int64]) -> Cells:
    """Histograms of the edges in some rows."""
    if done.rule.kind == layout.MEAN:
        return mean_cells(*layout.sums_of(done.graph, rows))
    return kernels.histograms_of(done, rows)


def _reached(fragments: np.ndarray, block: Block) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Fragments on the shared faces of what the block sees, and the bit of the face.

    Fragments may be repeated.
    """
    ids, bits = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint8)]
    for axis, side in block.faces():
        found = np.unique(plane_of(fragments, axis, side))
        ids.append(found[found != 0].astype(np.uint64))
        bits.append(np.full(len(ids[-1]), 1 << (2 * axis + side), np.uint8))
    return np.concatenate(ids), np.concatenate(bits)


def _outer_faces(part: Block, block: Block) -> np.uint8:
    """Bits of the faces of a part that are faces of the block too."""
    ends = list(zip(part.owned, block.owned, strict=True))
    low = sum(1 << (2 * axis) for axis, (inner, outer) in enumerate(ends) if inner.start == outer.start)
    return np.uint8(low | sum(2 << (2 * axis) for axis, (inner, outer) in enumerate(ends) if inner.stop == outer.stop))


def _open_graph(
    ids: NDArray[np.uint64],
    faces: NDArray[np.uint8],
    edges: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    cells: Cells,
    constraints: BlockConstraints,
) -> OpenGraph:
    """Build an open graph with all regions that are listed or have an edge.

    Those that are to be linked are in it, too. What may not be linked is forgotten of regions that are finished.
    """
    linked = constraints.must_link[:, 0]
    regions = np.unique(np.concatenate([ids, edges.ravel(), linked[linked != 0]]))
    bits = np.zeros(len(regions), np.uint8)
    np.bitwise_or.at(bits, np.searchsorted(regions, ids), faces)
    sides = constraints.cannot_link[np.isin(constraints.cannot_link[:, 0], regions)]
    return OpenGraph(regions, bits, edges, keys, *cells, sides, constraints.must_link)


def agglomeration_tasks(grid: Grid, options: AgglomerationOptions, given: Given = Given()) -> list[Task]:
    """All tasks from fragments to the tables of the merge tree.

    It is equal to `agglomerate` of the whole region graph.

    Parameters
    ----------
    grid : Grid
    options : AgglomerationOptions
        Score (mean or quantile) and floor: the tree is stored down to the floor, what is below never goes up.
    given : Given
        Constraints; each block notes what its voxels say of them in a table ("constraints", z, y, x).
    """
    tasks, points = [], points_in_blocks(given.points, grid)
    for place in grid.places():
        own = Given(given.labelled, points[place]) if given else None
        work = partial(_start, grid=grid, place=place, options=options, given=own)
        writes = (*_written(0, place), ("contacts", *place), ("sizes", *place))
        writes += keys("constraints", [place] if given else [])
        tasks.append(Task(work, keys("fragments", _with_lower(place)), writes))
    for level in range(1, grid.top + 1):
        for place in grid.places(level):
            work = partial(_join, grid=grid, level=level, place=place, options=options)
            tasks.append(Task(work, keys("graph", grid.parts(place, level), level - 1), _written(level, place)))
    return tasks + tree_tasks(grid, constrained=bool(given))


def load_contacts(store: Store, place: Triple) -> RegionGraph:
    """The region graph of one block."""
    return as_record(RegionGraph, store.load(("contacts", *place)))


def _written(level: int, place: Triple) -> tuple[tuple[str | int, ...], ...]:
    return ("graph", level, *place), ("merges", level, *place)


def _with_lower(place: Triple) -> list[Triple]:
    """A block and those whose voxels it sees."""
    return Box.between((max(at - 1, 0) for at in place), (at + 1 for at in place)).voxels()


def _start(store: Store, *, grid: Grid, place: Triple, options: AgglomerationOptions, given: Given | None) -> None:
    block = grid.block(place)
    fragments = store.read("fragments", block.seen)
    graph = block_graph(store.read("affinities", block.seen), fragments, block)
    store.save(("contacts", *place), as_table(graph))
    store.save(("sizes", *place), as_table(block_sizes(graph)))
    found = nothing_given()
    if given is not None:
        found = find_in_block(store, fragments[block.owned.within(block.seen)], block, given=given)
        store.save(("constraints", *place), as_table(found))
    _merge(store, start_graph(graph, fragments, block, options.score, found), 0, place, options)


def _join(store: Store, *, grid: Grid, level: int, place: Triple, options: AgglomerationOptions) -> None:
    parts = []
    for part in grid.parts(place, level):
        graph = as_record(OpenGraph, store.load(("graph", level - 1, *part)))
        parts.append((graph, grid.block(part, level - 1)))
    _refuse_too_many(sum(len(graph.edges) for graph, _ in parts), level)
    _merge(store, join_graphs(parts, grid.block(place, level), options.score), level, place, options)


def _refuse_too_many(edges: int, level: int) -> None:
    """Refuse to merge more edges than this machine holds.

    Before the work begins.
    """
    if edges > UNCHECKED_EDGES:
        what = f"agglomeration at level {level}, of {edges:,} edges,"
        refuse_beyond_memory(BYTES_AN_EDGE * edges, what, "what is done is kept: clew retry on a machine with more")


def _merge(store: Store, graph: OpenGraph, level: int, place: Triple, options: AgglomerationOptions) -> None:
    merges, left = merge_inside(graph, options)
    store.save(("merges", level, *place), as_table(merges))
    store.save(("graph", level, *place), as_table(left))
