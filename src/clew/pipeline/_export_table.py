"""The table of segments: ids, names, a point inside, sizes, and nuclei."""

import csv
import io
from functools import partial
from math import prod
from typing import Any

from clew.arrays import as_ids
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.blockwise.store import Key
from clew.blockwise.tasks import Task, keys
from clew.documents import regular_file
from clew.errors import InputError
from clew.export.in_blocks import TABLE, load_rows, row_tasks
from clew.export.table_lines import COLUMNS, nuclei_of_segments, shared_voxels, table_lines
from clew.labels import check_label_kind
from clew.pipeline._block_run import BlockWork
from clew.pipeline._declare import Record
from clew.pipeline._export_source import ExportSource
from clew.pipeline._files import cover, refuse_lossy
from clew.space import Lengths, Triple, triple
from clew.volumes.run_store import FileStore
from clew.volumes.shared_files import SharedFiles

BYTES_A_VOXEL = 60
"""Memory of a worker for each voxel of a block, at most."""
FILE = "segments.csv"
LARGEST_ID = 2**64 - 1


def lay_out_table(source: ExportSource) -> BlockWork:
    """Lay the run out; nothing is written."""
    shape = even_blocks(source.shape)
    grid = Grid(Domain.whole(source.shape), shape)
    inputs, places = {"source": source.path}, {}
    if source.beside.nuclei:
        nuclei, box = cover(source.beside.nuclei, source.volume)
        check_label_kind(nuclei, source.beside.nuclei)
        refuse_lossy(nuclei)
        inputs["nuclei"], places["nuclei"] = source.beside.nuclei, triple(-low for low in box.low)
    outputs = {"table": SharedFiles(source.target("table"), "", source.lists("table"))}
    store = FileStore(source.folder / "tables", inputs, outputs, source.voxel_size, places)
    tasks, reads = (
        row_tasks(grid, source.options.minimum_size),
        keys("nuclei", grid.places() if source.beside.nuclei else ()),
    )
    tasks += [Task(partial(_share, grid=grid, place=triple(key[1:])), (), (key,)) for key in reads]  # type: ignore[arg-type]
    write = partial(
        _write,
        reads=reads,
        voxel_size=source.voxel_size,
        offset=source.volume.offset,
        names=read_names(source.beside.segment_names),
    )
    tasks.append(Task(write, (TABLE, *reads), (("table", 0),)))
    return BlockWork(
        source.folder, store, tasks, (source.volume,), prod(source.shape), BYTES_A_VOXEL * prod(shape), _nothing
    )


def read_names(path: str | None) -> dict[int, str]:
    """Names of segments by id, from a CSV file with the columns `id` and `name`.

    Raises
    ------
    InputError
        For a file that is none, and an id with two names.
    """
    if path is None:
        return {}
    with regular_file(path).open(newline="", encoding="utf-8-sig") as file:
        rows, names = csv.DictReader(file), dict[int, str]()
        try:
            for row in rows:
                id, name = int(row["id"]), row["name"] or ""
                if not 0 < id <= LARGEST_ID:
                    raise ValueError(f"{id} is not from 1 to {LARGEST_ID}")
                if names.setdefault(id, name) != name:
                    raise ValueError(f"{id} has two names, {names[id]!r} and {name!r}")
            return names
        except (KeyError, TypeError, ValueError, csv.Error, UnicodeDecodeError) as error:
            raise InputError(
                f"{path} must be a CSV file with the columns id and name, ids whole numbers; line {rows.line_num}: {error}"
            ) from error


def _share(store: Any, *, grid: Grid, place: Triple) -> None:
    box = grid.block(place).owned
    labels, nuclei = (as_ids(store.read(name, box), name) for name in ("source", "nuclei"))
    store.save(("nuclei", *place), shared_voxels(labels, nuclei))


def _write(store: Any, *, reads: tuple[Key, ...], voxel_size: Lengths, offset: Lengths, names: dict[int, str]) -> None:
    nuclei = nuclei_of_segments([store.load(key) for key in reads])
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(table_lines(load_rows(store), voxel_size, offset, names, nuclei))
    store.outputs["table"].put(0, {FILE: text.getvalue().encode()})


def _nothing(record: Record) -> None:
    """The table is whole when it is there."""
