"""The store of a run on files.

Inputs are in any format that clew reads, outputs OME-Zarr, and each table is a file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clew.blockwise.store import AGAIN, DamagedError, Key, Table, TableFolder, read_table, task_name
from clew.errors import InputError
from clew.space import Box, Lengths, Triple
from clew.volumes.open import open_volume
from clew.volumes.volume import Volume, first_line

ORIGIN = (0, 0, 0)
DAMAGE = ("DATA_LOSS", "FAILED_PRECONDITION", "NOT_FOUND")
"""How tensorstore begins to say that a chunk fails its checksum, cannot be decoded, or is missing."""


class FileStore(TableFolder):
    """Tables and volumes as files, for processes on any machine that sees them.

    It can be pickled.

    Parameters
    ----------
    folder : Path
        Folder of the tables.
    inputs : mapping of str to str
        Paths of volumes that are read only, by name.
    outputs : mapping of str to SharedVolume or SharedPrecomputed
        Volumes that are written, by name.
    voxel_size : (z, y, x) floats
        In nm, of inputs that do not say it.
    places : mapping of str to (z, y, x) ints, optional
        Where in the whole volume the first voxel of an input or output lies, by name; at its corner where not named.
    earlier : Path, optional
        Folder of the tables of a finished run, for those that this one does not write.
    """

    def __init__(
        self,
        folder: Path,
        inputs: Mapping[str, str],
        outputs: Mapping[str, Any],
        voxel_size: Lengths,
        places: Mapping[str, Triple] | None = None,
        earlier: Path | None = None,
    ) -> None:
        super().__init__(folder)
        self.inputs = dict(inputs)
        self.outputs = dict(outputs)
        self._voxel_size = voxel_size
        self._places = dict(places or {})
        self._earlier = earlier
        self._opened: dict[str, Volume] = {}

    def load(self, key: Key) -> Table:
        file = self._file(key)
        if self._earlier is None or file.exists():
            return read_table(file)
        file = self._earlier / f"{task_name(key)}.npz"
        try:
            return read_table(file)
        except DamagedError as error:
            again = f"clew retry {self._earlier.parent} makes it again"
            raise InputError(f"{file} is missing or damaged: {again}") from error

    def read(self, volume: str, box: Box) -> np.ndarray:
        part = self._inside(volume, box)
        try:
            if volume in self.outputs:
                return self.outputs[volume][part]
            source = self._input(volume)
            return np.asarray(source[(slice(0, 3), *part)] if source.ndim == 4 else source[part])
        except (ValueError, RuntimeError, OSError) as error:
            what = f"box {part} of {volume}: {first_line(error)}"
            if volume in self.outputs and str(error).startswith(DAMAGE):
                raise DamagedError(f"{what}: {AGAIN}") from error
            raise InputError(what) from error

    def holds(self, key: Key) -> bool:
        output = self.outputs.get(str(key[0]))
        if output is None:
            return super().holds(key)
        try:
            output[output.block([int(number) for number in key[1:]])]
        except (ValueError, RuntimeError, OSError):
            return False
        return True

    def write(self, volume: str, box: Box, values: np.ndarray) -> None:
        output, part = self.outputs[volume], self._inside(volume, box)
        try:
            output[part] = values
        except ValueError as error:
            if not str(error).startswith(DAMAGE):
                raise
            output.discard(part)  # a chunk at the edge of the volume is read before it is written
            output[part] = values

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": {}}

    def _inside(self, volume: str, box: Box) -> Box:
        return box.shifted(-start for start in self._places.get(volume, ORIGIN))

    def _input(self, name: str) -> Volume:
        if name not in self._opened:
            self._opened[name] = open_volume(self.inputs[name], voxel_size=self._voxel_size)
        return self._opened[name]
