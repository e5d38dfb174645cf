"""The overlap of a segmentation with the truth, counted block by block.

Volumes: `segmentation` and `truth` in; the table ("overlap",) out.
"""

from functools import partial
from typing import NamedTuple

from clew.blockwise.grid import Grid
from clew.blockwise.store import Store, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.evaluation.border import mask_borders
from clew.evaluation.overlap import OverlapTable, merge_tables, overlap_table
from clew.labels import as_truth, without_special
from clew.space import Lengths, Triple


class Border(NamedTuple):
    """Truth nearer than a distance to a border between neurons is left out.

    Parameters
    ----------
    voxel_size : (z, y, x) floats, nm
    distance : float, nm
        Measured in each section by itself.

    voxel_size : (z, y, x) nm; distance : nm, per section.
    """

    voxel_size: Lengths
    distance: float

    @property
    def reach(self) -> Triple:
        """Voxels (z, y, x) around a block on which its result depends."""
        _, y, x = (int(self.distance // size) + 1 for size in self.voxel_size)
        return 0, y, x


def overlap_tasks(grid: Grid, border: Border | None = None) -> list[Task]:
    """Tasks that count the overlap of `segmentation` with `truth`.

    The last one adds the tables of all blocks into the table ("overlap",).

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


def _count(store: Store, *, grid: Grid, place: Triple, border: Border | None) -> None:
    block = grid.block(place)
    reach = (0, 0, 0) if border is None else border.reach
    context = block.grown(reach, reach)
    truth = without_special(as_truth(store.read("truth", context), "truth"))
    if border is not None:
        truth = mask_borders(truth, border.voxel_size, border.distance)
    table = overlap_table(store.read("segmentation", block.owned), truth[block.owned.within(context)])
    store.save(("overlap", *place), as_table(table))


def _add_up(store: Store, *, grid: Grid) -> None:
    tables = [as_record(OverlapTable, store.load(("overlap", *place))) for place in grid.places()]
    store.save(("overlap",), as_table(merge_tables(tables)))
