"""Tables of numbers, contacts and sparse histograms."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.kernels._table import mixed
from clew.kernels.region_graph import _new_table, sparse_histograms

IDS = st.integers(1, 2**63 - 1) | st.integers(1, 40).map(lambda k: k << 32) | st.integers(1, 99)


def entered(names: list[int]) -> list[int]:
    """Indices in a table of 16 buckets after all names were entered."""
    keys = np.zeros(64, np.int64)
    keys[: len(names)] = names
    slots = _new_table(keys, len(names)).slots
    assert len(slots) == 128
    return sorted((slots[slots >= 0] & 0xFFFFFFFF).tolist())


@given(st.lists(IDS, min_size=1, max_size=40, unique=True))
@settings(deadline=None)
def test_a_table_holds_every_id_once(names: list[int]):
    assert entered(names) == list(range(len(names)))


def test_ids_with_the_same_two_full_buckets_find_other_buckets():
    names = [k << 32 for k in range(1, 2000) if mixed(k << 32) & 15 == 3][:60]
    assert entered(names) == list(range(60))


def test_two_ids_of_one_hash_in_one_bucket_stay_two():
    """A slot keeps 31 bits of the hash; what they do not tell apart, the names do."""
    tags = {mixed(name) >> 22 & 0x7FFFFFFF: name for name in range(16, 1 << 21, 16)}
    twins = ((k << 32, tags.get(mixed(k << 32) >> 22 & 0x7FFFFFFF)) for k in range(1, 1 << 17))
    one, other = next(pair for pair in twins if pair[1])
    assert entered([one, other]) == [0, 1]


@given(st.lists(st.lists(st.integers(0, 255), min_size=1, max_size=60), max_size=8))
@settings(deadline=None)
def test_sparse_histograms_equal_histograms(segments: list[list[int]]):
    values = np.array([value for segment in segments for value in segment], np.uint8)
    contacts = np.repeat(np.arange(len(segments), dtype=np.uint32), [len(segment) for segment in segments])
    mixed_up = np.random.default_rng(0).permutation(len(values))
    records = [(contacts[part], values[part]) for part in np.array_split(mixed_up, 2)]
    order = np.arange(len(segments))[::-1]
    starts, bins, counts = sparse_histograms(records, order)
    assert len(bins) == len(counts) == starts[-1]
    for edge, contact in enumerate(order):
        mine = slice(starts[edge], starts[edge + 1])
        want = np.bincount(segments[contact], minlength=256)
        assert bins[mine].tolist() == np.flatnonzero(want).tolist()
        assert counts[mine].tolist() == want[want > 0].tolist()
