"""Meshes and skeletons of segments: files, or folders of a precomputed volume."""

import json
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from math import prod
from typing import Any, Literal

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.blockwise.store import Table
from clew.blockwise.tasks import Task
from clew.errors import InputError
from clew.export.in_blocks import TABLE, row_tasks
from clew.export.mesh_files import mesh_file
from clew.export.multiresolution import mesh_info, multiresolution
from clew.export.shards import Entry, shard_bytes, shard_file, sharding
from clew.export.skeleton_files import RADIUS, nml_file, precomputed_skeleton, swc_file
from clew.meshes.in_blocks import Coarse, coarse_voxels, segment_tasks
from clew.meshes.pieces import unpack
from clew.meshes.skeletons import Skeleton, skeleton_of
from clew.meshes.surfaces import Surface, join_surfaces, placed, simplified
from clew.pipeline._block_run import BlockWork
from clew.pipeline._declare import Record
from clew.pipeline._export_source import ExportSource
from clew.space import Lengths, triple
from clew.volumes.location import write_bytes
from clew.volumes.pyramid import pool
from clew.volumes.run_store import FileStore
from clew.volumes.shared_files import SharedFiles, SharedFolder
from clew.volumes.shared_precomputed import INFO

Kind = Literal["meshes", "skeletons"]
FOLDERS = {"meshes": "mesh", "skeletons": "skeletons"}
"""In a precomputed volume, and its keys in `info`."""
NEEDED = {"meshes": ("fast_simplification", "DracoPy"), "skeletons": ("bioimage_cpp",)}
"""Packages of the extra `export`."""
BYTES_A_VOXEL = 60
"""Memory of a worker for each voxel of a block, at most."""


@dataclass(frozen=True)
class Writer:
    """Makes the files of segments; it can be pickled.

    Parameters
    ----------
    kind : str
        `meshes` or `skeletons`.
    format : str
        Of the files, or `precomputed`.
    coarse : Coarse
    voxel_size, offset : (z, y, x) floats
        Of the volume, in nm.
    """

    kind: Kind
    format: str
    coarse: Coarse
    voxel_size: Lengths
    offset: Lengths

    def __call__(self, store: Any, bucket: int, tables: list[Table], ids: np.ndarray) -> None:
        make = self._surface if self.kind == "meshes" else self._skeleton
        found = ((id, make(pieces)) for id, pieces in unpack(tables, ids))
        store.outputs[self.kind].put(bucket, self._sharded(found, bucket) if self.format == "precomputed" else
                                     {f"{id}.{self.format}": self._file(id, shape) for id, shape in found})  # fmt: skip

    @property
    def origin(self) -> Lengths:
        """The centre of the first coarse voxel.

        Precomputed counts from the corner of the first voxel on.
        """
        more = 0.5 if self.format == "precomputed" else 0
        return triple(o + more * s for o, s in zip(self.coarse.offset, self.voxel_size, strict=True))

    def _surface(self, pieces: list[Any]) -> Surface:
        surface = join_surfaces([Surface(*piece) for piece in pieces])
        return simplified(placed(surface, self.coarse.voxel_size, self.origin))

    def _skeleton(self, pieces: list[Any]) -> Skeleton:
        return skeleton_of(np.concatenate([voxels for (voxels,) in pieces]), self.coarse.voxel_size, self.origin)

    def _file(self, id: int, shape: Any) -> bytes:
        if self.format == "swc":
            return swc_file(shape, str(id))
        if self.format == "nml":
            return nml_file(shape, str(id), self.voxel_size, self.offset)
        return mesh_file(shape, str(id), self.format)

    def _sharded(self, found: Any, bucket: int) -> dict[str, bytes]:
        if self.kind == "meshes":
            entries = {id: multiresolution(surface, min(self.coarse.voxel_size)) for id, surface in found}
        else:
            entries = {id: Entry(b"", precomputed_skeleton(skeleton)) for id, skeleton in found}
        return {shard_file(bucket, self.coarse.buckets): shard_bytes(entries)}


def shape_tasks(source: ExportSource, kind: Kind, format: str, grid: Grid) -> list[Task]:
    """Tasks that make the meshes or skeletons of all segments of the table."""
    refuse_missing_packages(kind)
    coarse = coarse_voxels(grid, source.voxel_size, source.volume.offset, source.options.detail)
    write = Writer(kind, format, coarse, source.voxel_size, source.volume.offset)
    return segment_tasks("surfaces" if kind == "meshes" else "voxels", coarse, pool, write, TABLE, kind)


def refuse_missing_packages(kind: Kind) -> None:
    """Refuse what needs packages that are not installed."""
    missing = [name for name in NEEDED[kind] if find_spec(name) is None]
    if missing:
        raise InputError(f"{kind} need {' and '.join(missing)}, not installed with clew: pip install 'clew[export]'")


def shared_shapes(source: ExportSource, kind: Kind, path: str) -> dict[str, SharedFiles]:
    """The folder in a precomputed volume, by its key in the store."""
    return {kind: SharedFiles(path, FOLDERS[kind], source.lists(kind))}


def lay_out_files(source: ExportSource) -> BlockWork:
    """Lay a run out that writes a file for each segment; nothing is written."""
    kind: Kind = "skeletons" if source.options.format in ("swc", "nml") else "meshes"
    shape = even_blocks(source.shape)
    grid = Grid(Domain.whole(source.shape), shape)
    files = SharedFolder(source.target(source.options.format), "", source.lists(kind))
    store = FileStore(source.folder / "tables", {"source": source.path}, {kind: files}, source.voxel_size)
    tasks = row_tasks(grid, source.options.minimum_size) + shape_tasks(source, kind, source.options.format, grid)
    return BlockWork(
        source.folder, store, tasks, (source.volume,), prod(source.shape), BYTES_A_VOXEL * prod(shape),
        partial(finish_folder, files),
    )  # fmt: skip


def finish_folder(files: SharedFolder, record: Record) -> None:
    """Give the folder of the files its name."""
    files.finish()


def write_info(path: str, kind: Kind, shards: int) -> None:
    """Write the file `info` of a folder of a precomputed volume."""
    found = mesh_info(sharding(shards)) if kind == "meshes" else _skeleton_info(shards)
    write_bytes(path, INFO, json.dumps(found, indent=1).encode())


def _skeleton_info(shards: int) -> dict[str, Any]:
    return {
        "@type": "neuroglancer_skeletons", "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], "vertex_attributes": RADIUS,
        "sharding": sharding(shards),
    }  # fmt: skip
