"""What clew understands of a file, line by line."""

from pathlib import Path

from clew.space import Lengths
from clew.volumes.open import list_datasets, open_volume


def describe(path: str, voxel_size: Lengths | None = None) -> list[str]:
    """Lines about a checkpoint, a table or a volume, chosen by what the path is."""
    rows = _rows(path, voxel_size)
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def _rows(path: str, voxel_size: Lengths | None) -> list[tuple[str, str]]:
    from clew.network.bundled import bundled_names

    if path.endswith(".pt") or path in bundled_names():
        from clew.network.bundled import open_checkpoint

        return open_checkpoint(path).rows()
    if Path(path).is_file() and path.endswith(".h5"):
        return _table_rows(path) or _dataset_rows(path) or open_volume(path).rows()
    return open_volume(path, voxel_size=voxel_size).rows()


def _table_rows(path: str) -> list[tuple[str, str]]:
    from clew.volumes.tables import is_table, load_table

    if not is_table(path):
        return []
    table = load_table(path)
    columns = [(f"column {name}", f"{values.shape} {values.dtype}") for name, values in table.columns.items()]
    return [("table", table.kind), *columns, *((name, str(value)) for name, value in table.attributes.items())]


def _dataset_rows(path: str) -> list[tuple[str, str]]:
    return [(f"{path}:{row.name}", f"{row.shape} {row.dtype}") for row in list_datasets(path)]
