"""HDF5 files: `file.h5:volumes/raw`.

Voxel size and offset are the attributes `resolution` and `offset` of CREMI.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from clew.documents import parse_json, regular_file
from clew.errors import InputError
from clew.signals import signals_held
from clew.volumes.attributes import Coarse, attribute_geometry, scale_and_finest
from clew.volumes.formats.hdf5_dialects import Dialect, dialect, scale_key
from clew.volumes.formats.hdf5_links import Virtual, check_links, identity, open_dataset, walk
from clew.volumes.formats.hdf5_storage import is_numeric
from clew.volumes.formats.neuroproof import with_bodies
from clew.volumes.listing import DatasetRow, choose_dataset
from clew.volumes.recognition import what_is
from clew.volumes.volume import Layout, Stored, first_line

CACHE_BYTES = 64 << 20


def open_file(path: str) -> h5py.File:
    """Open for reading; whatever is wrong with the file is one InputError."""
    try:
        return h5py.File(regular_file(path), "r", rdcc_nbytes=CACHE_BYTES, rdcc_nslots=10007, locking="best-effort")
    except OSError as error:
        raise InputError(f"{path} cannot be read as HDF5: {_reason(path, first_line(error))}") from error


def _reason(path: str, text: str) -> str:
    """Why HDF5 did not open a file, with what to do."""
    if "lock file" in text:
        return "another program has it open for writing; close it there first"
    if "open for" in text:
        return f"another program is writing it, or did not close it well; if none is: h5clear --status {path}"
    if "signature not found" in text:
        return f"it is {what_is(path)}"
    return text.removeprefix("Unable to synchronously open file ").strip("()")


class OutputFile(io.RawIOBase):
    """A file that HDF5 writes to.

    After a refused write (a full disk) HDF5 can neither close the file nor end the process without a crash. So the
    first error is kept here, HDF5 goes on as if all were well, and `check` raises the error.
    """

    def __init__(self, path: Path):
        self._raw = open(path, "r+b" if path.exists() else "w+b", buffering=0)  # noqa: SIM115
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self._error is not None:
            raise self._error

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        done = 0
        try:
            while done < len(view):
                done += self._raw.write(view[done:]) or 0
        except OSError as error:
            self._error = self._error or error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        return self._raw.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def close(self) -> None:
        self._raw.close()
        super().close()


class WrittenDataset:
    """A dataset that is being written.

    An error of the disk is raised at the block that met it, and a signal after the block.
    """

    def __init__(self, array: Any, output: OutputFile):
        self._array = array
        self._output = output

    def __setitem__(self, selection: tuple[slice, ...], block: Any) -> None:
        with signals_held():
            self._array[selection] = block
        self._output.check()


@contextmanager
def created_file(path: Path, user_block: int | None = None) -> Iterator[tuple[h5py.File, OutputFile]]:
    """Open a new file, or an existing one to add to.

    An error of the disk is raised at the end at the latest.

    A new file may begin with a `user_block` of so many bytes (a power of two from 512 on), which HDF5 leaves alone.
    What writes to it must do so while signals are held.
    """
    mode = "r+" if path.exists() else "w"
    with OutputFile(path) as output:
        with ExitStack() as stack:
            with signals_held():
                file = h5py.File(output, mode, rdcc_nbytes=CACHE_BYTES, rdcc_nslots=10007, userblock_size=user_block)
                stack.callback(signals_held()(file.close))
            yield file, output
        output.check()


def list_hdf5(path: str) -> list[DatasetRow]:
    """The numeric datasets with 3 to 5 axes."""
    with open_file(path) as file:
        return _rows(file, path)


def open_hdf5(path: str, dataset: str) -> Stored:
    """Open a dataset; without a name, the only one in the file."""
    with ExitStack() as opened:
        file = opened.enter_context(open_file(path))
        try:
            stored = _stored_in(file, path, dataset)
        except InputError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError) as error:  # what HDF5 says of damaged files
            raise InputError(f"{path} cannot be read as HDF5: {first_line(error)}") from error
        opened.pop_all()
    return stored


def _stored_in(file: h5py.File, path: str, dataset: str) -> Stored:
    dataset = scale_key(file, dataset)
    check_links(file, dataset)
    key = choose_dataset(path, dataset, lambda: _rows(file, path, aliases=bool(dataset)), _is_dataset(file, dataset))
    warnings = check_links(file, key)
    levels = [read_attributes(node) for node in _upwards(file[key])]
    array = open_dataset(file, key)
    record = levels[0].get("clew")
    source = f"{path}:{key}"
    if array.shape is None or not is_numeric(array):
        raise InputError(f"{source} holds {_content(array)}; wanted bool, integers or floats")
    meant = dialect(file, key, array, source) or Dialect("HDF5", Virtual(array) if array.is_virtual else array)
    bodies = with_bodies(array, key, source)
    return Stored(
        array=meant.array if bodies is None else bodies,
        geometry=meant.geometry or attribute_geometry(levels, array.shape, source, coarse=_coarse(file, key)),
        format=meant.format,
        source=source,
        metadata={**levels[-1], **levels[0]},
        record=record if isinstance(record, Mapping) else {},
        chunks=array.chunks,
        warnings=(*warnings, *meant.warnings),
        notes=() if bodies is None else (bodies.note,),
        close=file.close,
    )


def read_attributes(node: Any) -> dict[str, Any]:
    """Attributes as plain Python values.

    JSON text of `clew` and `axistags` is decoded.
    """
    attributes = {}
    for name in node.attrs:
        try:
            value = node.attrs[name]
        except (OSError, TypeError, ValueError):  # a type that numpy does not know
            continue
        value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        if isinstance(value, list):
            value = [part.decode(errors="replace") if isinstance(part, bytes) else part for part in value]
        if name in ("clew", "axistags") and isinstance(value, str):
            try:
                value = parse_json(value, f"{node.file.filename}: attribute {name} of {node.name}")
            except InputError:
                continue
        attributes[name] = value
    return attributes


@contextmanager
def created_hdf5(path: Path, dataset: str, layout: Layout, record: Mapping[str, Any]) -> Iterator["WrittenDataset"]:
    """Add a dataset to a file, which is new or a copy of the old one.

    Its attributes are written at the end.
    """
    with created_file(path) as (file, output):
        with signals_held():
            if dataset in file:
                del file[dataset]
            array = file.create_dataset(
                dataset,
                shape=layout.shape,
                dtype=layout.dtype,
                chunks=layout.chunks,
                compression="gzip",
                compression_opts=1,
                shuffle=layout.dtype.itemsize > 1,
            )
        yield WrittenDataset(array, output)
        with signals_held():
            array.attrs["resolution"] = layout.voxel_size
            array.attrs["offset"] = layout.offset
            array.attrs["axes"] = layout.axes
            array.attrs["clew"] = json.dumps(record)


def check_dataset_free(path: Path, dataset: str, overwrite: bool) -> None:
    """Refuse a name that cannot be added to an existing file."""
    with open_file(str(path)) as file:
        check_links(file, dataset)
        parts = dataset.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        blocked = [name for name in above if isinstance(file.get(name), h5py.Dataset)]
        if blocked or isinstance(file.get(dataset), h5py.Group):
            name = blocked[0] if blocked else dataset
            raise InputError(f"{path}:{dataset} cannot be written: {name} is there already, as something else")
        if dataset in file and not overwrite:
            raise InputError(f"{path}:{dataset} exists already: choose another name or give --overwrite")


def _is_dataset(file: h5py.File, name: str) -> bool:
    return bool(name) and isinstance(file.get(name), h5py.Dataset)


def _rows(file: h5py.File, path: str, aliases: bool = True) -> list[DatasetRow]:
    """Datasets to choose from, and dead links.

    With `aliases` also further names of one dataset.
    """
    rows: dict[Any, DatasetRow] = {}
    try:
        for name, node in walk(file):
            if isinstance(node, InputError):
                rows[name] = DatasetRow(name, (), "", str(node))
            elif 3 <= len(node.shape or ()) <= 5 and is_numeric(node) and name[0] != "#":  # MATLAB's own
                row = DatasetRow(name, node.shape, str(node.dtype), _problem(file, name))
                rows.setdefault(name if aliases else identity(node), row)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be read as HDF5: {first_line(error)}") from error
    return sorted(rows.values(), key=lambda row: row.name.split("/"))


def _problem(file: h5py.File, name: str) -> str:
    try:
        check_links(file, name)
    except InputError as error:
        return str(error)
    return ""


def _content(dataset: h5py.Dataset) -> str:
    """What a dataset holds that is no array of numbers."""
    if dataset.shape is None:
        return "nothing"
    try:
        return str(dataset.dtype)
    except TypeError as error:
        return f"a type that is not read ({error})"


def _coarse(file: h5py.File, key: str) -> Coarse | None:
    """What the finest scale says, for a coarser one."""
    group, _, name = key.rpartition("/")
    found = scale_and_finest(name)
    finest = f"{group}/{found[1]}" if found else ""
    if found is None or not _is_dataset(file, finest):
        return None
    return Coarse(found[0], read_attributes(file[finest]), file[finest].shape or ())


def _upwards(node: Any) -> Iterator[Any]:
    yield node
    while node.name != "/":
        node = node.parent
        yield node
