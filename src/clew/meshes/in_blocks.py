"""Tasks that find parts of segments in blocks, and hand each segment on whole.

Volume: `source`. Tables: (KIND, z, y, x, bucket) with what a block found, ("segment_table",) with the wanted segments. Exact at
block borders: blocks share the plane of voxels between them, and what is made of a segment is made of all its blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from clew.arrays import as_ids
from clew.blockwise.grid import Grid
from clew.blockwise.store import Key, Store, Table
from clew.blockwise.tasks import Task
from clew.meshes.pieces import bucket_count, bucket_of, pack
from clew.meshes.skeletons import voxels_of_segments
from clew.meshes.surfaces import surfaces
from clew.space import Box, Lengths, Triple, triple

Kind = Literal["surfaces", "voxels"]
Write = Callable[[Store, int, list[Table], np.ndarray], None]


@dataclass(frozen=True)
class Coarse:
    """The voxels of which surfaces and skeletons are made.

    Each is made of several of the volume.

    Parameters
    ----------
    grid : Grid
        Blocks of the volume; their edges are multiples of the factors.
    factors : (z, y, x) ints
        Voxels of the volume that become one.
    voxel_size, offset : (z, y, x) floats
        Of the coarse voxels, and the centre of the first, in nm.
    """

    grid: Grid
    factors: Triple
    voxel_size: Lengths
    offset: Lengths

    @property
    def buckets(self) -> int:
        """In so many parts segments are put together."""
        return bucket_count(len(self.grid.places()))


def coarse_voxels(grid: Grid, voxel_size: Lengths, offset: Lengths, detail: float) -> Coarse:
    """Voxels of at most `detail` nm along each axis, made of 1, 2, 4, 8 … voxels."""
    factors = triple(1 << max(0, int(np.log2(max(detail / size, 1) + 1e-9))) for size in voxel_size)
    limits = (block & -block for block in grid.block_shape)  # so that blocks begin between coarse voxels
    factors = triple(min(factor, limit) for factor, limit in zip(factors, limits, strict=True))
    size = triple(length * by for length, by in zip(voxel_size, factors, strict=True))
    start = triple(at + length * (by - 1) / 2 for at, length, by in zip(offset, voxel_size, factors, strict=True))
    return Coarse(grid, factors, size, start)


def segment_tasks(kind: Kind, coarse: Coarse, pool: Callable[[np.ndarray, Triple], np.ndarray], write: Write, table: Key,
                  product: str) -> list[Task]:  # fmt: skip
    """Tasks that find what blocks hold of each segment, and make something of it.

    Parameters
    ----------
    kind : str
        `surfaces`, or `voxels` for skeletons.
    coarse : Coarse
    pool : callable
        Makes coarse voxels.
    write : callable
        Called with the store, the number of a bucket, what all blocks found of its segments, and the wanted ids.
    table : Key
        Of the table that has the wanted `ids`.
    product : str
        Name of what `write` makes, in the store.

    Returns
    -------
    list of Task
        Named (kind, z, y, x, 0) and (product, bucket).
    """
    places, buckets = coarse.grid.places(), range(coarse.buckets)
    find = partial(_find, kind=kind, coarse=coarse, pool=pool)
    tasks = [
        Task(partial(find, place=place), (), tuple((kind, *place, bucket) for bucket in buckets)) for place in places
    ]
    for bucket in buckets:
        reads = tuple((kind, *place, bucket) for place in places)
        work = partial(_hand_on, reads=reads, bucket=bucket, buckets=len(buckets), write=write, table=table)
        tasks.append(Task(work, (table, *reads), ((product, bucket),)))
    return tasks


def _find(
    store: Store, *, kind: Kind, coarse: Coarse, pool: Callable[[np.ndarray, Triple], np.ndarray], place: Triple
) -> None:
    block = coarse.grid.block(place)
    box = block.owned if kind == "voxels" else block.grown(coarse.factors, (0, 0, 0))
    labels = pool(as_ids(store.read("source", box), "the segmentation"), coarse.factors)
    corner = triple(low // by for low, by in zip(box.low, coarse.factors, strict=True))
    found = voxels_of_segments(labels, corner) if kind == "voxels" else _surfaces(labels, corner, block.owned, coarse)
    for bucket, table in enumerate(pack(found, coarse.buckets)):
        store.save((kind, *place, bucket), table)


def _surfaces(labels: np.ndarray, corner: Triple, owned: Box, coarse: Coarse) -> dict:
    """Surfaces of a block, closed where the volume ends."""
    whole = coarse.grid.domain.box
    ends = [(int(own.start == all.start), int(own.stop == all.stop)) for own, all in zip(owned, whole, strict=True)]
    start = triple(low - before for low, (before, _) in zip(corner, ends, strict=True))
    return surfaces(np.pad(labels, ends), start)


def _hand_on(store: Store, *, reads: tuple[Key, ...], bucket: int, buckets: int, write: Write, table: Key) -> None:
    ids = store.load(table)["ids"]
    write(store, bucket, [store.load(key) for key in reads], ids[bucket_of(ids, buckets) == np.uint64(bucket)])
