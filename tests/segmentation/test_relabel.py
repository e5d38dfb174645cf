"""Thresholds are cuts of one tree; relabelling renames voxels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.relabel import exchange_ids, relabel, segment_lookup
from naive.agglomeration import lookup_by_union

SEEDS = st.integers(0, 2**32 - 1)


def random_tree(seed: int) -> tuple[MergeTree, list[tuple[int, int, int]]]:
    rng = np.random.default_rng(seed)
    fragments = np.cumsum(rng.integers(1, 2**55, rng.integers(1, 30))).astype(np.uint64)
    alive, merges = fragments.tolist(), []
    for level in np.sort(rng.integers(0, 6, rng.integers(0, len(fragments))))[::-1]:
        survivor, absorbed = sorted(rng.choice(len(alive), 2, replace=False))
        merges.append((alive[survivor], alive.pop(absorbed), int(level) * 13107))
    pairs = np.array([merge[:2] for merge in merges], np.uint64).reshape(-1, 2)
    scores = np.array([merge[2] / 65535 for merge in merges], np.float32)
    return MergeTree(fragments, np.ones(len(fragments), np.int64), pairs, scores, "mean"), merges


@given(SEEDS, st.sampled_from([0.0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0]))
@settings(max_examples=150, deadline=None)
def test_lookup_equals_the_naive_twin(seed: int, threshold: float):
    tree, merges = random_tree(seed)
    want = lookup_by_union(merges, tree.fragments.tolist(), threshold)
    assert segment_lookup(tree, threshold).tolist() == [want[fragment] for fragment in tree.fragments.tolist()]


def test_a_threshold_just_beside_a_score_decides_about_its_merge():
    pair = np.array([1, 2], np.uint64)
    for level in range(1, 65535, 101):
        tree = MergeTree(pair, np.ones(2, np.int64), pair[None], np.array([level / 65535], np.float32), "mean")
        merged, apart = (segment_lookup(tree, 1 - (level + aside) / 65535).tolist() for aside in (-0.4, 0.4))
        assert (merged, apart) == ([1, 1], [1, 2]), level


def test_scores_that_rise_are_cut_where_they_first_fall_below():
    merges, scores = np.array([[1, 2], [3, 4], [1, 3]], np.uint64), np.array([0.8, 0.2, 0.6], np.float32)
    tree = MergeTree(np.array([1, 2, 3, 4], np.uint64), np.ones(4, np.int64), merges, scores, "mean_top_2")
    assert segment_lookup(tree, 0.5).tolist() == [1, 1, 3, 4]
    assert segment_lookup(tree, 0.9).tolist() == [1, 1, 1, 1]


@given(SEEDS, st.booleans())
@settings(max_examples=50, deadline=None)
def test_relabel_equals_a_dictionary(seed: int, narrow: bool):
    rng = np.random.default_rng(seed)
    ids = np.unique(rng.integers(1, 2**31 if narrow else 2**63, rng.integers(1, 20))).astype(np.uint64)
    lookup = rng.integers(0, 2**63, len(ids)).astype(np.uint64)
    table = {0: 0} | dict(zip(ids.tolist(), lookup.tolist(), strict=True))
    fragments = rng.choice(np.array(list(table), np.uint64), rng.integers(1, 7, 3)).repeat(2, axis=2)
    result = relabel(fragments.astype(np.uint32) if narrow else fragments, ids, lookup)
    assert result.dtype == np.uint64
    assert result.tolist() == np.vectorize(table.__getitem__, otypes=[np.uint64])(fragments).tolist()


@given(
    st.dictionaries(st.integers(0, 2**64 - 1) | st.integers(0, 9), st.integers(0, 2**64 - 1)),
    st.lists(st.integers(0, 12)),
)
@settings(max_examples=50, deadline=None)
def test_ids_that_are_not_among_the_old_ones_stay(renamed: dict[int, int], names: list[int]):
    names = [*names, *renamed, 2**64 - 1]
    old = np.array(sorted(renamed), np.uint64)
    new = np.array([renamed[name] for name in sorted(renamed)], np.uint64)
    found = exchange_ids(np.array(names, np.uint64), old, new)
    assert found.tolist() == [renamed.get(name, name) for name in names]


def test_arrays_that_do_not_fit_are_refused():
    ids = np.array([5, 2**40], np.uint64)
    with pytest.raises(InputError, match="fragment 6 is not among the 2 ids"):
        relabel(np.array([[[0, 5, 6]]], np.uint64), ids, ids)
    with pytest.raises(InputError, match="fragment 6 is not among"):
        relabel(np.array([[[6, 5, 0]]], np.uint64), ids, ids)
    for some, others in ((ids, ids[:1]), (ids[:1], ids)):
        with pytest.raises(InputError, match="one length"):
            relabel(np.zeros((1, 1, 1), np.uint64), some, others)
    with pytest.raises(InputError, match="uint64 or uint32"):
        relabel(np.zeros((1, 1, 1), np.float32), ids, ids)
    tree, _ = random_tree(0)
    with pytest.raises(InputError, match=r"threshold must be in \[0, 1\]"):
        segment_lookup(tree, 75)


@pytest.mark.parametrize("merges", [[(9, 5)], [(5, 5)], [(4, 5)], [(5, 7)], [(5, 9), (6, 9)]])
def test_a_tree_whose_merges_do_not_fit_is_refused(merges: list[tuple[int, int]]):
    ids, scores = np.array([5, 6, 9], np.uint64), np.ones(len(merges), np.float32)
    broken = MergeTree(ids, np.ones(3, np.int64), np.array(merges, np.uint64), scores, "mean")
    with pytest.raises(InputError, match="broken"):
        segment_lookup(broken, 0.5)


def test_ids_of_64_bits():
    fragments = np.array([[[5, 5, 2**63 + 1, 0]]], np.uint64)
    ids, lookup = np.array([0, 5, 2**63 + 1], np.uint64), np.array([9, 2**64 - 1, 2**63], np.uint64)
    assert relabel(fragments, ids, lookup).tolist() == [[[2**64 - 1, 2**64 - 1, 2**63, 0]]]
