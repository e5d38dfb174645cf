"""Tables of columns (region graphs, merge trees) as HDF5 files.

There is one dataset for each column, which any HDF5 reader can read.

The file begins with a line of text that holds the checksum of all the rest, in what HDF5 calls a user block. It is compared
before HDF5 reads the file: HDF5 checks no attributes and no short columns, and a wrong bit can make it read for ever.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.documents import brief, parse_json, regular_file
from clew.errors import InputError
from clew.replace import refuse_existing, written_beside
from clew.signals import signals_held
from clew.volumes.location import HDF5_SUFFIXES, normal_path
from clew.volumes.save import record_of
from clew.volumes.volume import first_line

MARK = "clew_table"
SEAL = b"clew table, CRC-32 of the bytes from 512 on: "
LARGEST_RATIO = 2000
"""How much smaller gzip and shuffling make a column at most: gzip alone makes zeros 1032 times smaller."""
USER_BLOCK = 512
"""Bytes before the HDF5 file proper; the smallest number that HDF5 allows."""


@dataclass(frozen=True)
class Table:
    """Columns (arrays of any shape), what was recorded with them, and a kind."""

    columns: dict[str, NDArray[Any]]
    attributes: dict[str, Any]
    kind: str

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]


@dataclass(frozen=True)
class LongColumn:
    """A column that may be too long for memory.

    Its dtype and shape, and a way to go through its values, some rows at a time.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: Callable[[], Iterator[NDArray[Any]]]


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
    path : str or Path
        It must end in .h5 (or .hdf5, .hdf).
    columns : mapping of str to arrays
        Arrays of bool, integers or floats of any shape (empty arrays too), or `LongColumn`, by name.
    attributes : mapping, optional
        What to record; read again as `Table.attributes`, with an `id` that equal columns have, too.
    kind : str
        What the table is, for example "region graph"; `load_table` refuses another kind.
    overwrite : bool
        Replace an existing file.
    """
    from clew.volumes.formats.hdf5 import created_file

    target = check_table_path(path, overwrite=overwrite)
    with written_beside(target, overwrite) as partial:
        with created_file(partial, USER_BLOCK) as (file, _):
            content = hashlib.blake2b(kind.encode(), digest_size=16)
            for name, values in columns.items():
                column = values if isinstance(values, LongColumn) else _held(np.asarray(values))
                if column.dtype.kind not in "buif":
                    raise InputError(f"{target}: column {name} holds {column.dtype}; wanted bool, integers or floats")
                content.update(f"{name} {column.dtype.str} {column.shape}".encode())
                _write_column(file, name, column, content)
            with signals_held():
                file.attrs[MARK] = kind
                file.attrs["clew"] = json.dumps(record_of(attributes, content.hexdigest()))
        with partial.open("r+b") as sealed:
            sealed.write(_seal_of(partial))


def load_table(path: str | os.PathLike[str], *, kind: str | None = None, columns: Sequence[str] = ()) -> Table:
    """Read a whole table.

    Refused are a file that is no table of clew, a damaged one, one of another kind, and one that lacks one of
    `columns`.

    A table of an earlier version of clew has no checksum and is read without.
    """
    from clew.volumes.formats.hdf5 import open_file
    from clew.volumes.formats.hdf5_links import check_links

    name = os.fspath(path)
    regular_file(name)
    sealed = _is_sealed(name)
    with open_file(name) as file:
        found = file.attrs.get(MARK)
        if found is None:
            raise InputError(f"{name} is not a table written by clew{f'; wanted a {kind}' if kind else ''}")
        if not isinstance(found, str) or kind not in (None, found):
            raise InputError(
                f"{name} holds a {found if isinstance(found, str) else brief(found)}; wanted a {kind or 'table'}"
            )
        if (file.userblock_size and not sealed) or "clew" not in file.attrs:
            raise _damaged(name)
        try:
            missing = [column for column in columns if column not in file]
            if missing:
                raise InputError(f"{name} lacks the columns {', '.join(missing)}; it is damaged or of another version")
            for column in file:
                check_links(file, column)
            values = {column: _column(file[column], f"{name}:{column}") for column in file}
        except InputError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{name} cannot be read: {first_line(error)}") from error
        return Table(values, parse_json(_text(file.attrs["clew"]), f"{name}: its attribute clew"), found)


def is_table(path: str) -> bool:
    """Tell whether a file is a table written by clew, damaged or not."""
    from clew.volumes.formats.hdf5 import open_file

    with regular_file(path).open("rb") as start:
        if start.read(len(SEAL)) == SEAL:
            return True
    with open_file(path) as file:
        return MARK in file.attrs


def table_record(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What was recorded with a table, without reading its columns.

    None for a file that is no table of clew.
    """
    from clew.volumes.formats.hdf5 import open_file

    name = os.fspath(path)
    _is_sealed(name)
    with open_file(name) as file:
        if MARK not in file.attrs:
            return None
        if "clew" not in file.attrs:
            raise _damaged(name)
        return dict(json.loads(file.attrs["clew"]))


def check_table_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """The path of a table to write.

    An InputError refuses another suffix, and an existing file unless `overwrite`.
    """
    target = Path(normal_path(path))
    if target.suffix.lower() not in HDF5_SUFFIXES:
        raise InputError(f"{target}: a table is written as HDF5; end its name in .h5")
    refuse_existing(target, overwrite)
    if target.is_dir():
        raise InputError(f"{target} is a folder; it is not replaced")
    return target


def _held(values: NDArray[Any]) -> LongColumn:
    return LongColumn(values.dtype, values.shape, lambda: iter([values]))


def _write_column(file: Any, name: str, column: LongColumn, content: Any) -> None:
    """Write a column, some rows at a time, and add them to the hash `content`."""
    long = prod(column.shape) > 1024
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if long else {}
    with signals_held():
        dataset = file.create_dataset(name, column.shape, column.dtype, **packed)
    start = 0
    for part in column.parts():
        content.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        with signals_held():
            if column.shape:
                dataset[start : start + len(part)] = part
                start += len(part)
            else:
                dataset[()] = part
    with signals_held():
        del dataset  # HDF5 writes what it still holds of it


def _column(dataset: Any, source: str) -> NDArray[Any]:
    """A column as an array.

    An InputError refuses what is none, or claims to be larger than the file can hold.
    """
    if not isinstance(getattr(dataset, "shape", None), tuple) or dataset.dtype.kind not in "buif" or dataset.is_virtual:
        raise InputError(f"{source} is no column of numbers: the table is damaged or was made by another program")
    if dataset.nbytes > LARGEST_RATIO * max(dataset.id.get_storage_size(), 1):
        raise InputError(f"{source} says it has {dataset.nbytes} bytes, and stores {dataset.id.get_storage_size()}")
    values: NDArray[Any] = dataset[()]
    return values


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_sealed(path: str) -> bool:
    """Tell whether a file begins with a checksum.

    An InputError refuses a checksum that is not that of the rest.
    """
    with open(path, "rb") as file:
        head = file.read(USER_BLOCK)
    if not head.startswith(SEAL):
        return False
    if head != _seal_of(path):
        raise _damaged(path)
    return True


def _seal_of(path: str | os.PathLike[str]) -> bytes:
    """The user block of a table.

    Its first line holds the checksum of what follows the block.
    """
    checksum = 0
    with open(path, "rb") as file:
        file.seek(USER_BLOCK)
        while part := file.read(1 << 20):
            checksum = zlib.crc32(part, checksum)
    return (SEAL + b"%08x\n" % checksum).ljust(USER_BLOCK, b"\0")


def _damaged(path: str) -> InputError:
    return InputError(f"{path} is damaged, or was changed by another program: its checksum differs; make it again")
