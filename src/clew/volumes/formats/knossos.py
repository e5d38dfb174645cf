"""KNOSSOS cubes: a folder with `knossos.conf` and x0000/y0000/z0000/*.raw.

SegEM and older versions of KNOSSOS write them.
"""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.documents import is_number, regular_file
from clew.errors import InputError
from clew.space import Box, Lengths, Triple, triple
from clew.volumes.formats.chunk_files import ChunkFiles, Place
from clew.volumes.geometry import Geometry
from clew.volumes.volume import Stored

CONFIGURATION = "knossos.conf"
EDGE = 128
"""Voxels along each edge of a cube."""
DTYPES = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_LINE = re.compile(r"^\s*(scale|boundary)\s+([xyz])\s+([^\s;]+)\s*;?", re.M)
_FINEST = "mag1"


class Cubes:
    """Cubes of one size as an array (z, y, x).

    A cube that is missing is 0, as KNOSSOS shows it.

    After a read that missed one, `configuration` must still be there: the folder may have been moved away.
    """

    def __init__(self, folder: Path, configuration: Path, shape: tuple[int, ...], dtype: Any):
        self.shape = shape
        self.dtype: np.dtype = np.dtype(dtype)
        self._folder = folder
        self._configuration = configuration

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        box = Box(*(slice(part.start, part.stop) for part in selection))
        block = np.zeros(box.shape, self.dtype)
        missing = False
        for place in itertools.product(*(range(part.start // EDGE, -(-part.stop // EDGE)) for part in box)):
            file = cube_file(self._folder, place)
            if file is None:
                missing = True
                continue
            cube = Box.tile(place, (EDGE, EDGE, EDGE))
            part = cube.overlap(box)
            block[part.within(box)] = self._read(file)[part.within(cube)]
        if missing and not (self._folder.is_dir() and self._configuration.is_file()):
            raise InputError(f"{self._folder} is no longer there: it was moved or removed while it was read")
        return block[tuple(slice(None, None, part.step) for part in selection)]

    def _read(self, file: Path) -> NDArray[Any]:
        expected = EDGE**3 * self.dtype.itemsize
        if regular_file(file).stat().st_size != expected:
            raise InputError(
                f"{file} has {file.stat().st_size} bytes; a cube of {EDGE}³ {self.dtype} has {expected}: it is truncated"
            )
        return np.memmap(file, self.dtype.newbyteorder("<"), "r", shape=(EDGE, EDGE, EDGE))


def open_knossos(path: str) -> Stored:
    """Open the cubes beside a `knossos.conf`, given as the folder or as that file.

    The voxels of a cube lie x fastest, then y, then z; the folders count cubes along x, y and z. `boundary` (voxels) and
    `scale` (nm) are those of the magnification in this folder; with a folder `mag1` beside it, of that one.
    """
    folder = Path(path).parent if Path(path).name == CONFIGURATION else Path(path)
    shape, voxel_size = _read_configuration(folder / CONFIGURATION)
    cubes = folder / _FINEST if (folder / _FINEST).is_dir() else folder
    first = next(cubes.glob("x*/y*/z*/*.raw"), None)
    if first is None:
        raise InputError(f"{folder} has a {CONFIGURATION}, but no raw cube, such as x0000/y0000/z0000/NAME.raw")
    itemsize, rest = divmod(regular_file(first).stat().st_size, EDGE**3)
    if rest or itemsize not in DTYPES:
        raise InputError(
            f"{first} has {first.stat().st_size} bytes; wanted a cube of {EDGE}³ voxels of 1, 2, 4 or 8 bytes"
        )
    return Stored(
        array=Cubes(cubes, folder / CONFIGURATION, shape, DTYPES[itemsize]),
        geometry=Geometry(("z", "y", "x"), voxel_size, (0.0, 0.0, 0.0), f"scale in {CONFIGURATION}"),
        format="KNOSSOS cubes",
        source=str(folder),
        chunks=(EDGE, EDGE, EDGE),
        pieces=ChunkFiles(str(cubes), cube_folder, shape, (EDGE, EDGE, EDGE), "cubes"),
    )


def is_knossos(path: Path) -> bool:
    """Whether a folder, or file, is a KNOSSOS data set."""
    return path.name == CONFIGURATION if path.is_file() else (path / CONFIGURATION).is_file()


def cube_folder(place: Place) -> str:
    """The folder of the cube (z, y, x), below that of all cubes."""
    z, y, x = place
    return f"x{x:04d}/y{y:04d}/z{z:04d}"


def cube_file(folder: Path, place: tuple[int, ...]) -> Path | None:
    """The raw file of the cube (z, y, x); None where there is none."""
    inner = folder / cube_folder(place)
    files = sorted(inner.glob("*.raw")) if inner.is_dir() else []
    if len(files) > 1:
        raise InputError(
            f"{inner} must hold one raw file, its cube, not {len(files)}: {files[0].name}, {files[1].name}, …"
        )
    packed = [] if files or not inner.is_dir() else [file for file in inner.iterdir() if file.is_file()]
    if packed:
        raise InputError(f"{packed[0]} is a compressed cube; only raw ones are read: write them as .raw with KNOSSOS")
    return files[0] if files else None


def _read_configuration(file: Path) -> tuple[Triple, Lengths]:
    """Shape in voxels and voxel size in nm, (z, y, x)."""
    try:
        text = regular_file(file).read_text(errors="replace")
        found = {(name, axis): float(value) for name, axis, value in _LINE.findall(text)}
    except ValueError as error:
        raise InputError(f"{file}: boundary and scale must be numbers: {error}") from None
    missing = [f"{name} {axis}" for name in ("boundary", "scale") for axis in "xyz" if (name, axis) not in found]
    if missing:
        raise InputError(
            f"{file} must have lines such as 'boundary x 1024;' and 'scale x 11.24;'; it lacks {missing[0]}"
        )
    boundary = [found["boundary", axis] for axis in "zyx"]
    if not all(is_number(size) and 1 <= size < 1 << 40 for size in boundary):
        raise InputError(f"{file}: boundary must be whole numbers of voxels, at least 1, not {boundary} (z, y, x)")
    return triple(map(int, boundary)), triple(found["scale", axis] for axis in "zyx")
