"""Tasks of exports in blocks.

Volume: `source`. Tables: ("segments", z, y, x) of each block, ("segment_table",) of all. Exact at block borders, but for the
points of the table, which lie inside a segment in any case.
"""

from functools import partial

from clew.arrays import as_ids
from clew.blockwise.grid import Grid
from clew.blockwise.store import Key, Store, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.export.segment_table import SegmentRows, join_rows, larger_rows, segment_rows
from clew.space import Triple

TABLE: Key = ("segment_table",)


def row_tasks(grid: Grid, minimum_size: int) -> list[Task]:
    """Tasks that find the segments of each block, and one that joins their rows.

    Parameters
    ----------
    grid : Grid
    minimum_size : int
        Segments of fewer voxels are left out.

    Returns
    -------
    list of Task
    """
    places = grid.places()
    tasks = [Task(partial(_find, grid=grid, place=place), (), (("segments", *place),)) for place in places]
    reads = keys("segments", places)
    return [*tasks, Task(partial(_join, reads=reads, minimum_size=minimum_size), reads, (TABLE,))]


def load_rows(store: Store) -> SegmentRows:
    """The rows of all segments, once the tasks are done."""
    return as_record(SegmentRows, store.load(TABLE))


def _find(store: Store, *, grid: Grid, place: Triple) -> None:
    box = grid.block(place).owned
    labels = as_ids(store.read("source", box), "the segmentation")
    store.save(("segments", *place), as_table(segment_rows(labels, box.low)))


def _join(store: Store, *, reads: tuple[Key, ...], minimum_size: int) -> None:
    rows = join_rows([as_record(SegmentRows, store.load(key)) for key in reads])
    store.save(TABLE, as_table(larger_rows(rows, minimum_size)))
