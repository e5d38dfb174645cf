"""The merge tree cut in blocks.

Dust is joined, small segments are removed, and every voxel gets the id of its segment.

Volumes: `fragments` in, `segmentation` (z, y, x) uint64 out.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Block
from clew.blockwise.grid import Grid
from clew.blockwise.store import Store
from clew.blockwise.tasks import Task
from clew.segmentation.in_blocks.cut import Cutting, cut_of, cut_tasks, reads_of_cut, with_those_above
from clew.segmentation.in_blocks.dust import Dusting, dust_tasks, dusted, reads_of_dusted
from clew.segmentation.options import CutOptions
from clew.segmentation.relabel import check_threshold, relabel
from clew.space import Triple


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
    dusting = Dusting(cutting, options.minimum_size, score) if options.minimum_size else None
    tasks = cut_tasks(cutting) + (dust_tasks(dusting) if dusting else [])
    for place in grid.places():
        work = partial(_relabel, cutting=cutting, place=place, dusting=dusting, remove_below=options.remove_below)
        reads = (*reads_of_cut(cutting, place), ("fragments", *place))
        reads += reads_of_dusted(dusting, place) if dusting else ()
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


def _relabel(store: Store, *, cutting: Cutting, place: Triple, dusting: Dusting | None, remove_below: int) -> None:
    cut, block = cut_of(store, cutting, place), cutting.grid.block(place)
    if dusting:
        cut = with_those_above(cut, *dusted(store, dusting, place))
    lookup = np.where(cut.sizes < remove_below, np.uint64(0), cut.segments)
    store.write("segmentation", block.owned, relabel(store.read("fragments", block.owned), cut.regions, lookup))
    segments, fragments = count_own(cut.regions, lookup, block)
    store.save(("counts", *place), {"segments": np.array(segments), "fragments": np.array(fragments)})
