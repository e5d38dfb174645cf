"""Fragments as edits have left them, at every scale."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.space import Box
from clew.view.cuts import runs_of
from clew.view.layers import Editor, Layer

OVERVIEW = "all-corrected"
"""Name of the layer of all corrected segments."""


def overview_of(layer: Layer) -> Layer:
    """All segments that edits make of a layer, as a layer of its own.

    It is hidden at first, and shows at any moment what hangs together then.

    Parameters
    ----------
    layer : Layer
        The fragments, with an editor.
    """
    assert layer.editor is not None
    scales = [(Segmented(Current(data, factors, layer.data, layer.editor)), factors) for data, factors in layer.scales]
    (finest, _), *coarser = scales
    return replace(
        layer, name=OVERVIEW, data=finest, coarser=coarser, editor=None, visible=False, changing=True, surfaces=False
    )


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


class Segmented:
    """One scale of the segments that edits make of fragments.

    Each has the id of its smallest fragment.

    Parameters
    ----------
    fragments : Current
    """

    def __init__(self, fragments: Current) -> None:
        self.fragments, self.shape, self.dtype = fragments, fragments.shape, fragments.dtype

    def __getitem__(self, box: Sequence[slice]) -> NDArray[np.uint64]:
        ids = self.fragments[box]
        runs, segments = runs_of(ids), self.fragments.editor.segments()
        fragments, roots = segments.graph.fragments, segments.roots()
        places = np.minimum(np.searchsorted(fragments, runs.ids), len(fragments) - 1)
        # what is none is background, or was divided while this was read: the next address shows its pieces
        found = np.where(fragments[places] == runs.ids, fragments[roots[places]], runs.ids)
        return np.repeat(found, runs.lengths).reshape(ids.shape)
