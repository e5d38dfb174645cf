"""Sections as TIFF files for Fiji, and the file of a CREMI submission."""

from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from clew.arrays import as_ids
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.blockwise.tasks import Task
from clew.export.in_blocks import TABLE, row_tasks
from clew.pipeline._block_run import BlockWork
from clew.pipeline._declare import Record
from clew.pipeline._export_segments import finish_folder
from clew.pipeline._export_source import ExportSource
from clew.replace import written_beside
from clew.segmentation.relabel import relabel
from clew.space import Box, Lengths, Triple
from clew.volumes.formats.cremi import CREMI_LAYOUT
from clew.volumes.formats.tiff_sections import section_file
from clew.volumes.run_store import FileStore
from clew.volumes.save import boxes, create_volume
from clew.volumes.shared_files import SharedFiles, SharedFolder

BYTES_A_VOXEL = 40
"""Memory of a worker for each voxel of a block, at most."""
SLAB_BYTES = 1 << 30
"""Of the sections that one task writes, as uint64."""
CHUNK = 64
"""Sections that one task writes, at most."""
CREMI_FILE, CREMI_VERSION = "submission.h5", "0.2"
"""Name, and the version that the scripts of the challenge want."""


def lay_out_tiff(source: ExportSource) -> BlockWork:
    """Lay the run out that writes a file for each section; nothing is written."""
    grid = Grid(Domain.whole(source.shape), even_blocks(source.shape))
    depth, height, width = source.shape
    step = max(1, min(CHUNK, depth, SLAB_BYTES // (8 * height * width)))
    files = SharedFolder(source.target("tiff"), "", source.lists("tiff"))
    store = _store(source, "tiff", files)
    tasks = row_tasks(grid, 0)
    for number in range(-(-depth // step)):
        box = Box.between((number * step, 0, 0), (min((number + 1) * step, depth), height, width))
        work = partial(_write_sections, number=number, box=box, voxel_size=source.voxel_size)
        tasks.append(Task(work, (TABLE,), (("tiff", number),)))
    needed = BYTES_A_VOXEL * max(prod(grid.block_shape), step * height * width)
    return BlockWork(
        source.folder, store, tasks, (source.volume,), prod(source.shape), needed, partial(finish_folder, files)
    )


def lay_out_cremi(source: ExportSource) -> BlockWork:
    """Lay the run out that writes one file; nothing is written."""
    target = source.target("cremi")
    store = _store(source, "cremi", SharedFiles(target, "", source.lists("cremi")))
    work = partial(
        _write_cremi,
        path=Path(target) / CREMI_FILE,
        shape=source.shape,
        voxel_size=source.voxel_size,
        offset=source.volume.offset,
    )
    tasks = [Task(work, (), (("cremi", 0),))]
    return BlockWork(source.folder, store, tasks, (source.volume,), prod(source.shape), SLAB_BYTES, _nothing)


def _store(source: ExportSource, name: str, files: SharedFiles) -> FileStore:
    return FileStore(source.folder / "tables", {"source": source.path}, {name: files}, source.voxel_size)


def _write_sections(store: Any, *, number: int, box: Box, voxel_size: Lengths) -> None:
    """Write sections with the places of ids in the table, from 1 on.

    Ids themselves do not fit.
    """
    ids = store.load(TABLE)["ids"]
    numbers = np.arange(1, len(ids) + 1, dtype=np.uint64)
    dtype = np.uint16 if len(ids) <= np.iinfo(np.uint16).max else np.uint32
    labels = relabel(as_ids(store.read("source", box), "the segmentation"), ids, numbers).astype(dtype)
    files = {
        f"section_{z:06d}.tif": section_file(labels[z - box.z.start], voxel_size)
        for z in range(box.z.start, box.z.stop)
    }
    if number == 0:
        rows = (f"{place},{id}" for place, id in enumerate(ids.tolist(), 1))
        files["ids.csv"] = "\n".join(["value,id", *rows, ""]).encode()
    store.outputs["tiff"].put(number, files)


def _write_cremi(store: Any, *, path: Path, shape: Triple, voxel_size: Lengths, offset: Lengths) -> None:
    import h5py

    dataset = CREMI_LAYOUT[1]
    with written_beside(path, overwrite=True) as partial_path:
        with create_volume(
            f"{partial_path}:{dataset}", shape=shape, dtype=np.uint64, voxel_size=voxel_size, offset=offset
        ) as volume:
            for box in boxes(shape, volume.chunks, volume.dtype.itemsize):
                volume[box] = as_ids(store.read("source", Box(*box)), "the segmentation")
        with h5py.File(partial_path, "r+") as file:
            file.attrs["file_format"] = CREMI_VERSION
    store.outputs["cremi"].note(0, [CREMI_FILE])


def _nothing(record: Record) -> None:
    """The file is whole when it is there."""
