"""Long tables, merged some rows at a time, are those that are sorted at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.blockwise.block import Domain
from clew.blockwise.rows import even_parts, in_order, merged_rows
from clew.blockwise.store import DamagedError, MemoryStore, TableFolder


def sorted_at_once(rows, key):
    """The slow twin: rows as tuples, in Python."""
    return sorted(map(tuple, rows.tolist()), key=lambda row: row[:key])


@st.composite
def tables(draw):
    """Ascending tables without repetitions of a key, each in parts of any length, and the columns of the key."""
    rng, key = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(st.integers(1, 3))
    smallest, largest = draw(st.sampled_from([(0, 2), (0, 5), (2**60, 2**60 + 40), (0, 2**64 - 1)]))
    found = []
    for _ in range(draw(st.integers(0, 5))):
        keys = np.unique(rng.integers(smallest, largest, (rng.integers(0, 30), key), np.uint64, endpoint=True), axis=0)
        rows = np.column_stack([keys, rng.integers(0, 9, (len(keys), 2), np.uint64)])
        cuts = np.sort(rng.integers(0, len(rows) + 1, rng.integers(0, 4)))
        found.append(np.split(rows, cuts))
    return found, key


@given(tables())
def test_merged_rows_are_those_sorted_at_once(case):
    parts, key = case
    found = list(merged_rows(parts, key))
    whole = np.concatenate([np.zeros((0, key + 2), np.uint64), *(part for table in parts for part in table)])
    merged = [tuple(row) for part in found for row in part.tolist()]
    assert sorted(merged) == sorted(map(tuple, whole.tolist()))
    assert [row[:key] for row in merged] == [row[:key] for row in sorted_at_once(whole, key)]
    firsts = [tuple(part[0, :key].tolist()) for part in found[1:]]
    lasts = [tuple(part[-1, :key].tolist()) for part in found[:-1]]
    assert all(last < first for last, first in zip(lasts, firsts, strict=True)), "equal keys come in one part"


@given(tables())
def test_rows_in_order(case):
    parts, key = case
    whole = np.concatenate([np.zeros((0, key + 2), np.uint64), *(part for table in parts for part in table)])
    assert [tuple(row) for row in in_order(whole, key).tolist()] == sorted_at_once(whole, key)


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 7))
def test_parts_are_even(lengths, size):
    rows = np.arange(sum(lengths), dtype=np.uint64).reshape(-1, 1)
    parts = list(even_parts(np.split(rows, np.cumsum(lengths)[:-1]) if lengths else [], size))
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert np.concatenate([rows[:0], *parts]).tolist() == rows.tolist()


@pytest.mark.parametrize("count", [0, 1, 1 << 17, (1 << 17) + 1])
def test_long_tables_are_kept(tmp_path, count):
    rows = np.arange(2 * count, dtype=np.uint64).reshape(count, 2)
    for store in (TableFolder(tmp_path), MemoryStore(Domain.whole((1, 1, 1)), {})):
        store.save_rows(("rows", 0), iter([rows[:3], rows[3:]]))
        assert np.concatenate([rows[:0], *store.rows(("rows", 0))]).tolist() == rows.tolist()
    assert TableFolder(tmp_path).holds(("rows", 0))


def test_a_damaged_part_is_noticed(tmp_path):
    store = TableFolder(tmp_path)
    store.save_rows(("rows", 0), [np.ones((1 << 18, 2), np.uint64)])
    file = tmp_path / "rows" / "0.npz"
    content = bytearray(file.read_bytes())
    content[3 << 20] ^= 1
    file.write_bytes(content)
    assert not store.holds(("rows", 0))
    parts = store.rows(("rows", 0))
    next(parts)
    with pytest.raises(DamagedError):
        next(parts)
