"""Erosion of every label at once.

Background grows one voxel a step between objects.

Voxels that nobody annotated are solid: they neither erode nor erode their neighbours, just like the volume's border.
"""

import numpy as np

from clew.kernels._jit import inline, kernel


def erode_labels(labels: np.ndarray, unknown: np.ndarray, steps: int, per_section: bool) -> np.ndarray:
    """Clear the voxels that are few steps from another label or background.

    Parameters
    ----------
    labels : (z, y, x) uint64
        0 = background; in C order.
    unknown : (z, y, x) uint8
        1 where nobody annotated: those keep their label.
    steps : int
        At least 1, each to the neighbours across a face.
    per_section : bool
        Erode along y and x only.

    Returns
    -------
    (z, y, x) uint64
    """
    solid, spare = np.empty(labels.shape, np.uint8), np.empty(labels.shape, np.uint8)
    _first_step(labels, unknown, per_section, solid)
    for _ in range(steps - 1):
        _next_step(solid, unknown, per_section, spare)
        solid, spare = spare, solid
    eroded = np.empty_like(labels)
    _clear_background(labels.ravel(), solid.ravel(), eroded.ravel())
    return eroded


@inline
def _keep_same(own, row, label, other, unknown):
    """Row of voxels beside another row: those of another label are no longer solid."""
    for x in range(label.shape[0]):
        row[x] &= np.uint8(label[x] == other[x]) | own[x] | unknown[x]


@inline
def _keep_solid(row, other):
    for x in range(row.shape[0]):
        row[x] &= other[x]


@kernel
def _first_step(labels, unknown, per_section, solid):
    """Mark in `solid` where a voxel's label survives a first erosion.

    (z, y, x) uint8: 1 there, and where `unknown` is 1; else 0.
    """
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            row, label, own = solid[z, y], labels[z, y], unknown[z, y]
            for x in range(width):
                row[x] = np.uint8(label[x] != 0) | own[x]
            if z > 0 and not per_section:
                _keep_same(own, row, label, labels[z - 1, y], unknown[z - 1, y])
            if z + 1 < depth and not per_section:
                _keep_same(own, row, label, labels[z + 1, y], unknown[z + 1, y])
            if y > 0:
                _keep_same(own, row, label, labels[z, y - 1], unknown[z, y - 1])
            if y + 1 < height:
                _keep_same(own, row, label, labels[z, y + 1], unknown[z, y + 1])
            _keep_same(own[1:], row[1:], label[1:], label[:-1], own[:-1])
            _keep_same(own[:-1], row[:-1], label[:-1], label[1:], own[1:])


@kernel
def _next_step(before, unknown, per_section, solid):
    """Write to `solid` what is left of `before` after one more erosion.

    Both are (z, y, x) uint8.

    Labels need not be looked at again: after the first step no two annotated solid voxels of different labels touch.
    """
    depth, height, width = before.shape
    for z in range(depth):
        for y in range(height):
            row, here, own = solid[z, y], before[z, y], unknown[z, y]
            row[:] = here
            if z > 0 and not per_section:
                _keep_solid(row, before[z - 1, y])
            if z + 1 < depth and not per_section:
                _keep_solid(row, before[z + 1, y])
            if y > 0:
                _keep_solid(row, before[z, y - 1])
            if y + 1 < height:
                _keep_solid(row, before[z, y + 1])
            _keep_solid(row[1:], here[:-1])
            _keep_solid(row[:-1], here[1:])
            for x in range(width):
                row[x] |= own[x]


@kernel
def _clear_background(labels, solid, result):
    """Write to `result` the labels where `solid`, 0 elsewhere; all flat."""
    for i in range(labels.size):
        result[i] = labels[i] if solid[i] else np.uint64(0)
