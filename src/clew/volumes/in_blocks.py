"""Tasks that copy a volume block by block, and that make its coarser scales.

Volumes: `source` in, `volume` out for a copy; `NAME` in, `NAME-1`, `NAME-2`, … out for scales. Exact at block borders: every
coarse voxel is made of fine ones of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import Store
from clew.blockwise.tasks import Task, keys
from clew.space import Box, Triple
from clew.volumes.pyramid import Scale, pool
from clew.volumes.shared import SharedVolume

SECTIONS = 64
"""Coarse sections made at a time: a whole number of chunks."""


def scale_name(volume: str, scale: int) -> str:
    """Name of a scale in the store."""
    return f"{volume}-{scale}" if scale else volume


def shared_scales(
    path: str,
    volume: str,
    dtype: Any,
    scales: Sequence[Scale],
    block_shape: Triple,
    kind: type[SharedVolume] = SharedVolume,
) -> dict[str, SharedVolume]:
    """The arrays of all scales of a volume, finest first, by their keys in the store."""
    return {
        scale_name(volume, number): kind(
            path, scale.shape, dtype, voxel_size=scale.voxel_size, offset=scale.offset, block_shape=block_shape,
            scale=number,
        )
        for number, scale in enumerate(scales)
    }  # fmt: skip


def scale_tasks(volume: str, scales: Sequence[Scale], block_shape: Triple) -> list[Task]:
    """All tasks that make the coarser scales of a volume.

    The tasks that write the blocks of the volume itself are named (volume, z, y, x).

    Parameters
    ----------
    volume : str
        Name of the volume in the store.
    scales : sequence of Scale
        Finest first: that of the volume, then the coarser ones.
    block_shape : (z, y, x) ints
        Voxels of the blocks of all scales.

    Returns
    -------
    list of Task
    """
    tasks, finer = [], _grid(scales[0].shape, block_shape)
    for number, scale in enumerate(scales[1:], 1):
        coarser = _grid(scale.shape, block_shape)
        names = scale_name(volume, number - 1), scale_name(volume, number)
        for place in coarser.places():
            work = partial(_pool, names=names, grid=coarser, place=place, scale=scale, finer=finer.domain.frame)
            reads = keys(names[0], _parts(place, scale.factors, finer))
            tasks.append(Task(work, reads, ((names[1], *place),)))
        finer = coarser
    return tasks


def _grid(shape: Triple, block_shape: Triple) -> Grid:
    return Grid(Domain.whole(shape), block_shape)


def _parts(place: Triple, factors: Triple, finer: Grid) -> list[Triple]:
    """The blocks of the next finer scale that a block is made of."""
    return Box.tile(place, factors).overlap(Box.whole(finer.levels[0])).voxels()


def _pool(store: Store, *, names: tuple[str, str], grid: Grid, place: Triple, scale: Scale, finer: Triple) -> None:
    for box in _slabs(grid.block(place).owned):
        fine = box.scaled(scale.factors).overlap(Box.whole(finer))
        store.write(names[1], box, pool(store.read(names[0], fine), scale.factors))


def _slabs(box: Box) -> Iterator[Box]:
    for start in range(box.z.start, box.z.stop, SECTIONS):
        yield Box(slice(start, min(start + SECTIONS, box.z.stop)), box.y, box.x)


def copy_tasks(grid: Grid, change: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray) -> list[Task]:
    """Make one task of copying for each block.

    `change` maps the values of each voxel by itself.
    """
    copies = ((partial(_copy, grid=grid, place=place, change=change), place) for place in grid.places())
    return [Task(work, (), (("volume", *place),)) for work, place in copies]


def _copy(store: Store, *, grid: Grid, place: Triple, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    box = grid.block(place).owned
    store.write("volume", box, change(store.read("source", box)))
