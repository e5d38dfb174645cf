"""Search of sparse ids."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.kernels.merge_tree import cut_tree
from clew.kernels.relabel import positions_of

IDS = st.integers(1, 2**64 - 1) | st.integers(1, 40).map(lambda k: k << 32) | st.integers(1, 99)


@given(st.lists(IDS, max_size=40, unique=True), st.lists(IDS, max_size=40))
@settings(deadline=None)
def test_positions_equal_list_index(ids: list[int], names: list[int]):
    want = [ids.index(name) if name in ids else -1 for name in [*names, *ids]]
    assert positions_of(np.array(ids, np.uint64), np.array([*names, *ids], np.uint64)).tolist() == want


def test_zero_is_no_id():
    """Nor does it leave a value behind that a search for another name could come upon."""
    want = [1 if name == 7 else -1 for name in range(50)]
    assert positions_of(np.array([0, 7], np.uint64), np.arange(50, dtype=np.uint64)).tolist() == want


@given(st.data(), st.integers(1, 30), st.integers(-1, 5))
@settings(deadline=None)
def test_cut_follows_parents_above_the_limit(data: st.DataObject, count: int, limit: int):
    parents = [data.draw(st.integers(0, place)) for place in range(count)]
    levels = data.draw(st.lists(st.integers(-1, 5), min_size=count, max_size=count))
    levels = [
        -1 if parent == place else level for place, (parent, level) in enumerate(zip(parents, levels, strict=True))
    ]
    roots = cut_tree(np.array(parents), np.array(levels), float(limit))
    for place in range(count):
        root = place
        while levels[root] > limit and parents[root] != root:
            root = parents[root]
        assert roots[place] == root
