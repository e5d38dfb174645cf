"""Tasks that divide a volume into fragments by the paper's flood, each block for itself: approximate at block borders.

Volumes: `affinities` (and `mask`) in; `fragments` out.
"""

from functools import partial

from clew.blockwise.executor import Task
from clew.blockwise.grid import Grid, Place
from clew.blockwise.store import Store
from clew.segmentation.flood_blocks import flood_block, flood_context
from clew.segmentation.fragment_options import FragmentOptions


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


def _flood(store: Store, *, grid: Grid, place: Place, options: FragmentOptions, masked: bool) -> None:
    block = grid.block(place)
    context = flood_context(block, options)
    mask = store.read("mask", context) if masked else None
    fragments = flood_block(store.read("affinities", context), block, mask=mask, options=options)
    store.write("fragments", block.owned, fragments)
