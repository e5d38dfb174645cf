"""Look up sparse 64-bit ids: an open-addressing table of (id, place), searched once per run of voxels."""

import numpy as np

from clew.kernels._jit import kernel


@kernel
def _slot(table, name):
    """Slot of `name`, or the free slot where it would be; the last column of a free slot's row is -1."""
    mask = table.shape[0] - 1
    mixed = ((name & 0xFFFFFFFF) * 0x5BD1E995) ^ (((name >> 32) & 0xFFFFFFFF) * 0x7FEB352D)
    slot = (mixed ^ (mixed >> 31)) & mask
    while table[np.uint64(slot), 1] >= 0 and table[np.uint64(slot), 0] != name:
        slot = (slot + 1) & mask
    return slot


@kernel
def _fill(table, names):
    for place in range(names.shape[0]):
        slot = _slot(table, names[place])
        table[np.uint64(slot), 0] = names[place]
        table[np.uint64(slot), 1] = place


@kernel
def _search(table, names, places):
    for k in range(names.shape[0]):
        places[k] = table[np.uint64(_slot(table, names[k])), 1]


@kernel
def relabel_rows(labels, table, values, out):
    """out = values[place of label] for (rows, x) labels, 0 stays 0; returns where the first unknown label is, or -1."""
    width = labels.shape[1]
    for row in range(labels.shape[0]):
        mine, result = labels[row], out[row]
        above, above_result = labels[max(row - 1, 0)], out[max(row - 1, 0)]
        x = 0
        while x < width:
            name = np.int64(mine[np.uint64(x)])
            if name == 0:
                value = np.int64(0)
            elif row > 0 and name == np.int64(above[np.uint64(x)]):
                value = above_result[np.uint64(x)]
            else:
                place = table[np.uint64(_slot(table, name)), 1]
                if place < 0:
                    return row * width + x
                value = values[place]
            while x < width and np.int64(mine[np.uint64(x)]) == name:
                result[np.uint64(x)] = value
                x += 1
    return -1


def id_table(ids: np.ndarray) -> np.ndarray:
    """Table (slots, 2) of unique uint64 ids and their places."""
    table = np.full((1 << int(2 * len(ids) + 1).bit_length(), 2), -1, np.int64)
    _fill(table, ids.view(np.int64))
    return table


def positions_of(ids: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Place in the unique uint64 `ids` of each of `names` (uint64, any shape), as int64; -1 where it is not there."""
    places = np.empty(names.shape, np.int64)
    _search(id_table(ids), np.ascontiguousarray(names).reshape(-1).view(np.int64), places.reshape(-1))
    return places
