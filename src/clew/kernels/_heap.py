"""A binary heap of int64 in an array that is handed in, smallest first."""

from clew.kernels._jit import at, inline


@inline
def push(heap, size, entry):
    """Add an entry; returns how many there are then."""
    hole = size
    while hole > 0 and heap[at((hole - 1) >> 1)] > entry:
        heap[at(hole)] = heap[at((hole - 1) >> 1)]
        hole = (hole - 1) >> 1
    heap[at(hole)] = entry
    return size + 1


@inline
def pop(heap, size):
    """Remove heap[0], the smallest; returns what is left."""
    size -= 1
    entry = heap[at(size)]
    hole, child = 0, 1
    while child < size:
        if child + 1 < size and heap[at(child + 1)] < heap[at(child)]:
            child += 1
        if heap[at(child)] >= entry:
            break
        heap[at(hole)] = heap[at(child)]
        hole, child = child, 2 * child + 1
    heap[at(hole)] = entry
    return size
