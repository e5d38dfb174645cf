"""The merge tree cut in blocks.

Dust is joined, small segments are removed, and every voxel gets the id of its segment.

Blocks add up the contacts of dust segments, which are few; these are joined as in the whole.
Volumes: `fragments` in, `segmentation` (z, y, x) uint64 out.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Block
from clew.blockwise.grid import Grid
from clew.blockwise.store import Store, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.labels import sizes_by_id
from clew.segmentation.constraints import Rows
from clew.segmentation.dust import join_dust
from clew.segmentation.in_blocks.agglomeration import load_contacts
from clew.segmentation.in_blocks.cut import Cut, Cutting, cut_of, cut_tasks, reads_of_cut, with_those_above
from clew.segmentation.options import AgglomerationOptions, CutOptions
from clew.segmentation.region_graph import RegionGraph, merge_region_graphs, pool_region_graph
from clew.segmentation.relabel import check_threshold, relabel
from clew.space import Triple


class Dust(NamedTuple):
    """What a block knows of dust, or of the segments of all dust together.

    Parameters
    ----------
    contacts : RegionGraph
        Of fragments, between segments at least one of which is dust.
    cut : Cut
        Segments of these fragments.
    cannot_link : (n, 3) uint64
        (segment, split, side).
    """

    contacts: RegionGraph
    cut: Cut
    cannot_link: Rows


class Joined(NamedTuple):
    """What became of segments that touch dust, and of dust.

    Old ids, ascending; new ids; voxels of the new segments.
    """

    old: NDArray[np.uint64]
    new: NDArray[np.uint64]
    sizes: NDArray[np.int64]


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


def join_dust_parts(parts: Sequence[Dust], *, minimum_size: int, score: str) -> Joined:
    """`join_dust` from what all blocks know of dust.

    Parameters
    ----------
    parts : sequence of Dust
    minimum_size : voxels
    score : str
        By which dust is joined, without floor.
    """
    graph = merge_region_graphs([part.contacts for part in parts])
    regions, places = np.unique(np.concatenate([part.cut.regions for part in parts]), return_index=True)
    lookup = np.concatenate([part.cut.segments for part in parts])[places]
    sizes = np.concatenate([part.cut.sizes for part in parts])[places]
    segments, first = np.unique(lookup, return_index=True)
    counted = np.zeros(len(regions), np.int64)
    counted[first] = sizes[first]
    # a fragment of each segment stands for all of it: those with the ids need not touch any dust
    rows = np.unique(np.concatenate([part.cannot_link for part in parts]), axis=0)
    rows = rows[np.isin(rows[:, 0], segments)]
    stand_ins = graph.fragments[first][np.searchsorted(segments, rows[:, 0])]
    joined = join_dust(
        replace(graph, sizes=counted), lookup, minimum_size=minimum_size, options=AgglomerationOptions(score),
        cannot_link=np.column_stack([stand_ins, rows[:, 1:]]),
    )  # fmt: skip
    totals = sizes_by_id(joined[first], sizes[first])
    return Joined(segments, joined[first], totals)


def relabel_tasks(grid: Grid, options: CutOptions, *, score: str, constrained: bool = False) -> list[Task]:
    """All tasks from merges and contacts to the segmentation.

    The result is equal to `relabel` of the whole.

    Parameters
    ----------
    grid : Grid
    options : CutOptions
    score : str
        Of the merge tree; dust is joined by the same score, without floor.
    constrained : bool
        Whether the blocks have noted constraints.
    """
    check_threshold(options.threshold)
    cutting = Cutting(grid, options.threshold, constrained)
    tasks, dusty = cut_tasks(cutting), options.minimum_size > 0
    for place in grid.places() if dusty else []:
        work = partial(_choose_dust, cutting=cutting, place=place, minimum_size=options.minimum_size)
        tasks.append(Task(work, (*reads_of_cut(cutting, place), ("contacts", *place)), keys("dust", [place])))
    if dusty:
        work = partial(_join_dust, grid=grid, minimum_size=options.minimum_size, score=score)
        tasks.append(Task(work, keys("dust", grid.places()), keys("joined", grid.places())))
    for place in grid.places():
        work = partial(_relabel, cutting=cutting, place=place, options=options)
        reads = (*reads_of_cut(cutting, place), ("fragments", *place), *keys("joined", [place] if dusty else []))
        tasks.append(Task(work, reads, (("segmentation", *place), ("counts", *place))))
    return tasks


def load_counts(store: Store, grid: Grid) -> tuple[int, int]:
    """How many segments and fragments there are, from what the blocks have counted."""
    counts = (store.load(("counts", *place)) for place in grid.places())
    segments, fragments = np.sum([(found["segments"], found["fragments"]) for found in counts], axis=0)
    return int(segments), int(fragments)


def count_own(fragments: NDArray[np.uint64], lookup: NDArray[np.uint64], block: Block) -> tuple[int, int]:
    """Count segments and fragments whose first voxels a block owns.

    The counts of all blocks add up to those of the whole. Ids are 1 + the index of a voxel in the whole volume.

    Parameters
    ----------
    fragments, lookup : (n,) uint64
        All that have voxels in the block, and their segments, 0 for removed ones.
    block : Block
    """
    own = block.owns((fragments - np.uint64(1)).astype(np.int64))
    return int(np.count_nonzero(own & (lookup == fragments))), int(np.count_nonzero(own))


def _choose_dust(store: Store, *, cutting: Cutting, place: Triple, minimum_size: int) -> None:
    cut, graph = cut_of(store, cutting, place), load_contacts(store, place)
    seen = np.searchsorted(cut.regions, graph.fragments)
    contacts = dust_contacts(graph, cut.segments[seen], cut.sizes[seen] < minimum_size)
    rows = np.searchsorted(cut.regions, contacts.fragments)
    sides = store.load(("constraints", *place))["cannot_link"] if cutting.constrained else np.zeros((0, 3), np.uint64)
    owners = cut.segments[np.searchsorted(cut.regions, sides[:, 0])]
    told = {f"contacts-{name}": values for name, values in as_table(contacts).items()}
    told |= {"segments": cut.segments[rows], "sizes": cut.sizes[rows], "all_segments": np.unique(cut.segments)}
    store.save(("dust", *place), told | {"cannot_link": np.column_stack([owners, sides[:, 1:]])})


def _load_dust(store: Store, place: Triple) -> Dust:
    found = store.load(("dust", *place))
    columns = {name.partition("-")[2]: values for name, values in found.items() if name.startswith("contacts-")}
    contacts = as_record(RegionGraph, columns)
    cut = Cut(contacts.fragments, found["segments"], found["sizes"])
    return Dust(contacts, cut, found["cannot_link"])


def _join_dust(store: Store, *, grid: Grid, minimum_size: int, score: str) -> None:
    parts = [_load_dust(store, place) for place in grid.places()]
    joined = join_dust_parts(parts, minimum_size=minimum_size, score=score)
    for place in grid.places():
        here = np.isin(joined.old, store.load(("dust", *place))["all_segments"])
        store.save(("joined", *place), {name: values[here] for name, values in as_table(joined).items()})


def _relabel(store: Store, *, cutting: Cutting, place: Triple, options: CutOptions) -> None:
    cut, block = cut_of(store, cutting, place), cutting.grid.block(place)
    if options.minimum_size:
        cut = with_those_above(cut, *as_record(Joined, store.load(("joined", *place))))
    lookup = np.where(cut.sizes < options.remove_below, np.uint64(0), cut.segments)
    store.write("segmentation", block.owned, relabel(store.read("fragments", block.owned), cut.regions, lookup))
    segments, fragments = count_own(cut.regions, lookup, block)
    store.save(("counts", *place), {"segments": np.array(segments), "fragments": np.array(fragments)})
