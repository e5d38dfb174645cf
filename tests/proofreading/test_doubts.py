"""Doubtful merges come in the order that the twin finds; those that a person has decided or seen do not come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.evaluation.overlap import overlap_table
from clew.evaluation.scores import score_table
from clew.kernels.merge_tree import region_sizes
from clew.proofreading.corrections import Correction, Segments
from clew.proofreading.doubts import NEAR, Doubts
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.relabel import segment_lookup
from proofreading.runs import THRESHOLDS, graph_of, random_run


def regions_before(tree, merge):
    """Fragments of both regions of a merge, by plain sets."""
    regions = {fragment: {fragment} for fragment in tree.fragments.tolist()}
    for one, other in [*tree.must_link.tolist(), *tree.merges[:merge].tolist()]:
        regions[one] |= regions.pop(other)
    one, other = tree.merges[merge].tolist()
    return regions[one], regions[other]


@given(st.integers(0, 2**32 - 1), st.sampled_from(THRESHOLDS), st.sampled_from(["voi", "score", "size"]))
@settings(max_examples=60, deadline=None)
def test_the_order_is_that_of_the_twin(seed, threshold, rank):
    _, _, tree = random_run(seed)
    doubts = Doubts(tree, threshold, rank)
    size = dict(zip(tree.fragments.tolist(), tree.sizes.tolist(), strict=True))
    segment_of = dict(zip(tree.fragments.tolist(), segment_lookup(tree, threshold).tolist(), strict=True))
    keys, lowest = [], 1.0
    for merge, score in enumerate(tree.scores.tolist()):
        lowest = min(lowest, score)
        regions = regions_before(tree, merge)
        small = min(sum(size[fragment] for fragment in region) for region in regions)
        one, other = (
            sum(size[each] for each in size if segment_of[each] == segment_of[min(region)]) for region in regions
        )
        voxels = [small, one - small] if segment_of[min(regions[0])] == segment_of[min(regions[1])] else [one, other]
        assert doubts._voxels[merge].tolist() == voxels
        cut = 1 - threshold
        wrong = (1 - lowest) / max(1 - cut, 1e-9) / 2 if lowest > cut else lowest / max(cut, 1e-9) / 2
        wrong = min(wrong, 0.5)
        truth = np.repeat([1, 2], voxels)[None, None]
        bits = score_table(overlap_table(np.ones_like(truth), truth)).voi_merge * truth.size / sum(size.values())
        keys.append({"voi": (-bits * wrong,), "score": (-wrong,), "size": (wrong < NEAR, -min(voxels))}[rank])
    found = [keys[merge] for merge in doubts.order.tolist()]
    np.testing.assert_allclose(found, sorted(keys), atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.sampled_from(THRESHOLDS))
@settings(max_examples=60, deadline=None)
def test_every_merge_comes_once_at_a_contact_between_its_regions(seed, threshold):
    _, graph, tree = random_run(seed)
    doubts, segments, passed = Doubts(tree, threshold), Segments(graph, tree, threshold), []
    while (doubt := doubts.next(segments, passed)) is not None:
        one, other = regions_before(tree, doubt.merge)
        ends = set(doubt.contact.tolist())
        assert len(ends & one) == len(ends & other) == 1
        places = np.searchsorted(tree.fragments, doubt.contact).tolist()
        assert doubts.merge_of(*places) == doubts.merge_of(*places[::-1]) == doubt.merge
        assert doubt.done == (segments.roots()[places[0]] == segments.roots()[places[1]])
        passed.append(doubt.merge)
    assert passed == doubts.order.tolist()


def test_what_a_person_has_decided_does_not_come():
    graph = graph_of({(1, 2): (200, 10), (2, 3): (120, 10), (3, 4): (150, 10)}, [9, 9, 9, 9])
    tree = agglomerate(graph, options=AgglomerationOptions("mean"))
    segments = Segments(graph, tree, 0.5)
    doubts = Doubts(tree, 0.5, "score")
    assert [doubts.next(segments, []).contact.tolist(), doubts.next(segments, []).done] == [[2, 3], False]
    segments.correct(Correction(*np.array([[2], [3]], np.uint64)))
    assert doubts.next(segments, []).contact.tolist() == [3, 4]
    segments.correct(segments.split(np.array([3], np.uint64), np.array([4], np.uint64)))
    assert doubts.next(segments, []).contact.tolist() == [1, 2]
    assert doubts.merge_of(0, 3) == 2


def test_fragments_that_never_merge_have_no_merge():
    graph = graph_of({(1, 2): (200, 10)}, [9, 9, 9])
    doubts = Doubts(agglomerate(graph, options=AgglomerationOptions("mean")), 0.5)
    assert doubts.merge_of(0, 2) is None
    assert doubts.next(Segments(graph, doubts.tree, 0.5), [0]) is None


def test_sizes_add_up_in_the_order_of_merges():
    sizes = np.array([1, 10, 100, 1000])
    found = region_sizes(np.array([[2, 3], [0, 2], [0, 1]]), sizes)
    assert found.tolist() == [[100, 1000], [1, 1100], [1101, 10]]
    assert sizes.tolist() == [1, 10, 100, 1000]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_no_way_has_a_stronger_weakest_contact(seed):
    rng, graph, tree = random_run(seed)
    segments = Segments(graph, tree, 1.0)
    one = int(rng.integers(len(graph.fragments)))
    other = int(rng.choice(segments.members(int(segments.roots()[one]))))
    way = segments.path(one, other)
    assert (way[0], way[-1]) == (one, other)
    ends, strengths = segments._weighted(np.ones(len(graph.fragments), bool))
    strong = {}
    for pair, strength in zip(map(tuple, ends.tolist()), strengths.tolist(), strict=True):
        strong[pair] = strong[pair[::-1]] = max(strength, strong.get(pair, 0))
    weakest = min([strong[pair] for pair in zip(way[:-1].tolist(), way[1:].tolist(), strict=True)], default=None)
    if weakest is None:
        return
    reached = {one}
    while more := {b for (a, b), strength in strong.items() if a in reached and strength > weakest} - reached:
        reached |= more
    assert other not in reached


def test_a_way_between_two_segments_is_refused():
    graph = graph_of({(1, 2): (20, 10)}, [9, 9])
    segments = Segments(graph, agglomerate(graph, options=AgglomerationOptions("mean")), 0.5)
    with pytest.raises(Exception, match="two segments"):
        segments.path(0, 1)
