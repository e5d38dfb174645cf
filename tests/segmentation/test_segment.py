"""`segment` is its steps, one after the other; another cut of its tree is `cut_lookup`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.dust import join_dust, remove_small
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import AgglomerationOptions, CutOptions, FragmentOptions, SegmentationOptions
from clew.segmentation.region_graph import build_region_graph
from clew.segmentation.relabel import relabel, segment_lookup
from clew.segmentation.segment import cut_lookup, segment
from segmentation.in_blocks.cases import affinity_cases, assert_equal_records


@settings(max_examples=60, deadline=None)
@given(
    affinity_cases(), st.sampled_from(["mean", "mean_top_3"]), st.sampled_from([0, 3, 9]), st.sampled_from([0, 4, 30])
)
def test_equals_its_steps(case, score, minimum_size, remove_below):
    affinities, mask, fragment_options, _, _ = case
    agglomeration = AgglomerationOptions(score, floor=0.2)
    options = SegmentationOptions(fragment_options, agglomeration, CutOptions(0.4, minimum_size, remove_below))
    found = segment(affinities, mask=mask, options=options)

    fragments = extract_fragments(affinities, mask=mask, options=fragment_options)
    graph = build_region_graph(affinities, fragments)
    tree = agglomerate(graph, options=agglomeration)
    lookup = segment_lookup(tree, 0.4)
    lookup = join_dust(graph, lookup, minimum_size=minimum_size, options=AgglomerationOptions(score))
    lookup = remove_small(tree.sizes, lookup, minimum_size=remove_below)
    np.testing.assert_array_equal(found.fragments, fragments)
    assert_equal_records(found.region_graph, graph)
    assert_equal_records(found.merge_tree, tree)
    np.testing.assert_array_equal(found.lookup, lookup)
    np.testing.assert_array_equal(found.segmentation, relabel(fragments, tree.fragments, lookup))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SegmentationOptions(FragmentOptions(seed_window=4)), "seed_window"),
        (SegmentationOptions(agglomeration=AgglomerationOptions("median")), "no score 'median'"),
        (SegmentationOptions(cut=CutOptions(threshold=40)), "threshold must be in"),
    ],
)
def test_options_are_refused_before_any_work(options, message, monkeypatch):
    monkeypatch.setattr("clew.segmentation.segment.extract_fragments", lambda *_, **__: pytest.fail("work was done"))
    with pytest.raises(InputError, match=message):
        segment(np.zeros((3, 2, 2, 2), np.uint8), options=options)


def test_dust_is_not_joined_without_a_region_graph():
    tree = segment(np.zeros((3, 2, 2, 2), np.uint8)).merge_tree
    with pytest.raises(InputError, match="region graph"):
        cut_lookup(tree, CutOptions(minimum_size=2))
