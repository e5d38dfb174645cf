"""The values of an edge: how they make a score, and how they are pooled.

Parallel edges of agglomeration are pooled.

Few values of a quantile are cells, chained where edges were pooled; many are a dense histogram.
"""

import numpy as np

from clew.kernels._jit import at, bare_kernel, inline
from clew.kernels.agglomeration_layout import (
    BINS,
    CELLS,
    CHAIN,
    COUNT,
    DENSE,
    GONE,
    GROUP_BITS,
    KEY,
    LEVELS_OF_A_VALUE,
    MEAN,
    NUMBER,
    NUMBER_BITS,
    QUANTILE,
    SIZE,
    SLOT,
    STALE,
    SUM,
    TAIL,
    TOP,
    VALUE,
    VALUE_BITS,
    VALUES,
)


@inline
def _add_cells(graph, cells, edge, histogram, sign):
    """Add the sparse histograms of an edge's chain to a dense one.

    The dense one has 16 sums of 16 bins behind its 256.
    """
    while edge >= 0:
        packed = graph.wide[at(edge), CELLS]
        start = packed >> NUMBER_BITS
        for k in range(start, start + (packed & NUMBER)):
            cell = cells[at(k)]
            value, count = cell & VALUE, (cell >> VALUE_BITS) * sign
            histogram[at(value)] += count
            histogram[at(VALUES + (value >> GROUP_BITS))] += count
        edge = np.int64(graph.edges[at(edge), CHAIN])


@inline
def _value_at(histogram, index):
    """The value at `index` of the sorted values."""
    place = VALUES
    while index >= histogram[at(place)]:
        index -= histogram[at(place)]
        place += 1
    place = (place - VALUES) << GROUP_BITS
    while index >= histogram[at(place)]:
        index -= histogram[at(place)]
        place += 1
    return place


@inline
def score(rule, graph, values, edge):
    """Level of an edge's score: 0 to 255 for quantiles, else 0 to 65535."""
    count = graph.wide[at(edge), COUNT]
    if rule.kind != QUANTILE:
        return graph.wide[at(edge), SUM] * LEVELS_OF_A_VALUE // count
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
def release(values, slot):
    """Give a dense histogram back."""
    values.dense[slot, :] = 0
    values.free[0] += 1
    values.free[values.free[0]] = slot


@inline
def _pool_histograms(graph, values, keeper, other):
    """Add the values of `other` to `keeper`.

    Short histograms are chained, long ones made dense.
    """
    edges, dense = graph.edges, values.dense
    mine, yours = np.int64(edges[at(keeper), SLOT]), np.int64(edges[at(other), SLOT])
    if mine >= 0 and yours >= 0:
        for k in range(BINS):
            dense[at(mine), k] += dense[at(yours), k]
        release(values, yours)
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
    have, more = wide[at(keeper), COUNT], wide[at(other), COUNT]
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
    wide[at(keeper), COUNT], wide[at(keeper), SUM] = count, total


@inline
def pool(kind, graph, values, keeper, other):
    """Make parallel edges one.

    `keeper` takes the values and the larger key, and is to be scored again.
    """
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


@bare_kernel
def list_values(graph, values, chosen, histograms):
    """Histograms (QUANTILE) of the chosen edges; without room, only where they start."""
    starts, bins, counts = histograms
    cell = 0
    for row in range(chosen.shape[0]):
        edge, starts[row], histogram = np.int64(chosen[row]), cell, values.scratch
        if graph.edges[at(edge), SLOT] >= 0:
            histogram = values.dense[np.int64(graph.edges[at(edge), SLOT])]
        else:
            _add_cells(graph, values.cells, edge, values.scratch, 1)
        for value in range(VALUES):
            if histogram[at(VALUES + (value >> GROUP_BITS))] > 0 and histogram[at(value)] > 0:
                if cell < bins.shape[0]:
                    bins[at(cell)], counts[at(cell)] = value, histogram[at(value)]
                cell += 1
        if graph.edges[at(edge), SLOT] < 0:
            _add_cells(graph, values.cells, edge, values.scratch, -1)
    starts[chosen.shape[0]] = cell
