"""Fragments as edits have left them, at every scale."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.space import Box
from clew.view.layers import Editor


class Current:
    """One scale of the fragments, with the pieces of those that were divided.

    Parameters
    ----------
    data : array-like
        (z, y, x), as it was before any edit.
    factors : (z, y, x) ints
        Voxels of the finest scale that one stands for.
    finest : array-like
        The finest scale, of which the editor knows the pieces.
    editor : Editor
    """

    def __init__(self, data: Any, factors: Sequence[int], finest: Any, editor: Editor) -> None:
        self.data, self.factors, self.finest, self.editor = data, factors, finest, editor
        self.shape, self.dtype = data.shape, np.dtype(np.uint64)

    def __getitem__(self, box: Sequence[slice]) -> NDArray[np.uint64]:
        slices = (along.indices(length)[:2] for along, length in zip(box, self.shape, strict=True))
        part = Box(*(slice(*ends) for ends in slices))
        if self.data is self.finest:
            return self.editor.read_fragments(part)
        ids: NDArray[np.uint64] = np.asarray(self.data[part]).astype(np.uint64)
        old = np.argwhere((ids != 0) & ~np.isin(ids, self.editor.segments().graph.fragments))
        if len(old):
            ids[tuple(old.T)] = self._finest_at(old + part.low)
        return ids

    def _finest_at(self, voxels: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The finest fragments in the middle of coarse voxels (n, 3)."""
        factors = np.array(self.factors)
        places = np.minimum(voxels * factors + factors // 2, np.array(self.finest.shape) - 1)
        low, high = places.min(axis=0), places.max(axis=0) + 1
        found = self.editor.read_fragments(Box.between(low, high))
        return found[tuple((places - low).T)]
