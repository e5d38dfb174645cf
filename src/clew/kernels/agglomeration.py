"""Merge the best edge of a region graph, pool parallel edges, again and again, in one strict order.

An edge is one cache line, a row of 16 int32 (or 8 int64: the same memory), and one byte of state, so that edges that have
gone are passed over without a look at their line. Its key is the rank of its initial edge; pooled edges take the largest
key. The edges of a region are its chain of segments of one array: a walk does not wait for one line to find the next.
Edges wait in buckets, one for each score level. Pooling leaves the pooled edge at the better of the two places: a
reducible score's true place can only be worse, so it is scored when its turn comes.
"""

import numpy as np

from clew.kernels._jit import inline, kernel, prefetch
from clew.kernels._table import mixed_pair

MEAN, QUANTILE, TOP = 0, 1, 2
FULL = 65535
DENSE = 64
BINS = 272

# columns of an edge, int32: its two regions, and
KEY, LEVEL, _WAITING = 4, 5, 7
SLOT, CHAIN, TAIL, SIZE = 10, 11, 12, 13
# columns of an edge, int64: number of values; their sum (MEAN, TOP); first cell << 9 | number of cells (QUANTILE)
COUNT, SUM, CELLS = 4, 5, 7
# columns of a region, int32; the first four belong to the segment of its initial edges
START, STOP, FOLLOWING, LAST, NAME, HELD, REGION_COLUMNS = 0, 1, 2, 3, 4, 5, 6
# states of an edge
FRESH, _STALE, GONE = 0, 1, 2


@inline
def _entry(one, two, edge):
    return (((mixed_pair(one, two) >> 20) & 0x7FFFFFFF) << 32) | edge


@inline
def _find(table, edges, states, one, two):
    """Slot and edge that joins regions `one` < `two`, or the first free slot and -1.

    A slot holds 31 bits of the hash and the edge; slots of edges that have gone or moved are passed over.
    """
    mask = table.shape[0] - 1
    tag, slot = _entry(one, two, 0) >> 32, mixed_pair(one, two) & mask
    while True:
        entry = table[np.uint64(slot)]
        if entry < 0:
            return slot, np.int64(-1)
        if entry >> 32 == tag:
            edge = entry & 0xFFFFFFFF
            first, second = edges[np.uint64(edge), 0], edges[np.uint64(edge), 1]
            if min(first, second) == one and max(first, second) == two and states[np.uint64(edge)] != GONE:
                return slot, edge
        slot = (slot + 1) & mask


@kernel
def _enter_all(table, edges, states):
    """Fill the empty table with the edges that are left; returns their number."""
    entered = 0
    table[:] = -1
    for edge in range(edges.shape[0]):
        if states[np.uint64(edge)] != GONE:
            first, second = np.int64(edges[np.uint64(edge), 0]), np.int64(edges[np.uint64(edge), 1])
            one, two = min(first, second), max(first, second)
            table[np.uint64(_find(table, edges, states, one, two)[0])] = _entry(one, two, edge)
            entered += 1
    return entered


@inline
def _add_cells(edges, wide, cells, edge, histogram, sign):
    """Add the sparse histograms of an edge's chain to a dense one, which has 16 coarse bins behind its 256."""
    while edge >= 0:
        packed = wide[np.uint64(edge), CELLS]
        start = packed >> 9
        for k in range(start, start + (packed & 511)):
            cell = cells[np.uint64(k)]
            value, count = cell & 255, (cell >> 8) * sign
            histogram[np.uint64(value)] += count
            histogram[np.uint64(256 + (value >> 4))] += count
        edge = np.int64(edges[np.uint64(edge), CHAIN])


@inline
def _value_at(histogram, index):
    """The value at `index` of the sorted values."""
    place = 256
    while index >= histogram[np.uint64(place)]:
        index -= histogram[np.uint64(place)]
        place += 1
    place = (place - 256) << 4
    while index >= histogram[np.uint64(place)]:
        index -= histogram[np.uint64(place)]
        place += 1
    return place


@inline
def _score(kind, percent, edges, wide, cells, dense, scratch, edge):
    """Level of an edge's score: 0 to 255 for quantiles, else 0 to 65535."""
    count = wide[np.uint64(edge), COUNT]
    if kind != QUANTILE:
        return wide[np.uint64(edge), SUM] * 257 // count
    index = min(percent * count // 100, count - 1)
    slot = np.int64(edges[np.uint64(edge), SLOT])
    if slot >= 0:
        return np.int64(_value_at(dense[slot], index))
    if edges[np.uint64(edge), CHAIN] >= 0:
        _add_cells(edges, wide, cells, edge, scratch, 1)
        level = np.int64(_value_at(scratch, index))
        _add_cells(edges, wide, cells, edge, scratch, -1)
        return level
    k = wide[np.uint64(edge), CELLS] >> 9
    while index >= cells[np.uint64(k)] >> 8:
        index -= cells[np.uint64(k)] >> 8
        k += 1
    return cells[np.uint64(k)] & 255


@inline
def _pool_histograms(edges, wide, cells, dense, free, keeper, other):
    """Add the values of `other` to `keeper`: short histograms are chained, long ones made dense."""
    mine, yours = np.int64(edges[np.uint64(keeper), SLOT]), np.int64(edges[np.uint64(other), SLOT])
    if mine >= 0 and yours >= 0:
        for k in range(BINS):
            dense[np.uint64(mine), k] += dense[np.uint64(yours), k]
        _release(dense, free, yours)
        return
    size = edges[np.uint64(keeper), SIZE] + edges[np.uint64(other), SIZE]
    if mine < 0 and yours < 0 and size < DENSE:
        edges[np.uint64(edges[np.uint64(keeper), TAIL]), CHAIN] = other
        edges[np.uint64(keeper), TAIL] = edges[np.uint64(other), TAIL]
        edges[np.uint64(keeper), SIZE] = size
        return
    slot = max(mine, yours)
    if slot < 0:
        slot = np.int64(free[free[0]])
        free[0] -= 1
    if mine < 0:
        _add_cells(edges, wide, cells, keeper, dense[slot], 1)
    if yours < 0:
        _add_cells(edges, wide, cells, other, dense[slot], 1)
    edges[np.uint64(keeper), SLOT] = slot


@inline
def _release(dense, free, slot):
    """Give a dense histogram back; free[0] counts the free ones listed behind it."""
    dense[slot, :] = 0
    free[0] += 1
    free[free[0]] = slot


@inline
def _pool_top(wide, tops, keeper, other):
    """The largest values of both, descending, into the row of `keeper`."""
    mine, yours = tops[keeper].copy(), tops[other]
    have, more = wide[keeper, COUNT], wide[other, COUNT]
    count = min(have + more, tops.shape[1])
    i, j, total = 0, 0, 0
    for k in range(count):
        if j == more or (i < have and mine[i] >= yours[j]):
            tops[keeper, k] = mine[i]
            i += 1
        else:
            tops[keeper, k] = yours[j]
            j += 1
        total += np.int64(tops[keeper, k])
    wide[keeper, COUNT], wide[keeper, SUM] = count, total


@inline
def _pool(kind, edges, wide, states, cells, dense, free, tops, keeper, other):
    """Make the parallel edges one: `keeper` takes the values and the larger key, and is to be scored again."""
    if kind == TOP:
        _pool_top(wide, tops, keeper, other)
    else:
        wide[np.uint64(keeper), COUNT] += wide[np.uint64(other), COUNT]
        if kind == MEAN:
            wide[np.uint64(keeper), SUM] += wide[np.uint64(other), SUM]
        else:
            _pool_histograms(edges, wide, cells, dense, free, keeper, other)
    edges[np.uint64(keeper), KEY] = max(edges[np.uint64(keeper), KEY], edges[np.uint64(other), KEY])
    states[np.uint64(keeper)] = _STALE
    states[np.uint64(other)] = GONE


@inline
def _gather(stays, goes, edges, states, regions, entries, table, moving):
    """List the edges of the region that goes in moving[:, 0], from its chain of segments; returns their number.

    All lines that will be needed are asked for, one kind after the other.
    """
    count, segment, mask = 0, goes, table.shape[0] - 1
    while segment >= 0:
        for place in range(regions[np.uint64(segment), START], regions[np.uint64(segment), STOP]):
            moved = np.int64(entries[np.uint64(place)])
            moving[np.uint64(count), 0] = moved
            if states[np.uint64(moved)] != GONE:
                prefetch(edges, moved)
                count += 1
        segment = np.int64(regions[np.uint64(segment), FOLLOWING])
    for k in range(count):
        moved = np.uint64(moving[np.uint64(k), 0])
        other = np.int64(edges[moved, 0]) + np.int64(edges[moved, 1]) - goes
        slot = mixed_pair(min(stays, other), max(stays, other)) & mask
        moving[np.uint64(k), 1] = slot
        prefetch(table, slot)
    for k in range(count):
        prefetch(edges, max(table[np.uint64(moving[np.uint64(k), 1])], 0) & 0xFFFFFFFF)
    return count


@inline
def _list_moved(stays, goes, count, regions, entries, moving):
    """Put the edges moving[:count, 0] into the segments of one region and append these, if not empty, to those of another."""
    last, segment, k = np.int64(regions[np.uint64(stays), LAST]), goes, 0
    while segment >= 0:
        place = np.int64(regions[np.uint64(segment), START])
        while place < regions[np.uint64(segment), STOP] and k < count:
            entries[np.uint64(place)] = moving[np.uint64(k), 0]
            place += 1
            k += 1
        following = np.int64(regions[np.uint64(segment), FOLLOWING])
        if place > regions[np.uint64(segment), START]:
            regions[np.uint64(last), FOLLOWING] = segment
            regions[np.uint64(segment), FOLLOWING] = -1
            last = segment
        regions[np.uint64(segment), STOP] = place
        segment = following
    regions[np.uint64(stays), LAST] = last


@inline
def _merge(
    kind, edge, edges, wide, states, regions, degrees, sizes, entries, table, used, moving, cells, dense, free, tops,
    touched,
):  # fmt: skip
    """Merge the two regions of an edge: move the edges of the one with fewer to the other, pool the parallel ones.

    touched[0] counts the pooled edges listed behind it (TOP only). (Arrays come one by one: to take a tuple apart counts
    references, atomically, every time.)
    """
    stays, goes = np.int64(edges[np.uint64(edge), 0]), np.int64(edges[np.uint64(edge), 1])
    if degrees[np.uint64(stays)] < degrees[np.uint64(goes)]:
        stays, goes = goes, stays
    states[np.uint64(edge)] = GONE
    if kind == QUANTILE and edges[np.uint64(edge), SLOT] >= 0:
        _release(dense, free, np.int64(edges[np.uint64(edge), SLOT]))
    count, kept = _gather(stays, goes, edges, states, regions, entries, table, moving), 0
    for k in range(count):
        moved = moving[np.uint64(k), 0]
        side = np.int64(edges[np.uint64(moved), 1] == goes)
        other = np.int64(edges[np.uint64(moved), np.uint64(1 - side)])
        slot, parallel = _find(table, edges, states, min(stays, other), max(stays, other))
        if parallel >= 0:
            degrees[np.uint64(other)] -= 1
            keeper = parallel
            if edges[np.uint64(parallel), LEVEL] < edges[np.uint64(moved), LEVEL]:
                keeper = moved
            _pool(kind, edges, wide, states, cells, dense, free, tops, keeper, moved + parallel - keeper)
            if kind == TOP:
                touched[0] += 1
                touched[touched[0]] = keeper
            if keeper == parallel:
                continue
            degrees[np.uint64(stays)] -= 1
        edges[np.uint64(moved), np.uint64(side)] = stays
        moving[np.uint64(kept), 0] = moved
        kept += 1
        used[0] += table[np.uint64(slot)] < 0
        table[np.uint64(slot)] = _entry(min(stays, other), max(stays, other), moved)
        if used[0] * 10 > table.shape[0] * 7:
            used[0] = _enter_all(table, edges, states)
    _list_moved(stays, goes, kept, regions, entries, moving)
    degrees[np.uint64(stays)] += kept - 1
    regions[np.uint64(stays), NAME] = min(regions[np.uint64(stays), NAME], regions[np.uint64(goes), NAME])
    sizes[np.uint64(stays)] += sizes[np.uint64(goes)]


@inline
def _push(heap, size, entry):
    hole = size
    while hole > 0 and heap[np.uint64((hole - 1) >> 1)] > entry:
        heap[np.uint64(hole)] = heap[np.uint64((hole - 1) >> 1)]
        hole = (hole - 1) >> 1
    heap[np.uint64(hole)] = entry
    return size + 1


@inline
def _pop(heap, size):
    """Remove heap[0], the smallest; returns what is left."""
    size -= 1
    entry = heap[np.uint64(size)]
    hole, child = 0, 1
    while child < size:
        if child + 1 < size and heap[np.uint64(child + 1)] < heap[np.uint64(child)]:
            child += 1
        if heap[np.uint64(child)] >= entry:
            break
        heap[np.uint64(hole)] = heap[np.uint64(child)]
        hole, child = child, 2 * child + 1
    heap[np.uint64(hole)] = entry
    return size


@kernel
def score_edges(kind, percent, graph, statistics):
    """Give every edge its first score and enter it in the table."""
    edges, wide, states, _, _, _, _, table, used, _ = graph
    cells, dense, _, scratch, _ = statistics
    for edge in range(edges.shape[0]):
        edges[np.uint64(edge), LEVEL] = _score(kind, percent, edges, wide, cells, dense, scratch, edge)
    used[0] = _enter_all(table, edges, states)


@inline
def _record(edges, regions, sizes, edge, minimum_size, merges, levels, count, level):
    """Note the merge along an edge and count it, unless both regions have `minimum_size` voxels (0: no matter)."""
    one, two = np.uint64(edges[np.uint64(edge), 0]), np.uint64(edges[np.uint64(edge), 1])
    if minimum_size > 0 and sizes[one] >= minimum_size and sizes[two] >= minimum_size:
        return count
    merges[count, 0] = min(regions[one, NAME], regions[two, NAME])
    merges[count, 1] = max(regions[one, NAME], regions[two, NAME])
    merges[count, 2], levels[count] = edges[np.uint64(edge), KEY], level
    return count + 1


@kernel
def merge_in_buckets(kind, percent, floor, minimum_size, graph, statistics, queue, merges, levels):
    """Merge best edges down to the floor level; reducible scores (MEAN, QUANTILE) only. Returns the number of merges.

    Edges of two regions of at least `minimum_size` voxels are passed over (0: none has to be that small).
    A region that is held may not merge: not all of its edges are known. A free region whose best edge leads to a held one
    has to wait, hence is held too.
    The entries of a bucket are its initial edges, already in order of their keys, and those pushed later, in a heap.
    """
    edges, wide, states, regions, degrees, sizes, entries, table, used, moving = graph
    cells, dense, free, scratch, tops = statistics
    order, bounds, waiting, heap = queue
    touched, count = np.zeros(1, np.int64), 0
    for level in range(bounds.shape[0] - 2, floor - 1, -1):
        place, stop, size = bounds[level], bounds[level + 1], 0
        edge = np.int64(waiting[level])
        while edge >= 0:
            size = _push(heap, size, (np.int64(edges[np.uint64(edge), KEY]) << 32) | edge)
            edge = np.int64(edges[np.uint64(edge), _WAITING])
        while place < stop or size > 0:
            if size == 0 or (place < stop and np.int64(order[np.uint64(place)]) < heap[0] >> 32):
                edge = np.int64(order[np.uint64(place)])
                key = edge
                place += 1
            else:
                key, edge = heap[0] >> 32, heap[0] & 0xFFFFFFFF
                size = _pop(heap, size)
            if states[np.uint64(edge)] == GONE:
                continue
            if states[np.uint64(edge)] == _STALE:
                now = _score(kind, percent, edges, wide, cells, dense, scratch, edge)
                states[np.uint64(edge)] = FRESH
                edges[np.uint64(edge), LEVEL] = now
                if now < level:
                    edges[np.uint64(edge), _WAITING] = waiting[now]
                    waiting[now] = edge
                    continue
                if np.int64(edges[np.uint64(edge), KEY]) > key:
                    size = _push(heap, size, (np.int64(edges[np.uint64(edge), KEY]) << 32) | edge)
                    continue
            one, two = np.uint64(edges[np.uint64(edge), 0]), np.uint64(edges[np.uint64(edge), 1])
            if regions[one, HELD] or regions[two, HELD]:
                regions[one, HELD] = regions[two, HELD] = 1
                continue
            before, count = count, _record(edges, regions, sizes, edge, minimum_size, merges, levels, count, level)
            if count > before:
                _merge(
                    kind, edge, edges, wide, states, regions, degrees, sizes, entries, table, used, moving, cells,
                    dense, free, tops, touched,
                )  # fmt: skip
    return count


@kernel
def list_values(edges, wide, statistics, chosen, starts, bins, counts):
    """Sparse histograms (QUANTILE) of the chosen edges into `bins` and `counts`; without room, only where they start."""
    cells, dense, _, scratch, _ = statistics
    cell = 0
    for row in range(chosen.shape[0]):
        edge, starts[row], histogram = np.int64(chosen[row]), cell, scratch
        if edges[np.uint64(edge), SLOT] >= 0:
            histogram = dense[np.int64(edges[np.uint64(edge), SLOT])]
        else:
            _add_cells(edges, wide, cells, edge, scratch, 1)
        for value in range(256):
            if histogram[np.uint64(256 + (value >> 4))] > 0 and histogram[np.uint64(value)] > 0:
                if cell < bins.shape[0]:
                    bins[cell], counts[cell] = value, histogram[np.uint64(value)]
                cell += 1
        if edges[np.uint64(edge), SLOT] < 0:
            _add_cells(edges, wide, cells, edge, scratch, -1)
    starts[chosen.shape[0]] = cell


@kernel
def merge_from_heap(kind, percent, floor, minimum_size, graph, statistics, heap, holders, touched, merges, levels):
    """The same for scores that pooling can raise (TOP): pooled edges are scored at once; one queue for the whole graph.

    holders[key] is the edge with that key; a heap entry is (65535 - level) << 32 | key, void when its edge has changed.
    """
    edges, wide, states, regions, degrees, sizes, entries, table, used, moving = graph
    cells, dense, free, scratch, tops = statistics
    count, size = 0, 0
    for edge in range(edges.shape[0]):
        holders[edge] = edge
        size = _push(heap, size, ((FULL - np.int64(edges[edge, LEVEL])) << 32) | edge)
    while size > 0:
        level, key = FULL - (heap[0] >> 32), heap[0] & 0xFFFFFFFF
        size = _pop(heap, size)
        edge = np.int64(holders[key])
        if states[edge] == GONE or edges[edge, KEY] != key or edges[edge, LEVEL] != level:
            continue
        if level < floor:
            break
        before, count = count, _record(edges, regions, sizes, edge, minimum_size, merges, levels, count, level)
        touched[0] = 0
        if count > before:
            _merge(
                kind, edge, edges, wide, states, regions, degrees, sizes, entries, table, used, moving, cells, dense,
                free, tops, touched,
            )  # fmt: skip
        for k in range(1, touched[0] + 1):
            edge = np.int64(touched[k])
            level = np.int64(_score(kind, percent, edges, wide, cells, dense, scratch, edge))
            edges[edge, LEVEL], states[edge] = level, FRESH
            holders[edges[edge, KEY]] = edge
            size = _push(heap, size, ((FULL - level) << 32) | np.int64(edges[edge, KEY]))
    return count
