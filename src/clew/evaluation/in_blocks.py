"""The overlap of a segmentation with the truth, counted block by block.

Volumes: `segmentation` and `truth` in; the table ("overlap",) out, and ("topology",) away from borders.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from clew.blockwise.grid import Grid
from clew.blockwise.store import Store, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.evaluation.border import annotated_sections, away_from_borders, border_reach, mask_borders
from clew.evaluation.overlap import OverlapTable, merge_tables, overlap_table
from clew.labels import Labels, as_truth, without_special
from clew.space import Box, Lengths, Triple, triple


class Border(NamedTuple):
    """Truth nearer than a distance to a border between neurons is left out.

    Parameters
    ----------
    voxel_size : (z, y, x) floats, nm
    distance : float, nm
    cremi : bool
        By the rule of CREMI (`mask_borders`), of all scores; else as `away_from_borders`, in a table beside that of all truth.
    """

    voxel_size: Lengths
    distance: float
    cremi: bool

    @property
    def reach(self) -> Triple:
        """Voxels (z, y, x) around a block on which its result depends."""
        steps = border_reach(self.voxel_size, self.distance)
        return (0, steps[1] + 1, steps[2] + 1) if self.cremi else triple(max(2 * each, 1) for each in steps)


def overlap_tasks(grid: Grid, border: Border | None = None) -> list[Task]:
    """Tasks that count the overlap of `segmentation` with `truth`.

    The last ones add the tables of all blocks into the table ("overlap",), and ("topology",) where a border is given that is
    not that of CREMI.

    Parameters
    ----------
    grid : Grid
    border : Border, optional
        Truth near borders is left out, as of the whole.
    """
    tasks, counted = [], ["overlap"]
    if border is not None and not border.cremi:
        counted, tasks = ["overlap", "topology"], _annotation_tasks(grid)
    for place in grid.places():
        work = partial(_count, grid=grid, place=place, border=border)
        needs = (("segmentation", *place), *([("annotated",)] if len(counted) > 1 else []))
        tasks.append(Task(work, needs, tuple((name, *place) for name in counted)))
    for name in counted:
        tasks.append(Task(partial(_add_up, grid=grid, name=name), keys(name, grid.places()), ((name,),)))
    return tasks


def _annotation_tasks(grid: Grid) -> list[Task]:
    """Tasks that find the annotated sections of the whole, the table ("annotated",)."""
    tasks = [
        Task(partial(_find_annotated, grid=grid, place=place), (("truth", *place),), (("annotated", *place),))
        for place in grid.places()
    ]
    return [*tasks, Task(partial(_join_annotated, grid=grid), keys("annotated", grid.places()), (("annotated",),))]


def _read_truth(store: Store, box: Box) -> Labels:
    return without_special(as_truth(store.read("truth", box), "truth"))


def _find_annotated(store: Store, *, grid: Grid, place: Triple) -> None:
    owned = grid.block(place).owned
    sections = np.arange(owned.low[0], owned.high[0])[annotated_sections(_read_truth(store, owned))]
    store.save(("annotated", *place), {"sections": sections})


def _join_annotated(store: Store, *, grid: Grid) -> None:
    sections = [store.load(("annotated", *place))["sections"] for place in grid.places()]
    store.save(("annotated",), {"sections": np.unique(np.concatenate(sections))})


def _count(store: Store, *, grid: Grid, place: Triple, border: Border | None) -> None:
    block = grid.block(place)
    reach = (0, 0, 0) if border is None else border.reach
    context = block.grown(reach, reach)
    truth, segments = _read_truth(store, context), store.read("segmentation", block.owned)
    own = block.owned.within(context)
    if border is not None and border.cremi:
        truth = mask_borders(truth, border.voxel_size, border.distance)
    elif border is not None:
        annotated = np.isin(np.arange(context.low[0], context.high[0]), store.load(("annotated",))["sections"])
        clear = away_from_borders(truth, border.voxel_size, border.distance, annotated=annotated)
        store.save(("topology", *place), as_table(overlap_table(segments, np.where(clear, truth, 0)[own])))
    store.save(("overlap", *place), as_table(overlap_table(segments, truth[own])))


def _add_up(store: Store, *, grid: Grid, name: str) -> None:
    tables = [as_record(OverlapTable, store.load((name, *place))) for place in grid.places()]
    store.save((name,), as_table(merge_tables(tables)))
