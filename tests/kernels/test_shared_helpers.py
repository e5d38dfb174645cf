"""Union-find and hashing, which all kernels share."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clew.kernels._table import mixed, mixed_ids, mixed_pair
from clew.kernels._union_find import root, sized_root

IDS = st.integers(-(2**63), 2**63 - 1)
HALVES = st.integers(0, 2**32 - 1)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=60), st.integers(0, 19))
def test_roots_stay_those_of_the_sets_while_paths_shorten(pairs, asked):
    parents, sizes = np.arange(20), np.full(20, -2, np.int32)
    sets = [{number} for number in range(20)]
    for one, other in pairs:
        a, b = root(parents, one), root(parents, other)
        if a != b:
            parents[max(a, b)] = min(a, b)
        c, d = sized_root(sizes, one), sized_root(sizes, other)
        if c != d:
            joined = int(sizes[c]) + int(sizes[d]) + 1
            sizes[d] = c
            sizes[c] = joined
        if sets[one] is not sets[other]:
            sets[one] |= sets[other]
            for number in sets[other]:
                sets[number] = sets[one]
    assert root(parents, asked) == min(sets[asked])
    top = sized_root(sizes, asked)
    assert int(top) in sets[asked]
    assert -1 - int(sizes[top]) == len(sets[asked])


@given(HALVES, HALVES)
def test_hashes_of_pairs_are_never_negative_nor_overflow(one, two):
    """numba's int64 would wrap; Python's integers show that nothing does."""
    assert 0 <= mixed_pair(one, two) < 2**63


@given(IDS, IDS)
def test_hashes_of_ids_are_never_negative(one, two):
    assert 0 <= mixed(one) < 2**63
    assert 0 <= mixed_ids(one, two) < 2**63


def test_ids_of_neighbours_fall_into_different_slots():
    """Fragment ids are 1 + the index of a voxel: they come in steps of rows and planes."""
    for step in (1, 64, 250, 1024, 4096, 250 * 250, 2**20, 2**32, 2**33):
        places = {mixed(1 + step * k) & 4095 for k in range(2048)}
        assert len(places) > 1500
        pairs = {mixed_ids(1 + step * k, 7) & 4095 for k in range(2048)}
        assert len(pairs) > 1500
