"""The paper's flood in blocks: approximate.

A flood has no bound, so a block floods a margin around it too, and is cut out.

Volumes: `affinities` (and `mask`) in; `fragments` out.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Block, global_indices
from clew.blockwise.grid import Grid
from clew.blockwise.store import Store
from clew.blockwise.tasks import Task
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import FragmentOptions
from clew.space import Box, Triple

MARGIN = 32
"""Voxels flooded around a block: more than most fragments reach from their seed."""


def flood_context(block: Block, options: FragmentOptions) -> Box:
    """The voxels that `flood_block` needs to know.

    The margin, and what decides the seeds in it.
    """
    reach = MARGIN + options.distance_cap + options.seed_window // 2
    across = 0 if options.per_section else reach
    return block.grown((across, reach, reach), (across, reach, reach))


def flood_block(
    affinities: np.ndarray, block: Block, *, mask: np.ndarray | None = None, options: FragmentOptions
) -> NDArray[np.uint64]:
    """The fragments of one block by the paper's flood.

    Source: arXiv 1709.02974, section 2.3.

    Approximate at block borders: fragments end at the faces of the block (agglomeration merges them again), and near a face
    a voxel may go to another seed than in the whole, if the flood came from beyond the margin.

    Parameters
    ----------
    affinities : (offset, z, y, x) uint8 or float in [0, 1]
        Of the voxels in `flood_context(block, options)`.
    block : Block
    mask : (z, y, x) bool or numbers, optional
        Of the same voxels.
    options : FragmentOptions

    Returns
    -------
    (z, y, x) uint64, the block's own voxels; ids are 1 + the number of the first voxel in the whole volume.
    """
    around = extract_fragments(affinities, mask=mask, options=options)
    inside = around[block.owned.within(flood_context(block, options))]
    found, firsts, indices = np.unique(inside, return_index=True, return_inverse=True)
    ids = global_indices(firsts, block.owned, block.domain.frame).view(np.uint64) + np.uint64(1)
    ids[found == 0] = 0
    fragments: NDArray[np.uint64] = ids[indices].reshape(block.owned.shape)
    return fragments


def flood_tasks(grid: Grid, options: FragmentOptions, *, masked: bool = False) -> list[Task]:
    """One task a block, from affinities to fragments.

    Parameters
    ----------
    grid : Grid
    options : FragmentOptions
        `seeded-flood`.
    masked : bool
        Whether there is a volume `mask`.
    """
    return [
        Task(partial(_flood, grid=grid, place=place, options=options, masked=masked), (), (("fragments", *place),))
        for place in grid.places()
    ]


def _flood(store: Store, *, grid: Grid, place: Triple, options: FragmentOptions, masked: bool) -> None:
    block = grid.block(place)
    context = flood_context(block, options)
    mask = store.read("mask", context) if masked else None
    fragments = flood_block(store.read("affinities", context), block, mask=mask, options=options)
    store.write("fragments", block.owned, fragments)
