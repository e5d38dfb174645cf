"""The tables that agglomeration works on, from a region graph; the columns are those of `kernels.agglomeration`.

Who changes a column there touches this file too: numba's cache looks at the file of a kernel only.
"""

import numpy as np

from clew.kernels._jit import kernel
from clew.kernels.agglomeration import (
    CELLS,
    CHAIN,
    COUNT,
    FOLLOWING,
    FRESH,
    KEY,
    LAST,
    NAME,
    QUANTILE,
    SIZE,
    SLOT,
    START,
    STOP,
    SUM,
    TAIL,
    TOP,
)


@kernel
def _list_edges(ends, regions, degrees, entries):
    """Each region's edges as one segment of `entries`."""
    degrees[:] = 0
    for edge in range(ends.shape[0]):
        degrees[np.uint64(ends[np.uint64(edge), 0])] += 1
        degrees[np.uint64(ends[np.uint64(edge), 1])] += 1
    start = np.int32(0)
    for region in range(regions.shape[0]):
        regions[region, START] = regions[region, STOP] = start
        regions[region, FOLLOWING] = -1
        regions[region, LAST] = regions[region, NAME] = region
        start += degrees[region]
    for edge in range(ends.shape[0]):
        for side in range(2):
            region = np.uint64(ends[edge, side])
            entries[np.uint64(regions[region, STOP])] = edge
            regions[region, STOP] += 1


@kernel
def lay_out(kind, ends, values, graph, statistics):
    """Lay out edges and regions; edge e joins ends[e], has key e, and holds counts[k] values bins[k] from starts[e]
    to starts[e + 1]; `values` are starts, bins and counts."""
    edges, wide, states, regions, degrees, _, entries, _, _, _ = graph
    cells, _, _, _, tops = statistics
    starts, bins, counts = values
    _list_edges(ends, regions, degrees, entries)
    for edge in range(edges.shape[0]):
        count, total = 0, 0
        start, stop = starts[np.uint64(edge)], starts[np.uint64(edge + 1)]
        for k in range(stop - 1, start - 1, -1):
            value, number = np.int64(bins[np.uint64(k)]), counts[np.uint64(k)]
            if kind == TOP:
                for _ in range(min(number, tops.shape[1] - count)):
                    tops[edge, count] = value
                    total += value
                    count += 1
            else:
                count += number
                total += number * value
                if kind == QUANTILE:
                    cells[np.uint64(k)] = (number << 8) | value
        wide[np.uint64(edge), COUNT] = count
        if kind == QUANTILE:
            edges[np.uint64(edge), SLOT] = -1
            edges[np.uint64(edge), CHAIN] = -1
            edges[np.uint64(edge), TAIL] = edge
            edges[np.uint64(edge), SIZE] = stop - start
            wide[np.uint64(edge), CELLS] = (start << 9) | (stop - start)
        else:
            wide[np.uint64(edge), SUM] = total
        edges[np.uint64(edge), 0] = ends[np.uint64(edge), 0]
        edges[np.uint64(edge), 1] = ends[np.uint64(edge), 1]
        edges[np.uint64(edge), KEY] = edge
        states[np.uint64(edge)] = FRESH
