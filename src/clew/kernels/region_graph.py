"""Contacts between fragments: who touches whom, and the multiset of affinities in every contact."""

import numpy as np

from clew.kernels._jit import inline, kernel, prefetch
from clew.kernels._table import mixed

_AHEAD = 16
"""How many records earlier a line is asked for."""
_FEW = 12
"""Affinities of a contact up to which they are sorted one by one."""


@kernel
def _number(table, names, name, count):
    """Number of `name`, which is entered with the next number if it is new; also the count of names then.

    A slot of the table holds 31 bits of the hash and the number. Eight slots are a bucket, one cache line: the first to
    look in goes by the low half of the name (the larger region of a pair: what is near in space is near in memory),
    the others by the hash.
    """
    mask = (table.shape[0] >> 3) - 1
    place = mixed(name)
    tag = (place >> 22) & 0x7FFFFFFF
    bucket = name & mask
    while True:
        for slot in range(8 * bucket, 8 * bucket + 8):
            entry = table[np.uint64(slot)]
            if entry < 0:
                table[np.uint64(slot)] = (tag << 32) | count
                names[np.uint64(count)] = name
                return count, count + 1
            if entry >> 32 == tag and names[np.uint64(entry & 0xFFFFFFFF)] == name:
                return entry & 0xFFFFFFFF, count
        bucket = place & mask
        place += 1


@kernel
def fill_table(table, names, count):
    """Enter names[:count], numbered in order, into an empty table (all -1) of twice as many slots, a power of two."""
    for number in range(count):
        _number(table, names, names[number], number)


@kernel
def _name_row(ids, behind_ids, above_ids, row, behind, above, start, stop, owned, table, names, sizes, count):
    """Write the numbers of a row of voxels and count the owned ones; the rows beside it save most searches."""
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
        sizes[np.uint64(number)] += max(x - first, 0)
    return count


@kernel
def _mark_contacts(row, back, up, left, start, stop, marks):
    """Bit c of marks[x]: the pair of voxel x in channel c joins two fragments; beside itself a row has none."""
    for x in range(start, stop):
        here, one, two, three = row[np.uint64(x)], back[np.uint64(x)], up[np.uint64(x)], left[np.uint64(x)]
        mark = np.uint8((here != one) & (one != 0))
        mark |= np.uint8((here != two) & (two != 0)) << 1
        mark |= np.uint8((here != three) & (three != 0)) << 2
        marks[np.uint64(x)] = mark if here != 0 else 0


@inline
def _pair(one, two):
    return (min(one, two) << 32) | max(one, two)


@kernel
def _link_row(row, others, bit, start, stop, marks, values, recent, places, pairs, table, keys, count, records, filled):
    """Record the contacts of one channel: number of the pair of fragments, and affinity.

    A pair is looked for as the last one, then in `recent`, a small table that forgets, then in the large table. What the
    whole row needs of each is asked for first.
    """
    contacts, levels = records
    found, mask = 0, (table.shape[0] >> 3) - 1
    for x in range(start, stop):
        places[np.uint64(found)] = x
        found += np.int64((marks[np.uint64(x)] & bit) != 0)
    for k in range(found):
        x = np.uint64(places[np.uint64(k)])
        pairs[np.uint64(k)] = _pair(np.int64(row[x]), np.int64(others[x]))
        prefetch(recent, mixed(pairs[np.uint64(k)]) & (recent.shape[0] - 1))
    for k in range(found):
        key = pairs[np.uint64(k)]
        prefetch(keys, np.int64(recent[np.uint64(mixed(key) & (recent.shape[0] - 1))]))
        prefetch(table, 8 * (key & mask))
    last, contact = np.int64(-1), np.int64(0)
    for k in range(found):
        key = pairs[np.uint64(k)]
        if key != last:
            place = np.uint64(mixed(key) & (recent.shape[0] - 1))
            contact = np.int64(recent[place])
            if keys[np.uint64(contact)] != key:
                contact, count = _number(table, keys, key, count)
                recent[place] = contact
            last = key
        contacts[np.uint64(filled)] = contact
        levels[np.uint64(filled)] = values[np.uint64(places[np.uint64(k)])]
        filled += 1
    return count, filled


@kernel
def collect_contacts(fragments, affinities, low, high, state, scratch, regions, edges, records):
    """Walk the rows of the box [low - 1, high) from where `state` says until done or a table is nearly full.

    `state` is (row, regions, edges, records) so far; returns the new one. Pairs and sizes belong to the voxels in
    [low, high). Number 0 is the background, also in the column before the first of `planes`. Tables are at most half
    full; the caller grows them and calls again.
    """
    planes, places, pairs, marks, recent = scratch
    region_table, region_names, sizes = regions
    edge_table, keys = edges
    row, region_count, edge_count, filled = state
    first_z, first_y, first_x = max(low[0] - 1, 0), max(low[1] - 1, 0), max(low[2] - 1, 0)
    height, width = high[1] - first_y, high[2] - first_x
    while row < (high[0] - first_z) * height:
        if region_count + width > region_names.shape[0] or edge_count + 3 * width > keys.shape[0]:
            break
        if filled + 3 * width > records[0].shape[0]:
            break
        z, y = first_z + row // height, first_y + row % height
        ids, mine, left = fragments[z, y], planes[z & 1, y, 1:], planes[z & 1, y, :-1]
        back_ids, back, up_ids, up = ids, mine, ids, mine
        if z > first_z:
            back_ids, back = fragments[z - 1, y], planes[(z - 1) & 1, y, 1:]
        if y > first_y:
            up_ids, up = fragments[z, y - 1], planes[z & 1, y - 1, 1:]
        if z == first_z or y == first_y:
            mine[:] = -1
        owned_row = z >= low[0] and y >= low[1]
        owned = low[2] if owned_row else high[2]
        region_count = _name_row(
            ids, back_ids, up_ids, mine, back, up, first_x, high[2], owned, region_table, region_names, sizes,
            region_count,
        )  # fmt: skip
        if owned_row:
            _mark_contacts(mine, back, up, left, low[2], high[2], marks)
            for channel in range(3):
                others = back
                if channel == 1:
                    others = up
                elif channel == 2:
                    others = left
                edge_count, filled = _link_row(
                    mine, others, 1 << channel, low[2], high[2], marks, affinities[channel, z, y], recent, places,
                    pairs, edge_table, keys, edge_count, records, filled,
                )  # fmt: skip
        row += 1
    return row, region_count, edge_count, filled


@kernel
def count_contacts(contacts, numbers):
    """Add the records of each contact to `numbers`."""
    last = contacts.shape[0] - 1
    for k in range(contacts.shape[0]):
        prefetch(numbers, np.int64(contacts[np.uint64(min(k + _AHEAD, last))]))
        numbers[np.uint64(contacts[np.uint64(k)])] += 1


@kernel
def gather_contacts(contacts, levels, places, gathered):
    """Counting sort: the affinities of contact c go to `gathered` from places[c] on, which moves along."""
    last = contacts.shape[0] - 1
    for k in range(contacts.shape[0]):
        prefetch(places, np.int64(contacts[np.uint64(min(k + 2 * _AHEAD, last))]))
        prefetch(gathered, places[np.uint64(contacts[np.uint64(min(k + _AHEAD, last))])])
        contact = np.uint64(contacts[np.uint64(k)])
        gathered[np.uint64(places[contact])] = levels[np.uint64(k)]
        places[contact] += 1


@inline
def _count_few(values, counts, start, stop, cell):
    """Histogram of a short segment by insertion: the values met so far are sorted in values[cell:end], written over."""
    end = cell
    for k in range(start, stop):
        value, place = values[np.uint64(k)], end
        while place > cell and values[np.uint64(place - 1)] > value:
            place -= 1
        if place > cell and values[np.uint64(place - 1)] == value:
            counts[np.uint64(place - 1)] += 1
            continue
        for k2 in range(end, place, -1):
            values[np.uint64(k2)] = values[np.uint64(k2 - 1)]
            counts[np.uint64(k2)] = counts[np.uint64(k2 - 1)]
        values[np.uint64(place)] = value
        counts[np.uint64(place)] = 1
        end += 1
    return end


@kernel
def count_levels(starts, values, cell_starts, counts):
    """Sparse histograms of the segments of `values`, written over them from the front; returns the number of cells."""
    histogram, groups = np.zeros(256, np.int64), np.zeros(16, np.int64)
    cell = np.int64(0)
    for edge in range(starts.shape[0] - 1):
        cell_starts[edge] = cell
        start, stop = starts[edge], starts[edge + 1]
        if stop - start <= _FEW:
            cell = _count_few(values, counts, start, stop, cell)
            continue
        for k in range(start, stop):
            value = np.int64(values[np.uint64(k)])
            histogram[np.uint64(value)] += 1
            groups[np.uint64(value >> 4)] = 1
        for group in range(16):
            if groups[group]:
                groups[group] = 0
                for value in range(16 * group, 16 * group + 16):
                    if histogram[value]:
                        values[np.uint64(cell)] = value
                        counts[np.uint64(cell)] = histogram[value]
                        histogram[value] = 0
                        cell += 1
    cell_starts[starts.shape[0] - 1] = cell
    return cell
