"""Gaussian-weighted moments of every object around each of its voxels.

The ten moments up to second order of an indicator function are products of moments along the axes, so one pass along each
axis finds them all: three maps after x, six after y, ten after z. Every pass stays inside the bounding box of one object.
"""

import numpy as np

from clew.kernels._jit import bare_kernel, inline, kernel

MOMENTS = ("1", "x", "y", "yx", "xx", "yy", "z", "zx", "zy", "zz")
"""Order of the moments: products of offsets from the voxel."""

# where moments begin in a row that holds one after the other: first those after x, then those after y and z
_ROW_XX, _ROW_MOMENTS = 2, 3
_Y, _XX, _YY, _PLANE_MOMENTS = 2, 4, 5, 6
_Z, _ZZ, _ALL = 6, 9, 10
# rows of a window: weight, weight × offset, weight × offset²
_WEIGHT, _OFFSET, _SQUARE = 0, 1, 2
# columns of a bounding box: voxels (z, y, x) where it starts, then where it stops
_START, _STOP, _BOX_COLUMNS = 0, 3, 6


def object_moments(labels: np.ndarray, names: np.ndarray, windows: tuple[np.ndarray, ...]) -> np.ndarray:
    """Sums of weight × offsets over the voxels of each voxel's own label.

    They are those in the window around the voxel.

    Parameters
    ----------
    labels : (z, y, x) uint64, 0 = background
    names : sorted uint64, the labels that occur, without 0
    windows : for z, y, x: (3, 2 radius + 1) float32
        Weight, weight × offset and weight × offset² for the offsets -radius..radius along the axis.

    Returns
    -------
    (10, z, y, x) float32, in the order of `MOMENTS`; 0 at background.
    """
    numbers = np.empty(labels.shape, np.int32)
    boxes = np.empty((names.size, _BOX_COLUMNS), np.int64)
    _number_objects(labels, names, numbers, boxes)
    moments = np.zeros((len(MOMENTS), *labels.shape), np.float32)
    _filter_objects(numbers, boxes, windows[0], windows[1], _running_sums(windows[2], labels.shape[2]), moments)
    return moments


def _running_sums(window: np.ndarray, reach: int) -> np.ndarray:
    """Sums (3, 2 reach + 1) of a window over all offsets below some offset.

    Offsets reach, reach - 1 .. -reach.
    """
    radius = window.shape[1] // 2
    values = np.zeros((3, 2 * reach + 1))
    for column, upto in enumerate(range(reach, -reach - 1, -1)):
        values[:, column] = window[:, : max(0, upto + radius)].sum(axis=1, dtype=np.float64)
    return values


@bare_kernel
def _number_objects(labels, names, numbers, boxes):
    """Write each voxel's index in `names` (-1 for background), and bounding boxes.

    Each object has a box (starts, then stops).
    """
    depth, height, width = labels.shape
    for axis in range(3):
        boxes[:, _START + axis] = labels.shape[axis]
        boxes[:, _STOP + axis] = 0
    for z in range(depth):
        for y in range(height):
            x = 0
            while x < width:
                label = labels[z, y, x]
                start = x
                while x < width and labels[z, y, x] == label:
                    x += 1
                number = np.searchsorted(names, label) if label else -1
                numbers[z, y, start:x] = number
                if label:
                    low, high = boxes[number, _START:_STOP], boxes[number, _STOP:]
                    low[0], low[1], low[2] = min(low[0], z), min(low[1], y), min(low[2], start)
                    high[0], high[1], high[2] = max(high[0], z + 1), max(high[1], y + 1), max(high[2], x)


@inline
def _add_products(target, weights, rows, start):
    """Add weights @ rows, from column `start` on. Target and rows are contiguous.

    Four rows at a time, since the target's loads and stores are what costs.
    """
    stop = start + target.size
    whole = weights.size - weights.size % 4
    for j in range(0, whole, 4):
        first, second = rows[j, start:stop], rows[j + 1, start:stop]
        third, fourth = rows[j + 2, start:stop], rows[j + 3, start:stop]
        a, b, c, d = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for i in range(target.size):
            target[i] += a * first[i] + b * second[i] + c * third[i] + d * fourth[i]
    for j in range(whole, weights.size):
        row, weight = rows[j, start:stop], weights[j]
        for i in range(target.size):
            target[i] += weight * row[i]


@inline
def _find_run(row, number, start):
    """Start and stop of the next run of an object in a row of indices.

    Both are the row's width where there is none.
    """
    while start < row.size and row[start] != number:
        start += 1
    stop = start
    while stop < row.size and row[stop] == number:
        stop += 1
    return start, stop


@bare_kernel
def _filter_rows(plane, number, sums, rows):
    """Moments 1, x, xx of one object's runs in each row of a plane.

    They are differences of the window's running sums.

    Returns the first row that holds the object, and one more than the last.
    """
    height, width = plane.shape
    middle = sums.shape[1] // 2
    first, last = height, 0
    for y in range(height):
        rows[y] = 0
        start, stop = _find_run(plane[y], number, 0)
        while start < stop:
            first, last = min(first, y), y + 1
            for order in range(3):
                upto, before = sums[order, middle - stop :], sums[order, middle - start :]
                row = rows[y, order * width : (order + 1) * width]
                for x in range(width):
                    row[x] += np.float32(upto[x] - before[x])
            start, stop = _find_run(plane[y], number, stop)
    return first, last


@bare_kernel
def _filter_columns(rows, first, last, window, z, columns):
    """Moments 1, x, y, yx, xx, yy of a plane.

    They are made of those of its rows from first to last.
    """
    height, width = rows.shape[0], rows.shape[1] // _ROW_MOMENTS
    radius = window.shape[1] // 2
    for y in range(height):
        target = columns[y, z]
        target[:] = 0
        start, stop = max(first, y - radius), min(last, y + radius + 1)
        if start < stop:
            weights, near = window[:, start - y + radius : stop - y + radius], rows[start:stop]
            _add_products(target[: _Y * width], weights[_WEIGHT], near, 0)  # 1, x from 1, x
            _add_products(target[_XX * width : _YY * width], weights[_WEIGHT], near, _ROW_XX * width)  # xx from xx
            _add_products(target[_Y * width : _XX * width], weights[_OFFSET], near, 0)  # y, yx from 1, x
            _add_products(target[_YY * width :], weights[_SQUARE], near, 0)  # yy from 1


@bare_kernel
def _filter_depth(columns, z, window, target):
    """Moments 1, x, y, yx, xx, yy, z, zx, zy, zz of a row at depth z.

    They are made of those of the planes.
    """
    depth, width = columns.shape[0], columns.shape[1] // _PLANE_MOMENTS
    radius = window.shape[1] // 2
    start, stop = max(0, z - radius), min(depth, z + radius + 1)
    weights, near = window[:, start - z + radius : stop - z + radius], columns[start:stop]
    target[:] = 0
    _add_products(target[: _Z * width], weights[_WEIGHT], near, 0)  # those without z as they are
    _add_products(target[_Z * width : _ZZ * width], weights[_OFFSET], near, 0)  # z, zx, zy from 1, x, y
    _add_products(target[_ZZ * width :], weights[_SQUARE], near, 0)  # zz from 1


@kernel
def _filter_objects(numbers, boxes, along_z, along_y, sums, moments):
    for number in range(boxes.shape[0]):
        low, high = boxes[number, _START:_STOP], boxes[number, _STOP:]
        inside = numbers[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        outside = moments[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        depth, height, width = inside.shape
        rows = np.empty((height, _ROW_MOMENTS * width), np.float32)
        columns = np.empty((height, depth, _PLANE_MOMENTS * width), np.float32)
        for z in range(depth):
            first, last = _filter_rows(inside[z], number, sums, rows)
            _filter_columns(rows, first, last, along_y, z, columns)
        target = np.empty(_ALL * width, np.float32)
        for y in range(height):
            for z in range(depth):
                start, stop = _find_run(inside[z, y], number, 0)
                if start < stop:
                    _filter_depth(columns[y], z, along_z, target)
                while start < stop:
                    for moment in range(_ALL):
                        outside[moment, z, y, start:stop] = target[moment * width + start : moment * width + stop]
                    start, stop = _find_run(inside[z, y], number, stop)
