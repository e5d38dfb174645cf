"""Contacts between fragments: who touches whom, and with which affinities.

The affinities of every contact are a multiset.

`collect_contacts` walks the rows of a box once. Each fragment and each contact gets an index when it is first met, from a
hash table; each pair of voxels in a contact becomes a record (contact, affinity). `sparse_histograms` sorts the records.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clew.kernels._jit import at, bare_kernel, inline, kernel, prefetch
from clew.kernels._table import mixed
from clew.space import Triple

# a slot of a table is tag << 32 | index: 31 bits of the hash tell most keys apart without a look at their cache line
_INDEX, _TAG, _TAG_BITS, _TAG_SHIFT = 0xFFFFFFFF, 0x7FFFFFFF, 32, 22
_BUCKET, _BUCKET_BITS = 8, 3
"""Slots of a bucket, which is one cache line of int64."""
# a key of a contact is (smaller index of a region) << 32 | larger
_LARGER, _SMALLER_BITS = 0xFFFFFFFF, 32

_CHANNELS = 3
_RECENT = 1 << 15
"""Slots of the table that forgets: 128 KiB, which stay in the cache. With 16 slots the graph takes 1.1 to 1.2 times as long."""
_CHUNK = 1 << 20
"""Records of one array; what is full is kept, so that records are never copied to grow."""
_VOXELS_OF_A_FRAGMENT = 64
"""Tables have room for so large fragments, with three contacts each, and are made anew for smaller ones. Room from the start,
the prefetches and the sorting of short contacts together brought the graph to 0.86 of its time."""

_AHEAD = 16
"""How many records earlier a line is asked for: it pays where the contacts do not fit into the cache (in 160³ they do)."""
_FEW = 12
"""Affinities of a contact up to which they are sorted one by one: to read and clear bins takes 1.04 times as long where
fragments are small."""
_LEVELS, _GROUPS, _GROUP_BITS = 256, 16, 4
"""Bins of a histogram, and groups of 16 of them, so that only groups with a value are read."""


class _Table(NamedTuple):
    """Keys with the indices 0, 1, 2 … in the order in which they came.

    Parameters
    ----------
    slots : (power of two,) int64, tag << 32 | index; -1 is free
    keys : (room,) int64, half as many as slots at most
    used : (1,) int64, number of keys
    """

    slots: np.ndarray
    keys: np.ndarray
    used: np.ndarray


class _Rows(NamedTuple):
    """Room for the rows at hand.

    Parameters
    ----------
    regions : (2, y, x + 1) int32
        Indices of the voxels of two sections in turn; 0 is the background, also in the column before the first.
    marks : (x + 1,) uint8, which pairs of a voxel join two fragments
    columns : (x + 1,) int32, columns with a contact
    pairs : (x + 1,) int64, keys of these contacts
    recent : (power of two,) uint32, contacts found lately, by hash; any may be overwritten
    """

    regions: np.ndarray
    marks: np.ndarray
    columns: np.ndarray
    pairs: np.ndarray
    recent: np.ndarray


class _Records(NamedTuple):
    """Pairs of voxels.

    (room,) uint32 contact, (room,) uint8 affinity, (1,) int64 number of records.
    """

    contacts: np.ndarray
    levels: np.ndarray
    used: np.ndarray


class _Found(NamedTuple):
    """What the walk fills.

    Regions by id, their owned voxels (room,) int64, contacts by key, records.
    """

    regions: _Table
    sizes: np.ndarray
    contacts: _Table
    records: _Records


class _Box(NamedTuple):
    """What the walk reads.

    Affinities (3, z, y, x) uint8, fragments (z, y, x), and the owned voxels [low, high).
    """

    affinities: np.ndarray
    fragments: np.ndarray
    low: Triple
    high: Triple


class Contacts(NamedTuple):
    """Regions and contacts in the order in which they were met.

    Parameters
    ----------
    ids : (m,) int64
        Bits of the fragments' ids; the first is 0, the background.
    sizes : (m,) int64
        Owned voxels of each.
    ends : (2, n) int64
        Indices of the two regions of each contact.
    records : list of (k,) uint32 and (k,) uint8
        Contact and affinity of each pair of voxels.
    """

    ids: np.ndarray
    sizes: np.ndarray
    ends: np.ndarray
    records: list[tuple[np.ndarray, np.ndarray]]


def collect_contacts(
    affinities: np.ndarray, fragments: np.ndarray, low: Sequence[int], high: Sequence[int]
) -> Contacts:
    """Contacts of the pairs (v, v - axis) whose voxel v lies in the box [low, high).

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
    fragments : (z, y, x) uint32, or the bits of uint64 as int64
        In C order; 0 is the background.
    low, high : voxels (z, y, x)

    Returns
    -------
    Contacts
    """
    (z, y, x), (end_z, end_y, end_x) = low, high
    box = _Box(affinities, fragments, (z, y, x), (end_z, end_y, end_x))
    width = fragments.shape[2] + 1
    rows, room = _new_rows(fragments.shape[1], width), max(8 * width, fragments.size // _VOXELS_OF_A_FRAGMENT)
    regions = _new_table(np.zeros(room, np.int64), 1)
    found = _Found(regions, np.zeros(room, np.int64), _new_table(np.zeros(3 * room, np.int64), 0), _new_records(width))
    full, row, number = [], 0, (end_z - max(z - 1, 0)) * (end_y - max(y - 1, 0))
    while row < number:
        row = _walk(box, rows, found, row)
        # tables grow here: a kernel that can rebind an array is many times slower
        if _lacks_room(found.regions, width):
            found = found._replace(regions=_grown(found.regions), sizes=_doubled(found.sizes))
        if _lacks_room(found.contacts, _CHANNELS * width):
            found = found._replace(contacts=_grown(found.contacts))
        records, used = found.records, int(found.records.used[0])
        if row == number or used + _CHANNELS * width > len(records.contacts):
            full.append((records.contacts[:used], records.levels[:used]))
            found = found._replace(records=_new_records(width))
    keys = found.contacts.keys[: found.contacts.used[0]]
    ends = np.stack([keys >> _SMALLER_BITS, keys & _LARGER])
    count = found.regions.used[0]
    return Contacts(found.regions.keys[:count], found.sizes[:count], ends, full)


def sparse_histograms(
    records: list[tuple[np.ndarray, np.ndarray]], order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sparse histograms of the affinities of each contact; uses the records up.

    Parameters
    ----------
    records : list of (k,) uint32 and (k,) uint8
        Contact and affinity of each pair of voxels; empty afterwards.
    order : (n,) int64
        The contacts, in the order of the histograms.

    Returns
    -------
    starts : (n + 1,) int64
        The histogram of order[i] is bins[starts[i]:starts[i + 1]] with counts[starts[i]:starts[i + 1]].
    bins : (k,) uint8
        Affinities that occur, ascending.
    counts : (k,) int64
    """
    places = np.zeros(len(order), np.int64)
    for contacts, _ in records:
        _count_contacts(contacts, places)
    segments = np.zeros(len(order) + 1, np.int64)
    np.cumsum(places[order], out=segments[1:])
    places[order] = segments[:-1]
    bins = np.empty(segments[-1], np.uint8)
    while records:
        _gather_contacts(*records.pop(), places, bins)
    starts, counts = np.empty_like(segments), np.empty(len(bins), np.int64)
    cells = _count_levels(segments, bins, starts, counts)
    bins.resize(cells, refcheck=False)
    counts.resize(cells, refcheck=False)
    return starts, bins, counts


def _new_rows(height: int, width: int) -> _Rows:
    columns, pairs = np.empty(width, np.int32), np.empty(width, np.int64)
    regions, recent = np.zeros((2, height, width), np.int32), np.zeros(_RECENT, np.uint32)
    return _Rows(regions, np.empty(width, np.uint8), columns, pairs, recent)


def _new_records(width: int) -> _Records:
    count = max(_CHUNK, 8 * width)
    return _Records(np.empty(count, np.uint32), np.empty(count, np.uint8), np.zeros(1, np.int64))


def _new_table(keys: np.ndarray, count: int) -> _Table:
    """Table of the first keys; buckets begin at cache lines."""
    slots = 1 << int(2 * len(keys) - 1).bit_length()
    memory = np.full(slots + _BUCKET, -1, np.int64)
    start = -memory.ctypes.data % 64 // 8
    table = _Table(memory[start : start + slots], keys, np.zeros(1, np.int64))
    _enter_all(table, count)
    return table


def _lacks_room(table: _Table, number: int) -> bool:
    return bool(table.used[0] + number > len(table.keys))


def _grown(table: _Table) -> _Table:
    return _new_table(_doubled(table.keys), int(table.used[0]))


def _doubled(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.zeros_like(values)])


@bare_kernel
def _index_of(table, key):
    """Index of a key, which is entered with the next one if it is new.

    The first bucket to look in goes by the low half of the key (the larger region of a pair: what is near in space is
    near in memory), the others by the hash.
    """
    slots, keys = table.slots, table.keys
    mask = (slots.shape[0] >> _BUCKET_BITS) - 1
    place = mixed(key)
    tag = (place >> _TAG_SHIFT) & _TAG
    bucket = key & mask
    while True:
        for slot in range(_BUCKET * bucket, _BUCKET * bucket + _BUCKET):
            entry = slots[at(slot)]
            if entry < 0:
                index = table.used[0]
                slots[at(slot)] = (tag << _TAG_BITS) | index
                keys[at(index)] = key
                table.used[0] = index + 1
                return index
            if entry >> _TAG_BITS == tag and keys[at(entry & _INDEX)] == key:
                return entry & _INDEX
        bucket = place & mask
        place += 1


@bare_kernel
def _enter_all(table, count):
    """Enter keys[:count], which have the indices 0, 1, 2 …, into an empty table."""
    for index in range(count):
        _index_of(table, table.keys[index])


@bare_kernel
def _walk(box, rows, found, row):
    """Walk the rows of the box [low - 1, high) from `row` on; returns the next row.

    It stops at the end, or when a table is nearly full.

    Only pairs and voxels in [low, high) are counted.
    """
    low, high = box.low, box.high
    first_z, first_y, first_x = max(low[0] - 1, 0), max(low[1] - 1, 0), max(low[2] - 1, 0)
    height, width = high[1] - first_y, high[2] - first_x
    regions, contacts, records = found.regions, found.contacts, found.records
    while row < (high[0] - first_z) * height:
        if regions.used[0] + width > regions.keys.shape[0]:
            break
        if contacts.used[0] + _CHANNELS * width > contacts.keys.shape[0]:
            break
        if records.used[0] + _CHANNELS * width > records.contacts.shape[0]:
            break
        _walk_row(box, rows, found, first_z + row // height, first_y + row % height)
        row += 1
    return row


@inline
def _walk_row(box, rows, found, z, y):
    """Index the voxels of a row; if it is owned, record its contacts."""
    low, high, ids = box.low, box.high, box.fragments[z, y]
    first_z, first_y, first_x = max(low[0] - 1, 0), max(low[1] - 1, 0), max(low[2] - 1, 0)
    here, left = rows.regions[z & 1, y, 1:], rows.regions[z & 1, y, :-1]
    # beside itself a row has no contacts: so it stands in for the rows that the box does not have
    back_ids, back, up_ids, up = ids, here, ids, here
    if z > first_z:
        back_ids, back = box.fragments[z - 1, y], rows.regions[(z - 1) & 1, y, 1:]
    if y > first_y:
        up_ids, up = box.fragments[z, y - 1], rows.regions[z & 1, y - 1, 1:]
    if z == first_z or y == first_y:
        here[:] = -1
    owned = z >= low[0] and y >= low[1]
    _index_row(found, (ids, back_ids, up_ids), (here, back, up), (first_x, high[2]), low[2] if owned else high[2])
    if not owned:
        return
    _mark_contacts((here, back, up, left), low[2], high[2], rows.marks)
    for channel in range(_CHANNELS):
        others = back
        if channel == 1:
            others = up
        elif channel == 2:
            others = left
        count = _list_pairs(rows, here, others, 1 << channel, (low[2], high[2]))
        _record_pairs(rows, found, count, box.affinities[channel, z, y])


@bare_kernel
def _index_row(found, ids, regions, span, owned):
    """Write the indices of a row of voxels and count those from `owned` on.

    `ids` and `regions` are those of the row, the row behind and the row above: these two save most searches.
    """
    here_ids, back_ids, up_ids = ids
    here, back, up = regions
    x, stop = span
    while x < stop:
        name = np.int64(here_ids[at(x)])
        if name == np.int64(up_ids[at(x)]):
            region = np.int64(up[at(x)])
        elif name == np.int64(back_ids[at(x)]):
            region = np.int64(back[at(x)])
        else:
            region = np.int64(-1)
        if region < 0:
            region = _index_of(found.regions, name)
        first = max(x, owned)
        while x < stop and np.int64(here_ids[at(x)]) == name:
            here[at(x)] = region
            x += 1
        found.sizes[at(region)] += max(x - first, 0)


@bare_kernel
def _mark_contacts(regions, start, stop, marks):
    """Bit c of marks[x]: the pair of voxel x in channel c joins two fragments."""
    here, back, up, left = regions
    for x in range(start, stop):
        own, one, two, three = here[at(x)], back[at(x)], up[at(x)], left[at(x)]
        mark = np.uint8((own != one) & (one != 0))
        mark |= np.uint8((own != two) & (two != 0)) << 1
        mark |= np.uint8((own != three) & (three != 0)) << 2
        marks[at(x)] = mark if own != 0 else 0


@inline
def _key_of(one, two):
    return (min(one, two) << _SMALLER_BITS) | max(one, two)


@inline
def _recent_slot(recent, key):
    return mixed(key) & (recent.shape[0] - 1)


@bare_kernel
def _list_pairs(rows, here, others, bit, span):
    """List the contacts of one channel in a row, with their keys.

    Returns their number.
    """
    columns, pairs, recent = rows.columns, rows.pairs, rows.recent
    count = 0
    for x in range(span[0], span[1]):
        columns[at(count)] = x  # without a branch: which pairs are contacts cannot be foretold
        count += np.int64((rows.marks[at(x)] & bit) != 0)
    for k in range(count):
        x = at(columns[at(k)])
        pairs[at(k)] = _key_of(np.int64(here[x]), np.int64(others[x]))
        prefetch(recent, _recent_slot(recent, pairs[at(k)]))
    return count


@bare_kernel
def _record_pairs(rows, found, count, levels):
    """Record contact and affinity of the pairs listed.

    A contact is looked for as the last one, then in `recent`, then in the large table. The lines that a whole row needs of
    each are asked for first, so that they are on their way at once.
    """
    pairs, recent, slots, keys = rows.pairs, rows.recent, found.contacts.slots, found.contacts.keys
    records, mask = found.records, (found.contacts.slots.shape[0] >> _BUCKET_BITS) - 1
    for k in range(count):
        key = pairs[at(k)]
        prefetch(keys, np.int64(recent[at(_recent_slot(recent, key))]))
        prefetch(slots, _BUCKET * (key & mask))
    last, contact, filled = np.int64(-1), np.int64(0), records.used[0]
    for k in range(count):
        key = pairs[at(k)]
        if key != last:
            place = at(_recent_slot(recent, key))
            contact = np.int64(recent[place])
            if keys[at(contact)] != key:
                contact = _index_of(found.contacts, key)
                recent[place] = contact
            last = key
        records.contacts[at(filled)] = contact
        records.levels[at(filled)] = levels[at(rows.columns[at(k)])]
        filled += 1
    records.used[0] = filled


@kernel
def _count_contacts(contacts, numbers):
    """Add the records of each contact to `numbers`."""
    last = contacts.shape[0] - 1
    for k in range(contacts.shape[0]):
        prefetch(numbers, np.int64(contacts[at(min(k + _AHEAD, last))]))
        numbers[at(contacts[at(k)])] += 1


@kernel
def _gather_contacts(contacts, levels, places, gathered):
    """Sort the affinities by contact, by counting.

    Those of contact c go to `gathered` from places[c] on, which moves along.
    """
    last = contacts.shape[0] - 1
    for k in range(contacts.shape[0]):
        # the place has to be there before the line that it names can be asked for
        prefetch(places, np.int64(contacts[at(min(k + 2 * _AHEAD, last))]))
        prefetch(gathered, places[at(contacts[at(min(k + _AHEAD, last))])])
        contact = at(contacts[at(k)])
        gathered[at(places[contact])] = levels[at(k)]
        places[contact] += 1


@inline
def _count_few(values, counts, start, stop, cell):
    """Histogram of a short segment by insertion.

    The values met so far are sorted in values[cell:end], written over.
    """
    end = cell
    for k in range(start, stop):
        value, place = values[at(k)], end
        while place > cell and values[at(place - 1)] > value:
            place -= 1
        if place > cell and values[at(place - 1)] == value:
            counts[at(place - 1)] += 1
            continue
        for later in range(end, place, -1):
            values[at(later)] = values[at(later - 1)]
            counts[at(later)] = counts[at(later - 1)]
        values[at(place)] = value
        counts[at(place)] = 1
        end += 1
    return end


@kernel
def _count_levels(starts, values, cell_starts, counts):
    """Sparse histograms of the segments of `values`; returns the number of cells.

    They are written over the values from the front.
    """
    histogram, groups = np.zeros(_LEVELS, np.int64), np.zeros(_GROUPS, np.int64)
    cell = np.int64(0)
    for edge in range(starts.shape[0] - 1):
        cell_starts[edge] = cell
        start, stop = starts[edge], starts[edge + 1]
        if stop - start <= _FEW:
            cell = _count_few(values, counts, start, stop, cell)
            continue
        for k in range(start, stop):
            value = np.int64(values[at(k)])
            histogram[at(value)] += 1
            groups[at(value >> _GROUP_BITS)] = 1
        for group in range(_GROUPS):
            if groups[group]:
                groups[group] = 0
                for value in range(group << _GROUP_BITS, (group + 1) << _GROUP_BITS):
                    if histogram[value]:
                        values[at(cell)] = value
                        counts[at(cell)] = histogram[value]
                        histogram[value] = 0
                        cell += 1
    cell_starts[starts.shape[0] - 1] = cell
    return cell
