"""Tasks from the merge tree to the segmentation, dust joined and small segments removed, and its overlap with the truth.

Volumes: `fragments` (and `truth`) in, `segmentation` (z, y, x) uint64 out.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.agglomeration import load_contacts, load_tree
from clew.blockwise.executor import Task, keys
from clew.blockwise.grid import Grid, Place
from clew.blockwise.store import Store, as_record, as_table
from clew.evaluation._labels import as_labels
from clew.evaluation.border import mask_borders
from clew.evaluation.overlap import OverlapTable, merge_tables, overlap_table
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.agglomeration_options import AgglomerationOptions
from clew.segmentation.blocks import within
from clew.segmentation.dust import remove_small
from clew.segmentation.dust_blocks import dust_contacts, join_dust_parts, segment_sizes
from clew.segmentation.region_graph import RegionGraph
from clew.segmentation.relabel import relabel, segment_lookup
from clew.volumes.cremi import without_special
from clew.volumes.geometry import Triple


class Border(NamedTuple):
    """How near to a border between neurons truth is left out.

    voxel_size : (z, y, x) nm; distance : nm, per section.
    """

    voxel_size: Triple
    distance: float

    @property
    def reach(self) -> tuple[int, int, int]:
        """Voxels around a block that decide."""
        _, y, x = (int(self.distance // size) + 1 for size in self.voxel_size)
        return 0, y, x


def relabel_tasks(
    grid: Grid, threshold: float, options: AgglomerationOptions, *, minimum_size: int = 0, remove_below: int = 0
) -> list[Task]:
    """All tasks from merge tree and contacts to the segmentation, equal to `relabel` of the whole.

    Parameters
    ----------
    grid : Grid
    threshold : float
        In [0, 1]: merge while 1 - score < threshold.
    options : AgglomerationOptions
        Of the merge tree; dust is joined by the same score, without floor.
    minimum_size : voxels
        Smaller segments join their best neighbour.
    remove_below : voxels
        Still smaller segments are removed.
    """
    joined, sizes = grid.places() if minimum_size else [], keys("sizes", grid.places())
    cut = partial(_cut, places=joined, score=options.score, threshold=threshold, minimum_size=minimum_size)
    tasks = [Task(cut, (("tree",), *sizes), (("cut",), *keys("cut", joined)))]
    for place in joined:
        reads = (("cut", *place), ("contacts", *place))
        tasks.append(Task(partial(_choose_dust, place=place), reads, (("dust", *place),)))
    choose = partial(
        _choose_names, grid=grid, joined=joined, score=options.score, minimum_size=minimum_size,
        remove_below=remove_below,
    )  # fmt: skip
    writes = (("lookup",), *keys("lookup", grid.places()))
    tasks.append(Task(choose, (("tree",), ("cut",), *sizes, *keys("dust", joined)), writes))
    for place in grid.places():
        work = partial(_relabel, grid=grid, place=place)
        reads = (("lookup", *place), ("fragments", *place))
        tasks.append(Task(work, reads, (("segmentation", *place),)))
    return tasks


def overlap_tasks(grid: Grid, border: Border | None = None) -> list[Task]:
    """Tasks that count the overlap of `segmentation` with `truth`, into the table ("overlap",).

    Parameters
    ----------
    grid : Grid
    border : Border, optional
        Truth near borders is left out, as by `mask_borders` of the whole.
    """
    tasks = []
    for place in grid.places():
        work = partial(_count, grid=grid, place=place, border=border)
        tasks.append(Task(work, (("segmentation", *place),), (("overlap", *place),)))
    tasks.append(Task(partial(_add_up, grid=grid), keys("overlap", grid.places()), (("overlap",),)))
    return tasks


def _cut(store: Store, *, places: list[Place], score: str, threshold: float, minimum_size: int) -> None:
    tree = load_tree(store, score)
    lookup = segment_lookup(tree, threshold)
    store.save(("cut",), {"lookup": lookup})
    dust = segment_sizes(tree.sizes, lookup) < minimum_size
    for place in places:
        _, rows = _fragments_of(store, place, tree)
        store.save(("cut", *place), {"lookup": lookup[rows], "dust": dust[rows]})


def _fragments_of(store: Store, place: Place, tree: MergeTree) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The fragments that a block sees, those of its `contacts`, and their places in the tree."""
    names = store.load(("sizes", *place))["fragments"]
    return names, np.searchsorted(tree.fragments, names)


def _choose_dust(store: Store, *, place: Place) -> None:
    cut, graph = store.load(("cut", *place)), load_contacts(store, place)
    store.save(("dust", *place), as_table(dust_contacts(graph, cut["lookup"], cut["dust"])))


def _choose_names(
    store: Store, *, grid: Grid, joined: list[Place], score: str, minimum_size: int, remove_below: int
) -> None:
    tree, lookup = load_tree(store, score), store.load(("cut",))["lookup"]
    if joined:
        parts = [as_record(RegionGraph, store.load(("dust", *place))) for place in joined]
        options = AgglomerationOptions(score)
        lookup = join_dust_parts(parts, tree.fragments, tree.sizes, lookup, minimum_size=minimum_size, options=options)
    lookup = remove_small(tree.sizes, lookup, minimum_size=remove_below)
    store.save(("lookup",), {"fragments": tree.fragments, "lookup": lookup})
    for place in grid.places():
        names, rows = _fragments_of(store, place, tree)
        store.save(("lookup", *place), {"fragments": names, "lookup": lookup[rows]})


def _relabel(store: Store, *, grid: Grid, place: Place) -> None:
    box, table = grid.block(place).owned, store.load(("lookup", *place))
    store.write("segmentation", box, relabel(store.read("fragments", box), table["fragments"], table["lookup"]))


def _count(store: Store, *, grid: Grid, place: Place, border: Border | None) -> None:
    block = grid.block(place)
    reach = (0, 0, 0) if border is None else border.reach
    context = block.grown(reach, reach)
    truth = without_special(as_labels(store.read("truth", context), "truth"))
    if border is not None:
        truth = mask_borders(truth, border.voxel_size, border.distance)
    table = overlap_table(store.read("segmentation", block.owned), truth[within(block.owned, context)])
    store.save(("overlap", *place), as_table(table))


def _add_up(store: Store, *, grid: Grid) -> None:
    tables = [as_record(OverlapTable, store.load(("overlap", *place))) for place in grid.places()]
    store.save(("overlap",), as_table(merge_tables(tables)))
