"""Look up sparse 64-bit ids: an open-addressing table of (id, value), searched once per run of voxels."""

import numpy as np

from clew.kernels._jit import inline, kernel, prefetch


@inline
def _first_slot(table, name):
    mixed = ((name & 0xFFFFFFFF) * 0x5BD1E995) ^ (((name >> 32) & 0xFFFFFFFF) * 0x7FEB352D)
    return (mixed ^ (mixed >> 31)) & (table.shape[0] - 1)


@inline
def _slot(table, slot, name):
    """Slot of `name` from its first slot on, or the free one (0, -1) where it would be."""
    mask = table.shape[0] - 1
    while table[np.uint64(slot), 0] != 0 and table[np.uint64(slot), 0] != name:
        slot = (slot + 1) & mask
    return slot


@kernel
def _fill(table, names, values):
    for k in range(names.shape[0]):
        prefetch(table, _first_slot(table, names[np.uint64(min(k + 8, names.shape[0] - 1))]))
        name = names[np.uint64(k)]
        if name != 0:
            slot = np.uint64(_slot(table, _first_slot(table, name), name))
            table[slot, 0], table[slot, 1] = name, values[np.uint64(k)]


@kernel
def _search(table, names, found):
    for k in range(names.shape[0]):
        prefetch(table, _first_slot(table, names[np.uint64(min(k + 8, names.shape[0] - 1))]))
        name = names[np.uint64(k)]
        found[np.uint64(k)] = table[np.uint64(_slot(table, _first_slot(table, name), name)), 1]


@kernel
def relabel_rows(labels, table, out):
    """out = second column of the table for (rows, x) labels, 0 stays 0; returns where the first unknown label is, or -1."""
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
                slot = np.uint64(_slot(table, _first_slot(table, name), name))
                if table[slot, 0] == 0:
                    return row * width + x
                value = table[slot, 1]
            while x < width and np.int64(mine[np.uint64(x)]) == name:
                result[np.uint64(x)] = value
                x += 1
    return -1


def id_table(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Table (slots, 2) of unique uint64 ids, 0 left out, and their int64 values."""
    table = np.empty((1 << int(2 * len(ids) + 1).bit_length(), 2), np.int64)
    table[:] = 0, -1
    _fill(table, ids.view(np.int64), values)
    return table


def positions_of(ids: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Place in the unique uint64 `ids` of each of `names` (uint64, any shape), as int64; -1 where it is not there, and for 0."""
    places = np.empty(names.shape, np.int64)
    table = id_table(ids, np.arange(len(ids)))
    _search(table, np.ascontiguousarray(names).reshape(-1).view(np.int64), places.reshape(-1))
    return places
