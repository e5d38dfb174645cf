"""Merge the best edge of a region graph, pool parallel edges, again and again, in one strict order.

An edge is one cache line, a row of 16 int32 (or 8 int64: the same memory), and one byte of state, so that edges that have
gone are passed over without a look at their line. Its key is the rank of its initial edge; pooled edges take the largest
key. The edges of a region are its chain of segments of one array: a walk does not wait for one line to find the next.
Edges wait in buckets, one for each score level. Pooling leaves the pooled edge at the better of the two places: a
reducible score's true place can only be worse, so it is scored when its turn comes.
"""

import numpy as np

from clew.kernels._heap import pop, push
from clew.kernels._jit import at, bare_kernel, inline, prefetch
from clew.kernels._table import mixed_pair
from clew.kernels.agglomeration_layout import (
    BINS,
    CELLS,
    CHAIN,
    COUNT,
    DENSE,
    FOLLOWING,
    FRESH,
    FULL,
    GONE,
    HELD,
    KEY,
    LAST,
    LEVEL,
    MEAN,
    NAME,
    NUMBER,
    NUMBER_BITS,
    QUANTILE,
    SIZE,
    SLOT,
    STALE,
    START,
    STOP,
    SUM,
    TAIL,
    TOP,
    VALUE,
    VALUE_BITS,
    WAITING,
)  # fmt: skip

# entries of the table and of heaps hold two numbers: tag or key in the high half, edge in the low one
_LOW, _HALF = 0xFFFFFFFF, 32
_TAG, _TAG_SHIFT = 0x7FFFFFFF, 20
_FULLEST = 7, 10
"""The table is made anew, without the edges that have gone, when this part of it is in use."""


@inline
def _entry(one, two, edge):
    return (((mixed_pair(one, two) >> _TAG_SHIFT) & _TAG) << _HALF) | edge


@inline
def _find(graph, one, two):
    """Slot and edge that joins regions `one` < `two`, or the first free slot and -1.

    A slot holds 31 bits of the hash and the edge, so that most others are told apart without a look at their line; slots
    of edges that have gone or moved are passed over.
    """
    edges, table = graph.edges, graph.table
    mask = table.shape[0] - 1
    tag, slot = _entry(one, two, 0) >> _HALF, mixed_pair(one, two) & mask
    while True:
        entry = table[at(slot)]
        if entry < 0:
            return slot, np.int64(-1)
        if entry >> _HALF == tag:
            edge = entry & _LOW
            first, second = edges[at(edge), 0], edges[at(edge), 1]
            if min(first, second) == one and max(first, second) == two and graph.states[at(edge)] != GONE:
                return slot, edge
        slot = (slot + 1) & mask


@bare_kernel
def _enter_all(graph):
    """Fill the table, emptied first, with the edges that are left; returns their number."""
    edges, entered = graph.edges, 0
    graph.table[:] = -1
    for edge in range(edges.shape[0]):
        if graph.states[at(edge)] != GONE:
            first, second = np.int64(edges[at(edge), 0]), np.int64(edges[at(edge), 1])
            one, two = min(first, second), max(first, second)
            graph.table[at(_find(graph, one, two)[0])] = _entry(one, two, edge)
            entered += 1
    return entered


@inline
def _add_cells(graph, cells, edge, histogram, sign):
    """Add the sparse histograms of an edge's chain to a dense one, which has 16 coarse bins behind its 256."""
    while edge >= 0:
        packed = graph.wide[at(edge), CELLS]
        start = packed >> NUMBER_BITS
        for k in range(start, start + (packed & NUMBER)):
            cell = cells[at(k)]
            value, count = cell & VALUE, (cell >> VALUE_BITS) * sign
            histogram[at(value)] += count
            histogram[at(256 + (value >> 4))] += count
        edge = np.int64(graph.edges[at(edge), CHAIN])


@inline
def _value_at(histogram, index):
    """The value at `index` of the sorted values."""
    place = 256
    while index >= histogram[at(place)]:
        index -= histogram[at(place)]
        place += 1
    place = (place - 256) << 4
    while index >= histogram[at(place)]:
        index -= histogram[at(place)]
        place += 1
    return place


@inline
def _score(rule, graph, values, edge):
    """Level of an edge's score: 0 to 255 for quantiles, else 0 to 65535."""
    count = graph.wide[at(edge), COUNT]
    if rule.kind != QUANTILE:
        return graph.wide[at(edge), SUM] * 257 // count  # a value of 255 is the level 65535
    index = min(rule.percent * count // 100, count - 1)
    slot = np.int64(graph.edges[at(edge), SLOT])
    if slot >= 0:
        return np.int64(_value_at(values.dense[slot], index))
    if graph.edges[at(edge), CHAIN] >= 0:
        _add_cells(graph, values.cells, edge, values.scratch, 1)
        level = np.int64(_value_at(values.scratch, index))
        _add_cells(graph, values.cells, edge, values.scratch, -1)
        return level
    k = graph.wide[at(edge), CELLS] >> NUMBER_BITS
    while index >= values.cells[at(k)] >> VALUE_BITS:
        index -= values.cells[at(k)] >> VALUE_BITS
        k += 1
    return values.cells[at(k)] & VALUE


@inline
def _release(values, slot):
    """Give a dense histogram back."""
    values.dense[slot, :] = 0
    values.free[0] += 1
    values.free[values.free[0]] = slot


@inline
def _pool_histograms(graph, values, keeper, other):
    """Add the values of `other` to `keeper`: short histograms are chained, long ones made dense."""
    edges, dense = graph.edges, values.dense
    mine, yours = np.int64(edges[at(keeper), SLOT]), np.int64(edges[at(other), SLOT])
    if mine >= 0 and yours >= 0:
        for k in range(BINS):
            dense[at(mine), k] += dense[at(yours), k]
        _release(values, yours)
        return
    size = edges[at(keeper), SIZE] + edges[at(other), SIZE]
    if mine < 0 and yours < 0 and size < DENSE:
        edges[at(edges[at(keeper), TAIL]), CHAIN] = other
        edges[at(keeper), TAIL] = edges[at(other), TAIL]
        edges[at(keeper), SIZE] = size
        return
    slot = max(mine, yours)
    if slot < 0:
        slot = np.int64(values.free[values.free[0]])
        values.free[0] -= 1
    if mine < 0:
        _add_cells(graph, values.cells, keeper, dense[slot], 1)
    if yours < 0:
        _add_cells(graph, values.cells, other, dense[slot], 1)
    edges[at(keeper), SLOT] = slot


@inline
def _pool_top(graph, values, keeper, other):
    """The largest values of both, descending, into the row of `keeper`."""
    tops, wide, mine = values.tops, graph.wide, values.spare
    have, more = wide[keeper, COUNT], wide[other, COUNT]
    for k in range(have):
        mine[k] = tops[keeper, k]
    count = min(have + more, tops.shape[1])
    i, j, total = 0, 0, 0
    for k in range(count):
        if j == more or (i < have and mine[i] >= tops[other, j]):
            tops[keeper, k] = mine[i]
            i += 1
        else:
            tops[keeper, k] = tops[other, j]
            j += 1
        total += np.int64(tops[keeper, k])
    wide[keeper, COUNT], wide[keeper, SUM] = count, total


@inline
def _pool(kind, graph, values, keeper, other):
    """Make the parallel edges one: `keeper` takes the values and the larger key, and is to be scored again."""
    edges, wide = graph.edges, graph.wide
    if kind == TOP:
        _pool_top(graph, values, keeper, other)
        values.touched[0] += 1
        values.touched[values.touched[0]] = keeper
    else:
        wide[at(keeper), COUNT] += wide[at(other), COUNT]
        if kind == MEAN:
            wide[at(keeper), SUM] += wide[at(other), SUM]
        else:
            _pool_histograms(graph, values, keeper, other)
    edges[at(keeper), KEY] = max(edges[at(keeper), KEY], edges[at(other), KEY])
    graph.states[at(keeper)] = STALE
    graph.states[at(other)] = GONE


@inline
def _gather(stays, goes, graph):
    """List the edges of the region that goes in moving[:, 0], from its chain of segments; returns their number.

    All lines that will be needed are asked for, one kind after the other, so that those of a whole region are on their way
    at once: agglomeration took 1.4 times as long before.
    """
    edges, regions, table, moving = graph.edges, graph.regions, graph.table, graph.moving
    count, segment, mask = 0, goes, table.shape[0] - 1
    while segment >= 0:
        for place in range(regions[at(segment), START], regions[at(segment), STOP]):
            moved = np.int64(graph.entries[at(place)])
            moving[at(count), 0] = moved
            if graph.states[at(moved)] != GONE:
                prefetch(edges, moved)
                count += 1
        segment = np.int64(regions[at(segment), FOLLOWING])
    for k in range(count):
        moved = at(moving[at(k), 0])
        other = np.int64(edges[moved, 0]) + np.int64(edges[moved, 1]) - goes
        slot = mixed_pair(min(stays, other), max(stays, other)) & mask
        moving[at(k), 1] = slot
        prefetch(table, slot)
    for k in range(count):
        prefetch(edges, max(table[at(moving[at(k), 1])], 0) & _LOW)
    return count


@inline
def _list_moved(stays, goes, count, graph):
    """Put the edges moving[:count, 0] into the segments of one region; append these, if not empty, to those of another."""
    regions = graph.regions
    last, segment, k = np.int64(regions[at(stays), LAST]), goes, 0
    while segment >= 0:
        place = np.int64(regions[at(segment), START])
        while place < regions[at(segment), STOP] and k < count:
            graph.entries[at(place)] = graph.moving[at(k), 0]
            place += 1
            k += 1
        following = np.int64(regions[at(segment), FOLLOWING])
        if place > regions[at(segment), START]:
            regions[at(last), FOLLOWING] = segment
            regions[at(segment), FOLLOWING] = -1
            last = segment
        regions[at(segment), STOP] = place
        segment = following
    regions[at(stays), LAST] = last


@inline
def _merge(kind, edge, graph, values):
    """Merge the two regions of an edge: move the edges of the one with fewer to the other, pool the parallel ones."""
    edges, degrees, moving, table, used = graph.edges, graph.degrees, graph.moving, graph.table, graph.used
    stays, goes = np.int64(edges[at(edge), 0]), np.int64(edges[at(edge), 1])
    if degrees[at(stays)] < degrees[at(goes)]:
        stays, goes = goes, stays
    graph.states[at(edge)] = GONE
    if kind == QUANTILE and edges[at(edge), SLOT] >= 0:
        _release(values, np.int64(edges[at(edge), SLOT]))
    count, kept = _gather(stays, goes, graph), 0
    for k in range(count):
        moved = moving[at(k), 0]
        side = np.int64(edges[at(moved), 1] == goes)
        other = np.int64(edges[at(moved), at(1 - side)])
        slot, parallel = _find(graph, min(stays, other), max(stays, other))
        if parallel >= 0:
            degrees[at(other)] -= 1
            keeper = parallel
            if edges[at(parallel), LEVEL] < edges[at(moved), LEVEL]:
                keeper = moved
            _pool(kind, graph, values, keeper, moved + parallel - keeper)
            if keeper == parallel:
                continue
            degrees[at(stays)] -= 1
        edges[at(moved), at(side)] = stays
        moving[at(kept), 0] = moved
        kept += 1
        used[0] += table[at(slot)] < 0
        table[at(slot)] = _entry(min(stays, other), max(stays, other), moved)
        if used[0] * _FULLEST[1] > table.shape[0] * _FULLEST[0]:
            used[0] = _enter_all(graph)
    _list_moved(stays, goes, kept, graph)
    degrees[at(stays)] += kept - 1
    graph.regions[at(stays), NAME] = min(graph.regions[at(stays), NAME], graph.regions[at(goes), NAME])
    graph.sizes[at(stays)] += graph.sizes[at(goes)]


@bare_kernel
def score_edges(rule, graph, values):
    """Give every edge its first score and enter it in the table."""
    for edge in range(graph.edges.shape[0]):
        graph.edges[at(edge), LEVEL] = _score(rule, graph, values, edge)
    graph.used[0] = _enter_all(graph)


@inline
def _record(rule, graph, edge, merges, count, level):
    """Note the merge along an edge and count it, unless both regions are too large for the rule."""
    regions, sizes = graph.regions, graph.sizes
    one, two = at(graph.edges[at(edge), 0]), at(graph.edges[at(edge), 1])
    if rule.minimum_size > 0 and sizes[one] >= rule.minimum_size and sizes[two] >= rule.minimum_size:
        return count
    merges.pairs[count, 0] = min(regions[one, NAME], regions[two, NAME])
    merges.pairs[count, 1] = max(regions[one, NAME], regions[two, NAME])
    merges.pairs[count, 2], merges.levels[count] = graph.edges[at(edge), KEY], level
    return count + 1


@bare_kernel
def merge_in_buckets(rule, graph, values, queue, merges):
    """Merge best edges down to the floor level; reducible scores (MEAN, QUANTILE) only. Returns the number of merges.

    A region that is held may not merge: not all of its edges are known. A free region whose best edge leads to a held one
    has to wait, hence is held too.
    The entries of a bucket are its initial edges, already in order of their keys, and those pushed later, in a heap.
    """
    edges, states, regions = graph.edges, graph.states, graph.regions
    order, bounds, waiting, heap = queue.order, queue.bounds, queue.waiting, queue.heap
    count = 0
    for level in range(bounds.shape[0] - 2, rule.floor - 1, -1):
        place, stop, size = bounds[level], bounds[level + 1], 0
        edge = np.int64(waiting[level])
        while edge >= 0:
            size = push(heap, size, (np.int64(edges[at(edge), KEY]) << _HALF) | edge)
            edge = np.int64(edges[at(edge), WAITING])
        while place < stop or size > 0:
            if size == 0 or (place < stop and np.int64(order[at(place)]) < heap[0] >> _HALF):
                edge = np.int64(order[at(place)])
                key = edge
                place += 1
            else:
                key, edge = heap[0] >> _HALF, heap[0] & _LOW
                size = pop(heap, size)
            if states[at(edge)] == GONE:
                continue
            if states[at(edge)] == STALE:
                now = _score(rule, graph, values, edge)
                states[at(edge)] = FRESH
                edges[at(edge), LEVEL] = now
                if now < level:
                    edges[at(edge), WAITING] = waiting[now]
                    waiting[now] = edge
                    continue
                if np.int64(edges[at(edge), KEY]) > key:
                    size = push(heap, size, (np.int64(edges[at(edge), KEY]) << _HALF) | edge)
                    continue
            one, two = at(edges[at(edge), 0]), at(edges[at(edge), 1])
            if regions[one, HELD] or regions[two, HELD]:
                regions[one, HELD] = regions[two, HELD] = 1
                continue
            before, count = count, _record(rule, graph, edge, merges, count, level)
            if count > before:
                _merge(rule.kind, edge, graph, values)
    return count


@bare_kernel
def list_values(graph, values, chosen, starts, bins, counts):
    """Sparse histograms (QUANTILE) of the chosen edges into `bins` and `counts`; without room, only where they start."""
    cell = 0
    for row in range(chosen.shape[0]):
        edge, starts[row], histogram = np.int64(chosen[row]), cell, values.scratch
        if graph.edges[at(edge), SLOT] >= 0:
            histogram = values.dense[np.int64(graph.edges[at(edge), SLOT])]
        else:
            _add_cells(graph, values.cells, edge, values.scratch, 1)
        for value in range(256):
            if histogram[at(256 + (value >> 4))] > 0 and histogram[at(value)] > 0:
                if cell < bins.shape[0]:
                    bins[cell], counts[cell] = value, histogram[at(value)]
                cell += 1
        if graph.edges[at(edge), SLOT] < 0:
            _add_cells(graph, values.cells, edge, values.scratch, -1)
    starts[chosen.shape[0]] = cell


@bare_kernel
def merge_from_heap(rule, graph, values, heap, holders, merges):
    """The same for scores that pooling can raise (TOP): pooled edges are scored at once; one queue for the whole graph.

    holders[key] is the edge with that key; a heap entry is (65535 - level) << 32 | key, void when its edge has changed.
    """
    edges, states, touched = graph.edges, graph.states, values.touched
    count, size = 0, 0
    for edge in range(edges.shape[0]):
        holders[edge] = edge
        size = push(heap, size, ((FULL - np.int64(edges[edge, LEVEL])) << _HALF) | edge)
    while size > 0:
        level, key = FULL - (heap[0] >> _HALF), heap[0] & _LOW
        size = pop(heap, size)
        edge = np.int64(holders[key])
        if states[edge] == GONE or edges[edge, KEY] != key or edges[edge, LEVEL] != level:
            continue
        if level < rule.floor:
            break
        before, count = count, _record(rule, graph, edge, merges, count, level)
        touched[0] = 0
        if count > before:
            _merge(rule.kind, edge, graph, values)
        for k in range(1, touched[0] + 1):
            edge = np.int64(touched[k])
            level = np.int64(_score(rule, graph, values, edge))
            edges[edge, LEVEL], states[edge] = level, FRESH
            holders[edges[edge, KEY]] = edge
            size = push(heap, size, ((FULL - level) << _HALF) | np.int64(edges[edge, KEY]))
    return count
