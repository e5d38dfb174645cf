"""Tables of columns (region graphs, merge trees) as HDF5 files: one dataset a column, readable by any HDF5 reader."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.signals import signals_held
from clew.volumes.location import HDF5_SUFFIXES, normal_path
from clew.volumes.replace import refuse_existing, written_beside
from clew.volumes.save import record_of
from clew.volumes.volume import first_line

MARK = "clew_table"


@dataclass(frozen=True)
class Table:
    """Columns (arrays of any shape), what was recorded with them, and the kind of table."""

    columns: dict[str, NDArray[Any]]
    attributes: dict[str, Any]
    kind: str

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]


def save_table(
    path: str | os.PathLike[str],
    columns: Mapping[str, Any],
    attributes: Mapping[str, Any] | None = None,
    *,
    kind: str = "table",
    overwrite: bool = False,
) -> None:
    """Write named arrays to an HDF5 file, beside its name and renamed when whole.

    Parameters
    ----------
    path : must end in .h5 (or .hdf5, .hdf)
    columns : name → array of bool, integers or floats, any shape (empty arrays too)
    attributes : what to record; read again as `Table.attributes`
    kind : what the table is, for example "region graph"; `load_table` refuses another kind
    """
    from clew.volumes.hdf5 import created_file

    target = check_table_path(path, overwrite=overwrite)
    with written_beside(target, overwrite) as partial, created_file(partial) as (file, _):
        for name, values in columns.items():
            column = np.asarray(values)
            if column.dtype.kind not in "buif":
                raise InputError(f"{target}: column {name} holds {column.dtype}; wanted bool, integers or floats")
            packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if column.size > 1024 else {}
            with signals_held():
                file.create_dataset(name, data=column, **packed)
        with signals_held():
            file.attrs[MARK] = kind
            file.attrs["clew"] = json.dumps(record_of(attributes))


def load_table(path: str | os.PathLike[str], *, kind: str | None = None, columns: Sequence[str] = ()) -> Table:
    """Read a table whole; refuse a file that is no table of clew, of another kind, or lacks one of `columns`."""
    from clew.volumes.hdf5 import open_file

    name = os.fspath(path)
    if not Path(name).is_file():
        raise InputError(f"there is no file {name}")
    with open_file(name) as file:
        found = file.attrs.get(MARK)
        if found is None:
            raise InputError(f"{name} is not a table written by clew{f'; wanted a {kind}' if kind else ''}")
        if kind is not None and found != kind:
            raise InputError(f"{name} holds a {found}; wanted a {kind}")
        missing = [column for column in columns if column not in file]
        if missing:
            raise InputError(f"{name} lacks the columns {', '.join(missing)}; it is damaged or of another version")
        try:
            values = {column: file[column][()] for column in file}
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(f"{name} cannot be read: {first_line(error)}") from error
        return Table(values, json.loads(file.attrs.get("clew", "{}")), str(found))


def check_table_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """The path of a table to write; an InputError for another suffix or an existing file (unless `overwrite`)."""
    target = Path(normal_path(path))
    if target.suffix.lower() not in HDF5_SUFFIXES:
        raise InputError(f"{target}: a table is written as HDF5; end its name in .h5")
    refuse_existing(target, overwrite)
    if target.is_dir():
        raise InputError(f"{target} is a folder; it is not replaced")
    return target
