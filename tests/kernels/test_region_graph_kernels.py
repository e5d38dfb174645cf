"""Tables of numbers, contacts and sparse histograms."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.kernels._table import mixed
from clew.kernels.region_graph import count_levels, fill_table

IDS = st.integers(1, 2**63 - 1) | st.integers(1, 40).map(lambda k: k << 32) | st.integers(1, 99)


def entered(names: list[int]) -> list[int]:
    """Numbers in a table of 16 buckets after all names were entered."""
    table = np.full(128, -1, np.int64)
    fill_table(table, np.array(names), len(names))
    return sorted((table[table >= 0] & 0xFFFFFFFF).tolist())


@given(st.lists(IDS, min_size=1, max_size=40, unique=True))
@settings(deadline=None)
def test_a_table_holds_every_name_once(names: list[int]) -> None:
    assert entered(names) == list(range(len(names)))


def test_names_that_look_in_the_same_two_buckets_find_others() -> None:
    names = [k << 32 for k in range(1, 2000) if mixed(k << 32) & 15 == 3][:60]
    assert entered(names) == list(range(60))


def test_names_of_one_hash_in_one_bucket_are_two() -> None:
    """A slot keeps 31 bits of the hash; what they do not tell apart, the names do."""
    tags = {mixed(name) >> 22 & 0x7FFFFFFF: name for name in range(16, 1 << 21, 16)}
    twins = ((k << 32, tags.get(mixed(k << 32) >> 22 & 0x7FFFFFFF)) for k in range(1, 1 << 17))
    one, other = next(pair for pair in twins if pair[1])
    assert entered([one, other]) == [0, 1]


@given(st.lists(st.lists(st.integers(0, 255), min_size=1, max_size=60), max_size=8))
@settings(deadline=None)
def test_count_levels_equals_a_histogram(segments: list[list[int]]) -> None:
    values = np.array([value for segment in segments for value in segment], np.uint8)
    starts = np.cumsum([0, *map(len, segments)])
    cell_starts, counts = np.empty_like(starts), np.empty(len(values), np.int64)
    cells = count_levels(starts, values, cell_starts, counts)
    assert cells == cell_starts[-1]
    for edge, segment in enumerate(segments):
        mine = slice(cell_starts[edge], cell_starts[edge + 1])
        want = np.bincount(segment, minlength=256)
        assert values[mine].tolist() == np.flatnonzero(want).tolist()
        assert counts[mine].tolist() == want[want > 0].tolist()
