"""FIB-25 labels as NeuroProof writes them.

An HDF5 file with supervoxels (`stack`) and the body of each (`transforms`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.volumes.formats.hdf5_links import check_links

STACK, TRANSFORMS = "stack", "transforms"


class Bodies:
    """Supervoxels read as the bodies to which a table assigns them.

    A supervoxel that is not in the table is 0.
    """

    def __init__(self, stack: Any, transforms: NDArray[Any], source: str):
        if transforms.ndim != 2 or transforms.shape[1] != 2 or transforms.dtype.kind not in "ui":
            raise InputError(
                f"{source}: {TRANSFORMS} must be (n, 2) whole numbers (supervoxel, body), "
                f"not {transforms.shape} {transforms.dtype}"
            )
        table = transforms.astype(np.uint64)
        order = np.argsort(table[:, 0], kind="stable")
        self._supervoxels, self._bodies = table[order].T
        twice = (self._supervoxels[1:] == self._supervoxels[:-1]) & (self._bodies[1:] != self._bodies[:-1])
        if twice.any():
            raise InputError(f"{source}: {TRANSFORMS} gives supervoxel {self._supervoxels[1:][twice][0]} two bodies")
        self._stack = stack
        self.shape: tuple[int, ...] = stack.shape
        self.dtype: np.dtype = np.dtype(np.uint64)

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[np.uint64]:
        pieces = np.asarray(self._stack[selection]).astype(np.uint64)
        if not len(self._supervoxels):
            return np.zeros_like(pieces)
        slots = np.minimum(np.searchsorted(self._supervoxels, pieces), len(self._supervoxels) - 1)
        return np.where(self._supervoxels[slots] == pieces, self._bodies[slots], np.uint64(0))

    @property
    def note(self) -> tuple[str, str]:
        """What is read, as a note for people."""
        bodies = len(np.unique(self._bodies))
        return (
            "read as bodies",
            f"{len(self._supervoxels)} supervoxels of {bodies} bodies by {TRANSFORMS}; others are 0",
        )


def with_bodies(array: Any, key: str, source: str) -> Bodies | None:
    """The bodies of a `stack` with `transforms` beside it, None for others."""
    name = key.rpartition("/")[2]
    if name != STACK:
        return None
    check_links(array.file, f"{array.parent.name}/{TRANSFORMS}")
    table = array.parent.get(TRANSFORMS)
    return None if table is None or not getattr(table, "shape", None) else Bodies(array, table[()], source)
