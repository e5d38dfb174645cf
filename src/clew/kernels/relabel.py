"""Look up sparse 64-bit ids, once per run of voxels.

The table of (id, value) is one of open addressing.
"""

from typing import NamedTuple

import numpy as np

from clew.kernels._jit import at, bare_kernel, inline, prefetch
from clew.kernels._table import mixed

_ID, _VALUE = 0, 1
"""Columns of the table; id 0 is a free row."""
_AHEAD = 8
"""How many ids earlier a row is asked for."""


class _Row(NamedTuple):
    """Room for a row of voxels, each (x,) int64.

    Where ids differ from those above; those of them where the id before differs too; where in the table to begin the
    search for these.
    """

    differing: np.ndarray
    new: np.ndarray
    slots: np.ndarray


def replace_ids(volume: np.ndarray, ids: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, int]:
    """values[i] for each voxel of id ids[i]; 0 stays 0.

    Parameters
    ----------
    volume : (z, y, x) uint64 or uint32
        In C order.
    ids, values : (n,) uint64
        The ids are unique.

    Returns
    -------
    replaced : (z, y, x) uint64
    stranger : int
        Flat position of the first voxel whose id is not among the ids, where the work ended; else -1.
    """
    replaced, width = np.empty(volume.shape, np.uint64), volume.shape[-1]
    flat = volume.reshape(-1)
    table, row = _new_table(ids, values.view(np.int64)), _Row(*np.empty((3, width), np.int64))
    signed = flat.view(np.int64) if flat.dtype == np.uint64 else flat
    return replaced, int(_replace(signed, table, row, replaced.view(np.int64).reshape(-1)))


def positions_of(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Position in `ids` of each wanted id.

    Parameters
    ----------
    ids : (n,) uint64
        Unique.
    wanted : uint64 of any shape

    Returns
    -------
    int64 of the same shape
        -1 where an id is not there, and for 0.
    """
    positions = np.empty(wanted.shape, np.int64)
    table = _new_table(ids, np.arange(len(ids)))
    _search(table, np.ascontiguousarray(wanted).reshape(-1).view(np.int64), positions.reshape(-1))
    return positions


def _new_table(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Table (slots, 2) of unique uint64 ids, 0 left out, and their int64 values."""
    table = np.empty((1 << int(2 * len(ids) + 1).bit_length(), 2), np.int64)
    table[:] = 0, -1
    _fill(table, ids.view(np.int64), values)
    return table


@inline
def _first_slot(table, label):
    return mixed(label) & (table.shape[0] - 1)


@inline
def _slot(table, slot, label):
    """Slot of an id from its first slot on.

    Where the id is missing, it is the free slot (0, -1) where it would be.
    """
    mask = table.shape[0] - 1
    while table[at(slot), _ID] != 0 and table[at(slot), _ID] != label:
        slot = (slot + 1) & mask
    return slot


@bare_kernel
def _fill(table, ids, values):
    for k in range(ids.shape[0]):
        prefetch(table, _first_slot(table, ids[at(min(k + _AHEAD, ids.shape[0] - 1))]))
        label = ids[at(k)]
        if label != 0:
            slot = at(_slot(table, _first_slot(table, label), label))
            table[slot, _ID], table[slot, _VALUE] = label, values[at(k)]


@bare_kernel
def _search(table, ids, found):
    for k in range(ids.shape[0]):
        prefetch(table, _first_slot(table, ids[at(min(k + _AHEAD, ids.shape[0] - 1))]))
        label = ids[at(k)]
        found[at(k)] = table[at(_slot(table, _first_slot(table, label), label)), _VALUE]


@inline
def _list_new(flat, start, stop, row):
    """List where a row's ids differ from those above; count them.

    Where the id before differs, too, is listed as well.

    Both lists are made without a branch, which would often be foretold wrongly.
    """
    width = row.new.shape[0]
    above = width if start > 0 else 0
    differing, new = 0, 0
    for i in range(start, stop):
        row.differing[at(differing)] = i
        differing += np.int64((flat[at(i)] != flat[at(i - above)]) | (start == 0))
    for k in range(differing):
        i = row.differing[at(k)]
        row.new[at(new)] = i
        new += np.int64((i == start) | (flat[at(i)] != flat[at(max(i - 1, 0))]))
    return differing, new


@bare_kernel
def _replace(flat, table, row, out):
    """Look up the ids of all voxels; returns where the first unknown one is, or -1.

    A row is a copy of the row of results above, written over where ids differ: with the result before if that has the
    same id, else with the value looked up, for which all lines were asked first. That took 0.85 of the time of a look at
    each run.
    """
    width = row.new.shape[0]
    for start in range(0, flat.shape[0], width):
        stop, above = start + width, width if start > 0 else 0
        differing, new = _list_new(flat, start, stop, row)
        for i in range(start, stop):
            out[at(i)] = out[at(i - above)]
        # all lines that the row needs are on their way before the first is looked at
        for k in range(new):
            slot = _first_slot(table, np.int64(flat[at(row.new[at(k)])]))
            row.slots[at(k)] = slot
            prefetch(table, slot)
        for k in range(new):
            i = at(row.new[at(k)])
            label = np.int64(flat[i])
            slot = at(_slot(table, row.slots[at(k)], label))
            if label != 0 and table[slot, _ID] == 0:
                return np.int64(i)
            out[i] = table[slot, _VALUE] if label != 0 else 0
        for k in range(differing):
            i = row.differing[at(k)]
            same = np.int64((i > start) & (flat[at(i)] == flat[at(max(i - 1, 0))]))
            out[at(i)] = out[at(i - same)]
    return -1
