"""The merge tree cut block by block.

The merges that a block decided, and what became above of the regions that it passed up, say in which segment each of its
fragments lies. Sizes of regions go up the levels, and segments come down: no task needs the merge tree, nor more than the level
that it works on passed up.

Tables of `agglomeration` in. Out: ("totals", level, z, y, x), voxels so far of the regions that a block passed up, and
("segments", level, z, y, x), their segments at last and the voxels of these; in the order of `OpenGraph.regions`.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.grid import Grid
from clew.blockwise.store import Key, Store, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.kernels import agglomeration_layout as layout
from clew.kernels.forest import unite_indices
from clew.kernels.merge_tree import cut_tree
from clew.segmentation.constraints import Rows
from clew.segmentation.in_blocks.agglomeration import OpenGraph
from clew.segmentation.in_blocks.constraints import nothing_given
from clew.segmentation.in_blocks.tree import Merges, Sizes
from clew.segmentation.relabel import lowest_kept
from clew.space import Triple

Start = tuple[NDArray[np.uint64], NDArray[np.int64], Rows]
"""Regions with which a block begins, ascending, their voxels so far, and rows of must-link."""


class Cut(NamedTuple):
    """Regions of a block at a threshold.

    Parameters
    ----------
    regions : (n,) uint64
        Fragments of a block of the lowest level, else what its parts passed up; ascending.
    segments : (n,) uint64
        Of each region.
    sizes : (n,) int64
        Voxels of that segment.
    """

    regions: NDArray[np.uint64]
    segments: NDArray[np.uint64]
    sizes: NDArray[np.int64]

    def at(self, rows: NDArray[Any]) -> "Cut":
        """Some of the rows."""
        return Cut(self.regions[rows], self.segments[rows], self.sizes[rows])


class Cutting(NamedTuple):
    """Where the tree is cut, and whether the blocks have noted constraints."""

    grid: Grid
    threshold: float
    constrained: bool


def cut_inside(
    regions: NDArray[np.uint64], sizes: NDArray[np.int64], merges: Merges, linked: Rows, threshold: float
) -> Cut:
    """Cut the merges that one block decided.

    Parameters
    ----------
    regions : (n,) uint64
        Ascending; all that the merges name.
    sizes : (n,) int64
        Voxels of each.
    merges : Merges
    linked : (m, 2) uint64
        (region, group): regions of one group are one before the first merge.
    threshold : float
    """
    order = np.argsort(linked[:, 1], kind="stable")
    places, groups = np.searchsorted(regions, linked[order, 0]), linked[order, 1]
    same = groups[1:] == groups[:-1]
    parents = unite_indices(places[:-1][same], places[1:][same], len(regions))
    levels = np.where(parents != np.arange(len(regions)), layout.FULL + 1, -1)
    survivors, absorbed = np.searchsorted(regions, merges.pairs).T
    parents[absorbed], levels[absorbed] = survivors, merges.levels
    roots = cut_tree(parents, levels, lowest_kept(threshold))
    totals = np.zeros(len(regions), np.int64)
    np.add.at(totals, roots, sizes)
    return Cut(regions, regions[roots], totals[roots])


def with_those_above(
    cut: Cut, regions: NDArray[np.uint64], segments: NDArray[np.uint64], sizes: NDArray[np.int64]
) -> Cut:
    """A block's cut once it is known what became of the regions that it passed up.

    Parameters
    ----------
    cut : Cut
    regions : (k,) uint64
        Passed up, ascending.
    segments : (k,) uint64
    sizes : (k,) int64
        Of the segments.
    """
    if not len(regions):
        return cut
    places = np.minimum(np.searchsorted(regions, cut.segments), len(regions) - 1)
    above = regions[places] == cut.segments
    return Cut(cut.regions, np.where(above, segments[places], cut.segments), np.where(above, sizes[places], cut.sizes))


def cut_tasks(cutting: Cutting) -> list[Task]:
    """All tasks after which `cut_of` knows the segments of a block's fragments."""
    grid, tasks = cutting.grid, []
    for level in range(1, grid.top):
        for place in grid.places(level):
            work = partial(_sum_up, cutting=cutting, level=level, place=place)
            tasks.append(Task(work, reads_of_cut(cutting, place, level, above=False), (("totals", level, *place),)))
    for level in range(grid.top, 0, -1):
        for place in grid.places(level):
            work = partial(_hand_down, cutting=cutting, level=level, place=place)
            writes = keys("segments", grid.parts(place, level), level - 1)
            tasks.append(Task(work, reads_of_cut(cutting, place, level), writes))
    return tasks


def reads_of_cut(cutting: Cutting, place: Triple, level: int = 0, *, above: bool = True) -> tuple[Key, ...]:
    """Keys of what `cut_of` reads."""
    grid = cutting.grid
    reads = _reads_inside(cutting, place, level)
    if level:
        parts = grid.parts(place, level)
        reads += keys("graph", parts, level - 1)
        below = (_reads_inside(cutting, part, 0) for part in parts)
        reads += sum(below, ()) if level == 1 else keys("totals", parts, level - 1)
    return reads + (keys("segments", [place], level) if above and level < grid.top else ())


def cut_of(store: Store, cutting: Cutting, place: Triple, level: int = 0) -> Cut:
    """Segments of a block's fragments, or of the regions that its parts passed up.

    Exact: those of `segment_lookup` of the whole tree, with their sizes in the whole volume.
    """
    cut, regions = _cut(store, cutting, place, level)
    if level == cutting.grid.top:
        return cut
    above = store.load(("segments", level, *place))
    return with_those_above(cut, regions, above["segments"], above["sizes"])


def reads_of_reach(grid: Grid, level: int, place: Triple) -> tuple[Key, ...]:
    """Keys of what `segments_at_faces` reads."""
    return (("graph", level, *place), ("segments", level, *place)) if level < grid.top else ()


def segments_at_faces(store: Store, grid: Grid, level: int, place: Triple) -> NDArray[np.uint64]:
    """The segments of a block that may have voxels beyond it, ascending.

    They reach one of its faces, or hold some of a must-link group whose other fragments lie elsewhere.
    """
    if level == grid.top:
        return np.zeros(0, np.uint64)
    graph = _graph(store, level, place)
    reach = (graph.faces != 0) | np.isin(graph.regions, graph.must_link[:, 0])
    return np.unique(store.load(("segments", level, *place))["segments"][reach])


def _reads_inside(cutting: Cutting, place: Triple, level: int) -> tuple[Key, ...]:
    reads = (("graph", level, *place), ("merges", level, *place))
    if level:
        return reads
    return reads + (("sizes", *place),) + ((("constraints", *place),) if cutting.constrained else ())


def _cut(store: Store, cutting: Cutting, place: Triple, level: int) -> tuple[Cut, NDArray[np.uint64]]:
    """A block's own cut, with sizes so far, and the regions that the block passes up."""
    left = _graph(store, level, place)
    regions, sizes, links = (
        _regions_of_parts(store, cutting, place, level) if level else _fragments(store, cutting, place, left)
    )
    linked = links[~np.isin(links[:, 1], left.must_link[:, 1]) & (links[:, 0] != 0)][:, :2]
    merges = as_record(Merges, store.load(("merges", level, *place)))
    return cut_inside(regions, sizes, merges, linked, cutting.threshold), left.regions


def _fragments(store: Store, cutting: Cutting, place: Triple, left: OpenGraph) -> Start:
    """Fragments of a block, with no voxels where it only sees them beyond a face."""
    own = as_record(Sizes, store.load(("sizes", *place)))
    constraints = store.load(("constraints", *place)) if cutting.constrained else as_table(nothing_given())
    fragments = np.union1d(own.fragments, left.regions)
    sizes = np.zeros(len(fragments), np.int64)
    sizes[np.searchsorted(fragments, own.fragments)] = own.sizes
    return fragments, sizes, constraints["must_link"]


def _regions_of_parts(store: Store, cutting: Cutting, place: Triple, level: int) -> Start:
    """Regions that the parts of a block passed up."""
    parts = cutting.grid.parts(place, level)
    graphs = [_graph(store, level - 1, part) for part in parts]
    counts = [_totals(store, cutting, part, level - 1) for part in parts]
    regions, positions = np.unique(np.concatenate([graph.regions for graph in graphs]), return_inverse=True)
    sizes = np.zeros(len(regions), np.int64)
    np.add.at(sizes, positions, np.concatenate(counts))
    return regions, sizes, np.concatenate([graph.must_link for graph in graphs])


def _totals(store: Store, cutting: Cutting, place: Triple, level: int) -> NDArray[np.int64]:
    """Voxels so far of the regions that a block passes up."""
    if level:
        return store.load(("totals", level, *place))["sizes"]
    cut, regions = _cut(store, cutting, place, level)
    return cut.sizes[np.searchsorted(cut.regions, regions)]


def _graph(store: Store, level: int, place: Triple) -> OpenGraph:
    return as_record(OpenGraph, store.load(("graph", level, *place)))


def _sum_up(store: Store, *, cutting: Cutting, level: int, place: Triple) -> None:
    cut, regions = _cut(store, cutting, place, level)
    store.save(("totals", level, *place), {"sizes": cut.sizes[np.searchsorted(cut.regions, regions)]})


def _hand_down(store: Store, *, cutting: Cutting, level: int, place: Triple) -> None:
    cut = cut_of(store, cutting, place, level)
    for part in cutting.grid.parts(place, level):
        rows = np.searchsorted(cut.regions, _graph(store, level - 1, part).regions)
        store.save(("segments", level - 1, *part), {"segments": cut.segments[rows], "sizes": cut.sizes[rows]})
