"""Volumes of a segmentation in blocks as plain numpy files: nothing is measured but the work."""

from pathlib import Path
from typing import Literal

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.store import TableFolder
from clew.space import Box


class FolderStore(TableFolder):
    """Tables and volumes as files of a folder, for processes of one machine.

    Parameters
    ----------
    folder : Path
        Volumes are `NAME.npy` in it; tables are written beside them.
    domain : Domain
        Where the first voxel of the volumes lies.
    """

    def __init__(self, folder: Path, domain: Domain) -> None:
        super().__init__(folder)
        self._box = domain.box

    def read(self, volume: str, box: Box) -> np.ndarray:
        return np.array(self._volume(volume, "r")[(..., *box.within(self._box))])

    def write(self, volume: str, box: Box, values: np.ndarray) -> None:
        self._volume(volume, "r+")[(..., *box.within(self._box))] = values

    def _volume(self, volume: str, mode: Literal["r", "r+"]) -> np.ndarray:
        return np.load(self.folder / f"{volume}.npy", mmap_mode=mode)
