"""Where tasks find what other tasks wrote: tables by key, volumes by name."""

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.rows import Rows, even_parts
from clew.errors import InputError
from clew.replace import written_whole
from clew.space import Box

Key = tuple[str | int, ...]
"""What a task writes, e.g. ("forest", level, z, y, x)."""
Table = dict[str, np.ndarray]
Record = TypeVar("Record")
AGAIN = "clew retry makes it again; if that does not help, the same command with --restart does"


def task_name(key: Key) -> str:
    """Name of a task by the first key that it writes: its stage, then the rest."""
    return f"{key[0]}/{'-'.join(map(str, key[1:])) or 'all'}"


class DamagedError(InputError):
    """What a task of the run wrote can no longer be read: it has to run again."""


class Store(Protocol):
    """What a task may read from and write to.

    Tables and boxes are written once, by one task each; writing the same again is allowed.
    """

    def load(self, key: Key) -> Table:
        """A table that was saved."""

    def save(self, key: Key, table: Mapping[str, np.ndarray]) -> None:
        """Keep a table, whole or not at all."""

    def rows(self, key: Key) -> Iterator[Rows]:
        """Rows of a table that was saved by `save_rows`, some at a time."""

    def save_rows(self, key: Key, parts: Iterable[Rows]) -> None:
        """Keep a table that may be too long for memory, whole or not at all."""

    def read(self, volume: str, box: Box) -> np.ndarray:
        """Values (..., z, y, x) of a box, in coordinates of the whole volume."""

    def write(self, volume: str, box: Box, values: np.ndarray) -> None:
        """Values of a box into a volume."""


class LastingStore(Store, Protocol):
    """A store that outlives the run, and in which things can be lost or damaged."""

    def holds(self, key: Key) -> bool:
        """Whether what was written under a key is there and undamaged."""


class MemoryStore:
    """Everything in memory, for threads.

    Parameters
    ----------
    domain : Domain
        Where the first voxel of the volumes lies.
    volumes : mapping of str to arrays
        Arrays, or anything that is sliced like one, (..., z, y, x) of the domain, by name.
    """

    def __init__(self, domain: Domain, volumes: Mapping[str, Any]) -> None:
        self.tables: dict[Key, Table] = {}
        self.volumes = dict(volumes)
        self._box = domain.box

    def load(self, key: Key) -> Table:
        return self.tables[key]

    def save(self, key: Key, table: Mapping[str, np.ndarray]) -> None:
        self.tables[key] = dict(table)

    def rows(self, key: Key) -> Iterator[Rows]:
        yield from self.tables[key].values()

    def save_rows(self, key: Key, parts: Iterable[Rows]) -> None:
        self.tables[key] = {str(number): part for number, part in enumerate(even_parts(parts))}

    def read(self, volume: str, box: Box) -> np.ndarray:
        return np.asarray(self.volumes[volume][(..., *box.within(self._box))])

    def write(self, volume: str, box: Box, values: np.ndarray) -> None:
        self.volumes[volume][(..., *box.within(self._box))] = values


class TableFolder:
    """Tables as files of a folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: Key) -> Table:
        return read_table(self._file(key))

    def save(self, key: Key, table: Mapping[str, np.ndarray]) -> None:
        with written_whole(self._file(key)) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(table))

    def rows(self, key: Key) -> Iterator[Rows]:
        return (part for _, part in read_parts(self._file(key)))

    def save_rows(self, key: Key, parts: Iterable[Rows]) -> None:
        with written_whole(self._file(key)) as partial, zipfile.ZipFile(partial, "w") as archive:
            for number, part in enumerate(even_parts(parts)):
                with archive.open(f"{number}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, part, allow_pickle=False)

    def holds(self, key: Key) -> bool:
        try:
            for _ in read_parts(self._file(key)):
                pass
        except DamagedError:
            return False
        return True

    def _file(self, key: Key) -> Path:
        return self.folder / f"{task_name(key)}.npz"


def read_table(file: Path) -> Table:
    """The arrays in a file, by name, each checked against its checksum."""
    return dict(read_parts(file))


def read_parts(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The same, one array after the other."""
    try:
        with np.load(file) as table:
            for name in table.files:
                yield name, table[name]
    except (zipfile.BadZipFile, EOFError, ValueError, LookupError, RuntimeError, OSError) as error:
        raise DamagedError(f"{file} is missing or damaged ({error}): {AGAIN}") from error


def as_table(record: Any) -> Table:
    """The arrays of a record (a dataclass or named tuple), by name."""
    names = [field.name for field in fields(record)] if is_dataclass(record) else record._fields
    return {name: getattr(record, name) for name in names}


def as_record(kind: type[Record], table: Mapping[str, np.ndarray]) -> Record:
    """The record of a table."""
    return kind(**table)
