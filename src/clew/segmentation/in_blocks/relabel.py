"""The merge tree cut in blocks.

Dust is joined, small segments are removed, and every voxel gets the id of its segment.

Blocks add up the contacts of dust segments, which are few; these are joined as in the whole.
Volumes: `fragments` in, `segmentation` (z, y, x) uint64 out.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.grid import Grid
from clew.blockwise.store import Store, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.labels import sizes_by_id
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.dust import join_dust, remove_small
from clew.segmentation.in_blocks.agglomeration import load_contacts, load_tree
from clew.segmentation.options import AgglomerationOptions, CutOptions
from clew.segmentation.region_graph import RegionGraph, merge_region_graphs, pool_region_graph
from clew.segmentation.relabel import exchange_ids, relabel, segment_lookup
from clew.space import Triple


def dust_contacts(graph: RegionGraph, segments: NDArray[np.uint64], dust: NDArray[np.bool_]) -> RegionGraph:
    """The contacts between two segments at least one of which is dust.

    What joins dust needs no others.

    Parameters
    ----------
    graph : RegionGraph
        Of one block.
    segments : (m,) uint64
        Segment of each of `graph.fragments`, 0 for removed ones.
    dust : (m,) bool
        Whether that segment is dust, in the whole volume.
    """
    ends = np.searchsorted(graph.fragments, graph.edges)
    one, two = segments[ends].T
    chosen = (one != two) & (one != 0) & (two != 0) & dust[ends].any(axis=1)
    cells = np.repeat(chosen, np.diff(graph.starts))
    edges, lengths = graph.edges[chosen], np.diff(graph.starts)[chosen]
    ids = np.unique(edges)
    return pool_region_graph(ids, np.zeros(len(ids), np.int64), edges, lengths, graph.bins[cells], graph.counts[cells])


def join_dust_parts(
    parts: Sequence[RegionGraph],
    fragments: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    lookup: NDArray[np.uint64],
    *,
    minimum_size: int,
    options: AgglomerationOptions,
    cannot_link: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """`join_dust` from the `dust_contacts` of all blocks.

    Parameters
    ----------
    parts : sequence of RegionGraph
    fragments, sizes, lookup : (m,)
        All fragments of the volume, ascending, their voxels and segments.
    minimum_size : voxels
    options : AgglomerationOptions
        Score, and floor below which dust stays.
    cannot_link : (n, 3) uint64
        (fragment, split, side), of all fragments.

    Returns
    -------
    (m,) uint64
        The new lookup.
    """
    graph = merge_region_graphs(parts)
    rows = np.searchsorted(fragments, graph.fragments)
    segments, first = np.unique(lookup[rows], return_index=True)
    counted = np.zeros(len(rows), np.int64)
    counted[first] = sizes_by_id(lookup, sizes)[rows[first]]
    # a fragment of each segment stands for all of it: those with the ids need not touch any dust
    owners = lookup[np.searchsorted(fragments, cannot_link[:, 0])]
    there = np.isin(owners, segments)
    stand_ins = graph.fragments[first][np.searchsorted(segments, owners[there])]
    joined = join_dust(
        replace(graph, sizes=counted), lookup[rows], minimum_size=minimum_size, options=options,
        cannot_link=np.column_stack([stand_ins, cannot_link[there, 1:]]),
    )  # fmt: skip
    return exchange_ids(lookup, segments, joined[first])


def relabel_tasks(grid: Grid, options: CutOptions, *, score: str) -> list[Task]:
    """All tasks from merge tree and contacts to the segmentation.

    The result is equal to `relabel` of the whole.

    Parameters
    ----------
    grid : Grid
    options : CutOptions
    score : str
        Of the merge tree; dust is joined by the same score, without floor.
    """
    joined, sizes = grid.places() if options.minimum_size else [], keys("sizes", grid.places())
    cut = partial(_cut, places=joined, score=score, options=options)
    tasks = [Task(cut, (("tree",), *sizes), (("cut",), *keys("cut", joined)))]
    for place in joined:
        reads = (("cut", *place), ("contacts", *place))
        tasks.append(Task(partial(_choose_dust, place=place), reads, (("dust", *place),)))
    choose = partial(_choose_names, grid=grid, joined=joined, score=score, options=options)
    writes = (("lookup",), *keys("lookup", grid.places()))
    tasks.append(Task(choose, (("tree",), ("cut",), *sizes, *keys("dust", joined)), writes))
    for place in grid.places():
        work = partial(_relabel, grid=grid, place=place)
        reads = (("lookup", *place), ("fragments", *place))
        tasks.append(Task(work, reads, (("segmentation", *place),)))
    return tasks


def _cut(store: Store, *, places: list[Triple], score: str, options: CutOptions) -> None:
    tree = load_tree(store, score)
    lookup = segment_lookup(tree, options.threshold)
    store.save(("cut",), {"lookup": lookup})
    dust = sizes_by_id(lookup, tree.sizes) < options.minimum_size
    for place in places:
        _, rows = _fragments_of(store, place, tree)
        store.save(("cut", *place), {"lookup": lookup[rows], "dust": dust[rows]})


def _fragments_of(store: Store, place: Triple, tree: MergeTree) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The fragments that a block sees, and their positions in the tree.

    They are those of its `contacts`.
    """
    ids = store.load(("sizes", *place))["fragments"]
    return ids, np.searchsorted(tree.fragments, ids)


def _choose_dust(store: Store, *, place: Triple) -> None:
    cut, graph = store.load(("cut", *place)), load_contacts(store, place)
    store.save(("dust", *place), as_table(dust_contacts(graph, cut["lookup"], cut["dust"])))


def _choose_names(store: Store, *, grid: Grid, joined: list[Triple], score: str, options: CutOptions) -> None:
    tree, lookup = load_tree(store, score), store.load(("cut",))["lookup"]
    if joined:
        parts = [as_record(RegionGraph, store.load(("dust", *place))) for place in joined]
        lookup = join_dust_parts(
            parts, tree.fragments, tree.sizes, lookup, minimum_size=options.minimum_size,
            options=AgglomerationOptions(score), cannot_link=tree.cannot_link,
        )  # fmt: skip
    lookup = remove_small(tree.sizes, lookup, minimum_size=options.remove_below)
    store.save(("lookup",), {"fragments": tree.fragments, "lookup": lookup})
    for place in grid.places():
        ids, rows = _fragments_of(store, place, tree)
        store.save(("lookup", *place), {"fragments": ids, "lookup": lookup[rows]})


def _relabel(store: Store, *, grid: Grid, place: Triple) -> None:
    box, table = grid.block(place).owned, store.load(("lookup", *place))
    store.write("segmentation", box, relabel(store.read("fragments", box), table["fragments"], table["lookup"]))
