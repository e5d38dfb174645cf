"""`clew info`: what clew understands of a file, line by line."""

import shlex
from math import prod
from pathlib import Path

import numpy as np

from clew.errors import InputError
from clew.grey import sample_pieces
from clew.network.bundled import bundled_names, open_checkpoint
from clew.pipeline._declare import stage
from clew.pipeline._options import Sections, VoxelSize
from clew.pipeline._progress import say
from clew.space import Lengths
from clew.volumes.listing import DatasetRow
from clew.volumes.open import list_datasets, open_volume
from clew.volumes.tables import is_table, load_table
from clew.volumes.volume import Volume


@stage
def info(path: str, *, voxel_size: VoxelSize, sections: Sections) -> None:
    """Show what clew understands of a volume, a table or a checkpoint.

    Parameters
    ----------
    path
        Volume (OME-Zarr, zarr, N5, HDF5 as file.h5:dataset, TIFF, precomputed), region graph, merge tree or checkpoint.
    """
    rows = _rows(sections.address(path), voxel_size.voxel_size)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"{name:<{width}}  {value}")


def _rows(path: str, voxel_size: Lengths | None) -> list[tuple[str, str]]:
    if path.endswith(".pt") or path in bundled_names():
        return open_checkpoint(path).rows()
    if Path(path).is_file() and path.endswith(".h5"):
        return _table_rows(path) or _dataset_rows(path) or _volume_rows(path, voxel_size)
    return _volume_rows(path, voxel_size)


def _volume_rows(path: str, voxel_size: Lengths | None) -> list[tuple[str, str]]:
    volume = open_volume(path, voxel_size=voxel_size)
    volume.probe()
    return volume.rows() + _number_rows(volume)


def _number_rows(volume: Volume) -> list[tuple[str, str]]:
    """How many values of a sample are no numbers, and which the first is."""
    if volume.dtype.kind != "f":
        return []
    bad = total = 0
    for piece in sample_pieces(volume):
        bad, total = bad + int(np.count_nonzero(~np.isfinite(piece))), total + piece.size
    looked = "all" if total == prod(volume.shape) else "a sample"
    mend = f"clew convert {shlex.quote(volume.source)} OUT.zarr --fill 0 puts 0 in their place"
    return [("warning", f"{bad / total:.1%} of {looked} {total:,} values are NaN or infinite; {mend}")] if bad else []


def _table_rows(path: str) -> list[tuple[str, str]]:
    if not is_table(path):
        return []
    table = load_table(path)
    columns = [(f"column {name}", f"{values.shape} {values.dtype}") for name, values in table.columns.items()]
    return [("table", table.kind), *columns, *((name, str(value)) for name, value in table.attributes.items())]


def _dataset_rows(path: str) -> list[tuple[str, str]]:
    return [found for row in list_datasets(path) for found in _dataset(f"{path}:{row.name}", row)]


def _dataset(address: str, row: DatasetRow) -> list[tuple[str, str]]:
    """A dataset in a list, with what keeps it from being read."""
    if row.problem:
        return [(address, row.problem)]
    try:
        with open_volume(address, voxel_size=(1, 1, 1), offset=(0, 0, 0)) as volume:  # they are not shown
            volume.probe()
            return [(address, row.content), *(("warning", text) for text in volume.noticed)]
    except InputError as error:
        return [(address, f"{row.content}; {error}")]
