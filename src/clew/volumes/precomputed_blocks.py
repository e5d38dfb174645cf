"""Tasks that write a precomputed segmentation and its scales, one shard each.

Volumes: `source` in, `volume`, `volume-1`, `volume-2`, … out. Exact at block borders: every coarse voxel is made of fine ones of
its own.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_ids
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import Key, Store
from clew.blockwise.tasks import Task, keys
from clew.space import Box, Triple, triple
from clew.volumes.in_blocks import SECTIONS, scale_name
from clew.volumes.pyramid import pool
from clew.volumes.shared_precomputed import PrecomputedScale, SharedPrecomputed

VOLUME = "volume"


def shared_precomputed(path: str, scales: Sequence[PrecomputedScale]) -> dict[str, SharedPrecomputed]:
    """All scales of a volume, finest first, by their keys in the store."""
    return {scale_name(VOLUME, number): SharedPrecomputed(path, scale) for number, scale in enumerate(scales)}


def shard_grid(scale: PrecomputedScale) -> Grid:
    """The shards of a scale."""
    return Grid(Domain.whole(scale.shape), scale.shard_shape)


def read_source(store: Store, box: Box) -> NDArray[np.uint64]:
    """The ids of a box of `source`."""
    return as_ids(store.read("source", box), "the segmentation")


def needs_nothing(box: Box) -> tuple[Key, ...]:
    """The tables that `read_source` needs."""
    return ()


def precomputed_tasks(
    scales: Sequence[PrecomputedScale],
    read: Callable[[Store, Box], NDArray[np.uint64]] = read_source,
    needs: Callable[[Box], tuple[Key, ...]] = needs_nothing,
) -> list[Task]:
    """Tasks that write a volume, and that make the coarser scales.

    Parameters
    ----------
    scales : sequence of PrecomputedScale
        Finest first.
    read : callable
        Ids of a box (z, y, x) of the volume; can be pickled.
    needs : callable
        Keys of the tables that `read` wants for a box.

    Returns
    -------
    list of Task
        Named (volume, z, y, x), (volume-1, z, y, x), …
    """
    grid = shard_grid(scales[0])
    tasks = []
    for place in grid.places():
        box = grid.block(place).owned
        tasks.append(Task(partial(_copy, read=read, box=box), needs(box), ((VOLUME, *place),)))
    for number in range(1, len(scales)):
        finer, scale = scales[number - 1], scales[number]
        for place in shard_grid(scale).places():
            fine = _fine(scale, finer, shard_grid(scale).block(place).owned)
            reads = keys(scale_name(VOLUME, number - 1), shard_grid(finer).touched(fine))
            work = partial(_pool, number=number, scale=scale, finer=finer, place=place)
            tasks.append(Task(work, reads, ((scale_name(VOLUME, number), *place),)))
    return tasks


def _copy(store: Store, *, read: Callable[[Store, Box], NDArray[np.uint64]], box: Box) -> None:
    store.write(VOLUME, box, read(store, box))


def _pool(store: Store, *, number: int, scale: PrecomputedScale, finer: PrecomputedScale, place: Triple) -> None:
    """Write a shard at once.

    It is made of slabs, so that few fine voxels are in memory at a time.
    """
    box = shard_grid(scale).block(place).owned
    values = np.empty(box.shape, np.uint64)
    for start in range(box.z.start, box.z.stop, SECTIONS):
        slab = Box(slice(start, min(start + SECTIONS, box.z.stop)), box.y, box.x)
        fine = _fine(scale, finer, slab)
        labels = store.read(scale_name(VOLUME, number - 1), fine)
        values[slab.within(box)] = pool(np.pad(labels, _missing(scale, finer, slab), mode="edge"), scale.factors)
    store.write(scale_name(VOLUME, number), box, values)


def _missing(scale: PrecomputedScale, finer: PrecomputedScale, box: Box) -> list[tuple[int, int]]:
    """How many fine voxels the first coarse ones lack that begin before the volume.

    Those that are there count twice.
    """
    axes = zip(scale.factors, finer.first, box.low, strict=True)
    return [(first % by if low == 0 else 0, 0) for by, first, low in axes]


def _fine(scale: PrecomputedScale, finer: PrecomputedScale, box: Box) -> Box:
    """The voxels of the finer scale that those of a box are made of."""
    shift = triple(-(first % by) for first, by in zip(finer.first, scale.factors, strict=True))
    return box.scaled(scale.factors).shifted(shift).overlap(Box.whole(finer.shape))
