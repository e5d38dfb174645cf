"""Tasks that copy a volume of any format, block by block.

Volumes: `source` in, `volume` out, both (z, y, x).
"""

from functools import partial

from clew.blockwise.executor import Task
from clew.blockwise.grid import Grid, Place
from clew.blockwise.store import Store


def copy_tasks(grid: Grid) -> list[Task]:
    """One task a block."""
    return [Task(partial(_copy, grid=grid, place=place), (), (("volume", *place),)) for place in grid.places()]


def _copy(store: Store, *, grid: Grid, place: Place) -> None:
    box = grid.block(place).owned
    store.write("volume", box, store.read("source", box))
