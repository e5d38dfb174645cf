"""MRC files of electron microscopy, also packed as .gz or .bz2."""

import bz2
import gzip
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.documents import regular_file
from clew.errors import InputError
from clew.space import Lengths, triple
from clew.volumes.geometry import NANOMETERS, Geometry
from clew.volumes.recognition import reason
from clew.volumes.volume import Stored, first_line

SUFFIXES = (".mrc", ".rec", ".map", ".st", ".ali")
PACKED = (".gz", ".bz2")
DTYPES: dict[int, Any] = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}
"""Modes with one number a voxel; 3 and 4 are complex."""
FOUR_BITS = 101
"""Mode of IMOD with two voxels a byte, the first in the lower half; rows begin with a byte."""
IMOD, SIGNED = 1146047817, 1
"""Mark of files of IMOD, and the flag of those whose bytes of mode 0 are signed."""


BYTES = (
    "bytes of MRC are signed (-128 to 127), as the format says; if bright voxels are negative here, the program meant 0 to 255: "
    "write it again with IMOD (newstack -mode 0)"
)

UNIT = "its header says voxels of 1 Å, as programs do that know no size: give --voxel-size z,y,x in nm unless they are"


class FourBits:
    """Sections of numbers 0 to 15, two a byte."""

    def __init__(self, packed: NDArray[np.uint8], width: int):
        self._packed = packed
        self.shape: tuple[int, ...] = (*packed.shape[:-1], width)
        self.dtype: np.dtype = np.dtype(np.uint8)

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[np.uint8]:
        rows = np.asarray(self._packed[selection[:-1]])
        both = np.stack([rows & 15, rows >> 4], axis=-1).reshape(*rows.shape[:-1], -1)
        return both[..., : self.shape[-1]][..., selection[-1]]


def is_mrc(name: str) -> bool:
    """Whether a file is MRC, by its name."""
    parts = name.lower().rsplit(".", 2)
    last = f".{parts[-1]}"
    return last in SUFFIXES or (last in PACKED and len(parts) == 3 and f".{parts[1]}" in SUFFIXES)


def open_mrc(path: str) -> Stored:
    """Open an MRC file; it is mapped into memory where it is not packed.

    Columns, rows and sections are the axes that the header names (mapc, mapr, maps). The voxel size is that of the cell
    (Å) over its grid. Mode 0 is signed where IMOD says so, or where the file is not IMOD's, as the format says.
    """
    import mrcfile

    regular_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that are not quite to the letter
            header, whole = _read(mrcfile, path)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read as MRC: {reason(path, first_line(error), 'MRC', 'compressed')}"
        ) from error
    mode, axes = int(header.mode), _axes(header, path)
    shape = tuple(int(size) for size in (header.nz, header.ny, header.nx))
    start = 1024 + int(header.nsymbt)
    of_imod, unsigned = _signs(header)
    kinds = DTYPES | {FOUR_BITS: np.uint8} | ({0: np.uint8} if unsigned else {})
    if mode not in kinds:
        raise InputError(f"{path} has MRC mode {mode}; read are {', '.join(map(str, DTYPES))} and {FOUR_BITS}")
    array = _array(path, whole, start, shape, np.dtype(kinds[mode]).newbyteorder(header.mode.dtype.byteorder), mode)
    voxel_size = _voxel_size(header)
    source = "cella and mx, my, mz in the header" if voxel_size else "its header has no cell"
    return Stored(
        array=array,
        geometry=Geometry(axes, voxel_size, None, source),
        format=f"MRC (mode {mode})",
        source=path,
        warnings=(*(BYTES,) * (mode == 0 and not of_imod), *(UNIT,) * _is_unit(voxel_size)),
    )


def _read(mrcfile: Any, path: str) -> tuple[Any, NDArray[np.uint8]]:
    """The header and all bytes of a file."""
    with mrcfile.open(path, header_only=True, permissive=True) as file:
        header = file.header.copy()
    if not path.lower().endswith(PACKED):
        return header, np.memmap(path, np.uint8, "r")
    unpack = gzip.decompress if path.lower().endswith(".gz") else bz2.decompress
    return header, np.frombuffer(unpack(Path(path).read_bytes()), np.uint8)


def _array(path: str, whole: NDArray[np.uint8], start: int, shape: tuple[int, ...], kind: np.dtype, mode: int) -> Any:
    """The voxels (section, row, column) as they lie in the file."""
    stored = (*shape[:2], (shape[2] + 1) // 2) if mode == FOUR_BITS else shape
    size = int(np.prod(stored, dtype=object)) * kind.itemsize
    if min(shape) < 1 or start < 1024 or len(whole) < start + size:
        raise InputError(f"{path} is truncated: its header says {start + size} bytes, it has {len(whole)}")
    array = whole[start : start + size].view(kind).reshape(stored)
    return FourBits(array, shape[2]) if mode == FOUR_BITS else array


def _signs(header: Any) -> tuple[bool, bool]:
    """Whether IMOD wrote the file, and whether bytes of mode 0 are unsigned there."""
    extra = header.extra2.tobytes() if "extra2" in header.dtype.names else b""
    words = np.frombuffer(extra[40:48], header.mode.dtype) if len(extra) >= 48 else np.zeros(2, np.int32)
    return int(words[0]) == IMOD, int(words[0]) == IMOD and not int(words[1]) & SIGNED


def _axes(header: Any, path: str) -> tuple[str, ...]:
    numbers = [int(number) for number in (header.maps, header.mapr, header.mapc)]
    if numbers == [0, 0, 0]:  # as old programs leave them
        numbers = [3, 2, 1]
    if sorted(numbers) != [1, 2, 3]:
        raise InputError(f"{path}: mapc, mapr and maps must be 1, 2 and 3 in some order, not {numbers[::-1]}")
    return tuple("xyz"[number - 1] for number in numbers)


def _voxel_size(header: Any) -> Lengths | None:
    cell = [float(header.cella[axis]) for axis in "zyx"]
    grid = [int(size) for size in (header.mz, header.my, header.mx)]
    if min(cell) <= 0 or min(grid) <= 0:
        return None
    return triple(NANOMETERS["å"] * length / size for length, size in zip(cell, grid, strict=True))


def _is_unit(voxel_size: Lengths | None) -> bool:
    return voxel_size is not None and bool(np.allclose(voxel_size, NANOMETERS["å"]))
