"""Contacts between fragments: who touches whom, and the multiset of affinities in every contact."""

import numpy as np

from clew.kernels._jit import kernel

_FIRST, _SECOND = 0x5BD1E995, 0x7FEB352D
_SMALL = 32


@kernel
def _hashed(key):
    """Mix 64 bits without overflow (two products below 2⁶³)."""
    mixed = ((key & 0xFFFFFFFF) * _FIRST) ^ (((key >> 32) & 0xFFFFFFFF) * _SECOND)
    return mixed ^ (mixed >> 31)


@kernel
def _number(table, names, name, count):
    """Number of `name` in the open-addressing table (slot: name, number), entered with the next number if new."""
    mask = table.shape[0] - 1
    slot = _hashed(name) & mask
    while table[np.uint64(slot), 1] >= 0:
        if table[np.uint64(slot), 0] == name:
            return table[np.uint64(slot), 1], count
        slot = (slot + 1) & mask
    table[np.uint64(slot), 0] = name
    table[np.uint64(slot), 1] = count
    names[count] = name
    return count, count + 1


@kernel
def fill_table(table, names, count):
    """Enter names[:count], numbered in order, into an empty table (all -1) of twice as many slots, a power of two."""
    for number in range(count):
        _number(table, names, names[number], number)


@kernel
def _name_row(ids, behind_ids, above_ids, row, behind, above, start, stop, owned, table, names, sizes, count):
    """Write the compact numbers of a row of voxels and count the owned ones; neighbours' rows save most searches."""
    x = start
    while x < stop:
        name = np.int64(ids[np.uint64(x)])
        if name == np.int64(above_ids[np.uint64(x)]):
            number = np.int64(above[np.uint64(x)])
        elif name == np.int64(behind_ids[np.uint64(x)]):
            number = np.int64(behind[np.uint64(x)])
        else:
            number = np.int64(-1)
        if number < 0:
            number, count = _number(table, names, name, count)
        first = max(x, owned)
        while x < stop and np.int64(ids[np.uint64(x)]) == name:
            row[np.uint64(x)] = number
            x += 1
        sizes[number] += max(x - first, 0)
    return count


@kernel
def _link_row(row, other, shift, start, stop, values, contact, positions, table, keys, count, contacts, bytes_, filled):
    """Record every pair of touching voxels (row[x], other[x - shift]) of two fragments: contact number and affinity."""
    found = 0
    for x in range(start, stop):
        one, two = row[np.uint64(x)], other[np.uint64(x - shift)]
        positions[np.uint64(found)] = x
        found += (one != two) & (one != 0) & (two != 0)
    last = np.int64(-1)
    for k in range(found):
        x = np.int64(positions[np.uint64(k)])
        one, two = np.int64(row[np.uint64(x)]), np.int64(other[np.uint64(x - shift)])
        key = (min(one, two) << 32) | max(one, two)
        if key != last:
            contact, count = _number(table, keys, key, count)
            last = key
        contacts[np.uint64(filled)] = contact
        bytes_[np.uint64(filled)] = values[np.uint64(x)]
        filled += 1
    return count, filled


@kernel
def collect_contacts(fragments, affinities, low, high, state, planes, positions, regions, edges, records):
    """Walk the rows of the box [low - 1, high) from where `state` says until done or a table is nearly full.

    `state` is (row, regions, edges, records) so far; returns the new one. Pairs and sizes belong to the voxels in [low, high).
    Number 0 is the background. Tables are at most half full; the caller grows them and calls again.
    """
    region_table, region_names, sizes = regions
    edge_table, edge_keys = edges
    contacts, bytes_ = records
    row, region_count, edge_count, filled = state
    first_z, first_y, first_x = max(low[0] - 1, 0), max(low[1] - 1, 0), max(low[2] - 1, 0)
    height, width = high[1] - first_y, high[2] - first_x
    rows = (high[0] - first_z) * height
    while row < rows:
        if region_count + width > region_names.shape[0] or edge_count + 3 * width > edge_keys.shape[0]:
            break
        if filled + 3 * width > contacts.shape[0]:
            break
        z, y = first_z + row // height, first_y + row % height
        mine = planes[z & 1, y]
        behind, behind_ids = mine, fragments[z, y]
        above, above_ids = mine, fragments[z, y]
        if z > first_z:
            behind, behind_ids = planes[(z - 1) & 1, y], fragments[z - 1, y]
        if y > first_y:
            above, above_ids = planes[z & 1, y - 1], fragments[z, y - 1]
        ids = fragments[z, y]
        if z == first_z or y == first_y:
            mine[first_x : high[2]] = -1
        owned_row = z >= low[0] and y >= low[1]
        owned = low[2] if owned_row else high[2]
        region_count = _name_row(
            ids, behind_ids, above_ids, mine, behind, above, first_x, high[2], owned,
            region_table, region_names, sizes, region_count,
        )  # fmt: skip
        if owned_row:
            for channel in range(3):
                other, shift, start = behind, 0, low[2]
                if channel == 0 and z == 0:
                    continue
                if channel == 1:
                    if y == 0:
                        continue
                    other = above
                if channel == 2:
                    other, shift, start = mine, 1, max(low[2], 1)
                edge_count, filled = _link_row(
                    mine, other, shift, start, high[2], affinities[channel, z, y], np.int64(0), positions,
                    edge_table, edge_keys, edge_count, contacts, bytes_, filled,
                )  # fmt: skip
        row += 1
    return row, region_count, edge_count, filled


@kernel
def gather_contacts(contacts, bytes_, ranks, starts, gathered):
    """Counting sort: the affinities of contact c go to segment ranks[c] of `gathered`; fills `starts` (edges + 1)."""
    for k in range(contacts.shape[0]):
        starts[np.uint64(ranks[np.uint64(contacts[np.uint64(k)])] + 1)] += 1
    for edge in range(1, starts.shape[0]):
        starts[edge] += starts[edge - 1]
    ends = starts[:-1].copy()
    for k in range(contacts.shape[0]):
        edge = ranks[np.uint64(contacts[np.uint64(k)])]
        gathered[np.uint64(ends[np.uint64(edge)])] = bytes_[np.uint64(k)]
        ends[np.uint64(edge)] += 1


@kernel
def sort_segments(starts, values):
    """Sort the bytes of every segment in place; returns the number of distinct bytes, summed over the segments."""
    histogram = np.zeros(256, np.int64)
    distinct = 0
    for edge in range(starts.shape[0] - 1):
        start, stop = starts[edge], starts[edge + 1]
        if stop - start <= _SMALL:
            for k in range(start + 1, stop):
                value = values[np.uint64(k)]
                hole = k
                while hole > start and values[np.uint64(hole - 1)] > value:
                    values[np.uint64(hole)] = values[np.uint64(hole - 1)]
                    hole -= 1
                values[np.uint64(hole)] = value
        else:
            for k in range(start, stop):
                histogram[np.uint64(values[np.uint64(k)])] += 1
            hole = start
            for value in range(256):
                for _ in range(histogram[value]):
                    values[np.uint64(hole)] = value
                    hole += 1
                histogram[value] = 0
        last = -1
        for k in range(start, stop):
            value = np.int64(values[np.uint64(k)])
            distinct += value != last
            last = value
    return distinct


@kernel
def count_runs(starts, values, cell_starts, bins, counts):
    """Sparse histograms: the runs of equal bytes in every sorted segment, as (byte, length)."""
    cell = 0
    for edge in range(starts.shape[0] - 1):
        cell_starts[edge] = cell
        k, stop = starts[edge], starts[edge + 1]
        while k < stop:
            value, first = values[np.uint64(k)], k
            while k < stop and values[np.uint64(k)] == value:
                k += 1
            bins[np.uint64(cell)] = value
            counts[np.uint64(cell)] = k - first
            cell += 1
    cell_starts[starts.shape[0] - 1] = cell
