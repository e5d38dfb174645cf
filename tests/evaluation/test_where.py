"""Each error by itself, and the merge that made it: equal to what cutting the tree at every merge shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clew
from clew.errors import InputError
from clew.evaluation.edges import majorities
from clew.evaluation.overlap import OverlapTable, overlap_table, relabel_table
from clew.evaluation.places import middle_of, path_length, touching
from clew.evaluation.scores import score_table
from clew.evaluation.where import Cause, Merges, PairError, find_causes, judged_table, pair_errors
from clew.kernels.relabel import positions_of


def row(values) -> np.ndarray:
    return np.array(values).reshape(1, 1, -1)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_bits_are_what_mending_one_error_gains(pairs):
    segments, truth = np.array(pairs).T
    if not truth.any():
        return
    table = overlap_table(row(segments), row(truth))
    before = score_table(table)
    splits, merges = pair_errors(table)
    for error in splits:
        (lead, neuron), (part, _) = error.parts
        mended = np.where((segments == part) & (truth == neuron), lead, segments)
        gain = before.voi_split - score_table(overlap_table(row(mended), row(truth))).voi_split
        assert error.bits == pytest.approx(gain, abs=1e-9)
        assert error.voxels == np.sum((segments == part) & (truth == neuron))
    for error in merges:
        (segment, _), (_, part) = error.parts
        mended = np.where((segments == segment) & (truth == part), 99, segments)
        after = score_table(overlap_table(row(mended), row(truth)))
        assert error.bits == pytest.approx(before.voi_merge - after.voi_merge, abs=1e-9)
        assert after.voi_split == pytest.approx(before.voi_split, abs=1e-9)
    known = segments[(truth != 0) & (segments != 0)], truth[(truth != 0) & (segments != 0)]
    met = set(zip(*map(np.ndarray.tolist, known), strict=True))
    assert len(splits) == len(met) - len({neuron for _, neuron in met})
    assert len(merges) == len(met) - len({segment for segment, _ in met})
    for errors in (splits, merges):
        assert [error.bits for error in errors] == sorted((error.bits for error in errors), reverse=True)


def made(seed: int) -> tuple[clew.MergeTree, Merges, OverlapTable]:
    """A tree over fragments with a truth that mixes some of them."""
    rng = np.random.default_rng(seed)
    fragments = np.kron(rng.permutation(27).reshape(3, 3, 3) * 3 + 1, np.ones((2, 2, 2), int)).astype(np.uint64)
    truth = np.kron(rng.integers(1, 5, (3, 3, 3)), np.ones((2, 2, 2), int))
    truth = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 5, truth.shape), truth)
    affinities = rng.integers(0, 256, (3, *truth.shape)).astype(np.uint8)
    graph = clew.build_region_graph(affinities, fragments)
    score = ("mean", "hist_quant_75_init_max")[seed % 2]
    tree = clew.agglomerate(graph, options=clew.AgglomerationOptions(score, floor=0.2 * (seed % 3)))
    survivors, absorbed = positions_of(tree.fragments, tree.merges).T
    edges = positions_of(tree.fragments, graph.edges)
    merges = Merges(tree.fragments, survivors, absorbed, tree.cuts[1][absorbed], edges, graph.areas)
    return tree, merges, overlap_table(fragments, truth)


def regions_after(tree: clew.MergeTree, count: int) -> dict[int, int]:
    """The region of each fragment after so many merges, merge by merge."""
    region = {fragment: fragment for fragment in tree.fragments.tolist()}
    for survivor, absorbed in tree.merges[:count].tolist():
        region = {fragment: survivor if own == absorbed else own for fragment, own in region.items()}
    return region


def together(
    error: PairError, tree: clew.MergeTree, owner: dict[int, int], at: dict[int, int], now: dict[int, int]
) -> bool:
    """Whether fragments of both parts, by majority, share a region; `at` are the regions where the error was found."""
    one, other = ({now[f] for f in now if at[f] == segment and owner[f] == neuron} for segment, neuron in error.parts)
    return bool(one & other)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.45, 0.5, 0.6, 1.0]))
def test_causes_are_the_first_merges_that_unite(seed, threshold):
    tree, merges, table = made(seed)
    lookup = clew.segment_lookup(tree, threshold)
    splits, joined = pair_errors(relabel_table(table, tree.fragments, lookup), 100)
    errors = splits + joined
    owner = dict(zip(tree.fragments.tolist(), majorities(tree.fragments, table)[0].tolist(), strict=True))
    at = dict(zip(tree.fragments.tolist(), lookup.tolist(), strict=True))
    states = [regions_after(tree, count) for count in range(len(tree.merges) + 1)]
    for error, cause in zip(errors, find_causes(errors, table, merges, threshold), strict=True):
        has_both = all(any(at[f] == s and owner[f] == n for f in at) for s, n in error.parts)
        seen = [together(error, tree, owner, at, now) for now in states]
        if not isinstance(cause, Cause):
            assert not has_both if cause is not None else has_both and not any(seen)
            continue
        assert cause.event == seen.index(True) - 1
        # cut just at and just above its score
        for step, expected in ((cause.threshold, False), (np.nextafter(cause.threshold, 2) + 1e-7, True)):
            cut = clew.segment_lookup(tree, min(step, 1.0)).tolist()
            now = dict(zip(tree.fragments.tolist(), cut, strict=True))
            assert together(error, tree, owner, at, now) == expected or cause.threshold == 1.0
        ends = tree.fragments[merges.edges[cause.edge]].tolist()
        assert {states[cause.event][end] for end in ends} == set(tree.merges[cause.event].tolist())
        assert cause.objects == tuple(owner[end] for end in ends)


def test_the_fragment_that_mixes_two_objects_is_named():
    fragments, truth = row([1, 1, 1, 2, 2, 2]), row([1, 1, 2, 2, 2, 2])
    graph = clew.build_region_graph(np.full((3, 1, 1, 6), 200, np.uint8), fragments.astype(np.uint64))
    tree = clew.agglomerate(graph)
    merges = Merges(tree.fragments, *positions_of(tree.fragments, tree.merges).T, np.array([50000]),
                    positions_of(tree.fragments, graph.edges), graph.areas)  # fmt: skip
    table = overlap_table(fragments, truth)
    splits, joined = pair_errors(table)
    assert [error.parts for error in splits + joined] == [((2, 2), (1, 2)), ((1, 1), (1, 2))]
    assert find_causes(splits + joined, table, merges, 0.0) == [1, 1]


def test_places_and_lengths():
    volume = np.zeros((3, 5, 30), int)
    volume[1, 2, :20], volume[1, 2, 20:] = 1, 2
    assert touching(volume == 1, volume == 2).tolist() == [[1, 2, 19]]
    assert touching(volume == 2, volume == 1).tolist() == [[1, 2, 20]]
    assert touching(volume == 3, volume == 1).tolist() == []
    assert middle_of(np.array([[0, 0, 0], [0, 0, 9], [0, 4, 4]]), (1, 1, 1)) == (0, 4, 4)
    assert path_length(volume == 1, (40, 4, 4)) == 19 * 4
    volume[0, :, 0] = 1
    assert path_length(volume == 1, (40, 4, 4)) == pytest.approx(18 * 4 + 2 * 4 + np.sqrt(40**2 + 4**2), abs=4)
    assert path_length(volume[:1, :1, :1] == 1, (40, 4, 4)) == 0


def test_large_parts_are_coarsened():
    part = np.zeros((40, 40, 300), bool)
    part[5:35, 5:35] = True
    assert path_length(part, (10, 10, 10)) == pytest.approx(3000, rel=0.15)


def test_verdicts_change_the_truth():
    segments = np.array([1, 1, 1, 1, 2, 2, 3, 3, 3, 4])
    truth = np.array([7, 7, 8, 9, 7, 7, 5, 5, 6, 5])
    table = overlap_table(row(segments), row(truth))
    merge, third, split, other = ((1, 7), (1, 8)), ((1, 7), (1, 9)), ((1, 7), (2, 7)), ((3, 5), (3, 6))
    for verdicts, expected in (
        ({merge: "truth wrong"}, [7, 7, 7, 9, 7, 7, 5, 5, 6, 5]),
        ({merge: "truth wrong", third: "truth wrong"}, [7, 7, 7, 7, 7, 7, 5, 5, 6, 5]),
        ({split: "truth wrong"}, [7, 7, 8, 9, 10, 10, 5, 5, 6, 5]),
        ({other: "undecided", merge: "segmentation wrong"}, [7, 7, 8, 9, 7, 7, 5, 5, 0, 5]),
    ):
        found = score_table(judged_table(table, verdicts))
        assert found == score_table(overlap_table(row(segments), row(expected)))
    with pytest.raises(InputError, match="verdicts are of another one"):
        judged_table(table, {((1, 7), (1, 5)): "truth wrong"})
