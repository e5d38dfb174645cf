"""Skeletons for tests: straight ones, and random trees."""

import numpy as np
from hypothesis import strategies as st

from clew.evaluation.skeletons import Skeletons


def paths(*sizes, step=10.0):
    """Straight skeletons of so many nodes, `step` nm apart, side by side."""
    ids = np.repeat(np.arange(len(sizes)), sizes)
    along = np.concatenate([np.arange(size) for size in sizes])
    positions = np.stack([ids * 1000.0, np.zeros(len(ids)), along * step], axis=1)
    edges = [(node, node + 1) for node in range(len(ids) - 1) if ids[node] == ids[node + 1]]
    return Skeletons(positions, np.array(edges, np.int64).reshape(-1, 2), ids + 7)


@st.composite
def traced(draw):
    """Random trees of random lengths, with a segment for each node."""
    sizes = draw(st.lists(st.integers(2, 6), min_size=1, max_size=4))
    ids = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
    edges = [(draw(st.integers(starts[node], node - 1)), node) for node in range(len(ids)) if node > starts[node]]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    skeletons = Skeletons(rng.random((len(ids), 3)) * 100, np.array(edges, np.int64), ids)
    return skeletons, np.array(draw(st.lists(st.integers(0, 4), min_size=len(ids), max_size=len(ids))), np.uint64)
