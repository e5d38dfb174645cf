"""Arrays of numpy: `.npy`, and `.npz` with one array or `file.npz:name`."""

import zipfile
from typing import Any

import numpy as np

from clew.documents import regular_file
from clew.errors import InputError
from clew.memory import refuse_beyond_memory
from clew.volumes.geometry import Geometry, default_axes
from clew.volumes.listing import DatasetRow, choose_dataset
from clew.volumes.recognition import reason
from clew.volumes.volume import Stored, first_line

SUFFIXES = (".npy", ".npz")


def open_numpy(path: str, dataset: str) -> Stored:
    """Open an array of numpy; `.npy` is mapped into memory, `.npz` read whole.

    Neither says axes or voxel size: the axes are (t, c, z, y, x) from the right.
    """
    regular_file(path)
    source = path
    try:
        if path.lower().endswith(".npz"):
            array, source = _member(path, dataset)
        else:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # numpy reads the header as Python, and raises what that raises
        why = reason(path, first_line(error), "a numpy array", "a zip")
        raise InputError(f"{path} cannot be read as an array of numpy: {why}") from error
    geometry = Geometry(default_axes(array.shape, source), source="an array of numpy carries none")
    return Stored(array, geometry, "numpy", source)


def _member(path: str, dataset: str) -> tuple[Any, str]:
    """The array of a name, or the only one with 3 to 5 axes."""
    with np.load(path, allow_pickle=False) as file, zipfile.ZipFile(path) as archive:

        def rows() -> list[DatasetRow]:
            headers = {name: _header(archive, name) for name in file.files}
            return [
                DatasetRow(name, shape, str(kind)) for name, (shape, kind) in headers.items() if 3 <= len(shape) <= 5
            ]

        key = choose_dataset(path, dataset, rows, dataset in file.files)
        size = archive.getinfo(f"{key}.npy").file_size
        refuse_beyond_memory(size, f"to read {path}:{key}", "write it as .npy, which is read in parts")
        return file[key], f"{path}:{key}"


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open(f"{name}.npy") as member:
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, kind = read[np.lib.format.read_magic(member)[0]](member)
    return shape, kind
