"""`clew info`: what clew understands of a file, line by line."""

from pathlib import Path

from clew.network.bundled import bundled_names, open_checkpoint
from clew.pipeline._declare import stage
from clew.pipeline._options import VoxelSize
from clew.pipeline._progress import say
from clew.space import Lengths
from clew.volumes.open import list_datasets, open_volume
from clew.volumes.tables import is_table, load_table


@stage
def info(path: str, *, voxel_size: VoxelSize) -> None:
    """Show what clew understands of a volume, a table or a checkpoint.

    Parameters
    ----------
    path
        Volume (OME-Zarr, zarr, N5, HDF5 as file.h5:dataset, TIFF, precomputed), region graph, merge tree or checkpoint.
    """
    rows = _rows(path, voxel_size.voxel_size)
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
    return volume.rows()


def _table_rows(path: str) -> list[tuple[str, str]]:
    if not is_table(path):
        return []
    table = load_table(path)
    columns = [(f"column {name}", f"{values.shape} {values.dtype}") for name, values in table.columns.items()]
    return [("table", table.kind), *columns, *((name, str(value)) for name, value in table.attributes.items())]


def _dataset_rows(path: str) -> list[tuple[str, str]]:
    return [(f"{path}:{row.name}", row.content) for row in list_datasets(path)]
