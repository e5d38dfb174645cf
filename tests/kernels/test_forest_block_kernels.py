"""What a block decides about its forest, and the ids that follow, against their slow twins."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.kernels import forest as kernels
from naive import fragments as naive


@st.composite
def forests(draw):
    count = draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pairs = rng.integers(1, max(count, 1) + 1, (draw(st.integers(0, 40)) if count > 1 else 0, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    kinds = np.append(0, rng.choice(3, count, p=rng.dirichlet((1, 1, 1)))).astype(np.uint8)
    frozen = np.append(0, rng.random(count) < rng.random()).astype(np.uint8)
    return pairs, draw(st.integers(0, len(pairs))), kinds, frozen


@settings(max_examples=200, deadline=None)
@given(forests(), st.sampled_from([np.uint32, np.int64]))
def test_decided_and_waiting_pairs(forest, dtype):
    pairs, zeros, kinds, frozen = forest
    made = kernels.decide_pairs(pairs.astype(dtype), zeros, kinds, frozen)
    sets, waiting = naive.decided_pairs(pairs.tolist(), zeros, kinds, frozen)
    assert made.kept.tolist() == waiting
    for members in sets:
        chosen = [one for one in members if kinds[one] == 2 or frozen[one]] or members
        (root,) = {int(made.roots[one]) for one in members}
        assert root in chosen
        assert made.kinds[root] == max(kinds[one] for one in members)


@settings(max_examples=100, deadline=None)
@given(forests())
def test_indices_of_roots(forest):
    roots = kernels.decide_pairs(*forest).roots
    indices, used = kernels.index_roots(roots)
    assert used.tolist() == sorted(set(roots.tolist()))
    assert [used[index] for index in indices] == roots.tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**64 - 1) | st.just(0))))
def test_smallest_value_of_each_row(rows):
    places, values = np.array([place for place, _ in rows], np.int64), np.array([value for _, value in rows], np.uint64)
    found = kernels.smallest(values, places, 7)
    assert found.tolist() == [min((v for p, v in rows if p == place and v), default=0) for place in range(7)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12))
def test_a_united_set_has_its_smallest_index(pairs):
    sets = naive.Sets(range(12))
    for pair in pairs:
        sets.unite(*pair)
    ones, others = np.array(pairs, np.int64).reshape(-1, 2).T
    assert kernels.unite_indices(ones, others, 12).tolist() == [min(sets.of[index]) for index in range(12)]
