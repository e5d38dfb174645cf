"""Look up sparse 64-bit ids: an open-addressing table of (id, value), searched once per run of voxels."""

import numpy as np

from clew.kernels._jit import inline, kernel, prefetch
from clew.kernels._table import mixed


@inline
def _first_slot(table, name):
    return mixed(name) & (table.shape[0] - 1)


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


@inline
def _new_names(labels, start, stop, width, places):
    """List where a row's names differ from those above, and how often the name before differs too; count both.

    Row 0 of `places` lists the former, row 1 those of them where the voxel before has another name as well.
    """
    above = width if start > 0 else 0
    differing, new = 0, 0
    for i in range(start, stop):
        places[0, np.uint64(differing)] = i
        differing += np.int64((labels[np.uint64(i)] != labels[np.uint64(i - above)]) | (start == 0))
    for k in range(differing):
        i = places[0, np.uint64(k)]
        places[1, np.uint64(new)] = i
        new += np.int64((i == start) | (labels[np.uint64(i)] != labels[np.uint64(max(i - 1, 0))]))
    return differing, new


@kernel
def relabel_rows(labels, width, table, places, out):
    """out = second column of the table for the labels of rows of `width`; returns where the first unknown label is, or -1.

    0 stays 0. A row is a copy of the row of results above, written over where names differ: with the result before
    if that has the same name, else with the value looked up, for which all lines were asked first. Both are lists made
    without a branch; `places` is room for them, (3, width).
    """
    for start in range(0, labels.shape[0], width):
        stop, above = start + width, width if start > 0 else 0
        differing, new = _new_names(labels, start, stop, width, places)
        for i in range(start, stop):
            out[np.uint64(i)] = out[np.uint64(i - above)]
        for k in range(new):
            slot = _first_slot(table, np.int64(labels[np.uint64(places[1, np.uint64(k)])]))
            places[2, np.uint64(k)] = slot
            prefetch(table, slot)
        for k in range(new):
            i = np.uint64(places[1, np.uint64(k)])
            name = np.int64(labels[i])
            slot = np.uint64(_slot(table, places[2, np.uint64(k)], name))
            if name != 0 and table[slot, 0] == 0:
                return np.int64(i)
            out[i] = table[slot, 1] if name != 0 else 0
        for k in range(differing):
            i = places[0, np.uint64(k)]
            same = np.int64((i > start) & (labels[np.uint64(i)] == labels[np.uint64(max(i - 1, 0))]))
            out[np.uint64(i)] = out[np.uint64(i - same)]
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
