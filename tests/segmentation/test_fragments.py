"""extract_fragments against its slow twins, ties, masks and sections included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import fragments as naive

from clew.errors import InputError
from clew.segmentation.fragment_options import FragmentOptions
from clew.segmentation.fragments import extract_fragments


@st.composite
def cases(draw):
    """Small affinities of few levels, a mask (often whole) and options with small windows."""
    shape = tuple(draw(st.integers(1, 6)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([2, 3, 5, 256]))
    levels = (rng.integers(0, count, (3, *shape)) * (255 // (count - 1))).astype(np.uint8)
    mask = rng.random(shape) < draw(st.sampled_from([1.0, 1.0, 0.8, 0.5]))
    low = draw(st.sampled_from([0.0, 0.02, 0.5, 0.7]))
    options = {
        "per_section": draw(st.booleans()),
        "boundary_threshold": draw(st.sampled_from([0.3, 0.5, 0.7, 1.0])),
        "low": low,
        "high": draw(st.sampled_from([low, 0.9, 0.9999, 1.0]).filter(lambda high: high >= low)),
        "seed_window": draw(st.sampled_from([1, 3, 5])),
        "distance_cap": draw(st.sampled_from([1, 2, 16])),
    }
    return levels, mask, options


def naive_seeds(levels, mask, options):
    return naive.seed_voxels(
        levels,
        mask,
        options["boundary_threshold"],
        options["distance_cap"],
        options["seed_window"],
        options["per_section"],
    )


def fragments_of(levels, mask, method, options):
    return extract_fragments(
        levels, mask=None if mask.all() else mask, options=FragmentOptions(method=method, **options)
    )


@settings(max_examples=300, deadline=None)
@given(cases())
def test_seeded_forest_is_kruskal_on_all_pairs(case):
    levels, mask, options = case
    seeds = naive_seeds(levels, mask, options)
    expected = naive.seeded_forest(levels, mask, seeds, 255 * options["low"], options["per_section"])
    np.testing.assert_array_equal(fragments_of(levels, mask, "seeded-forest", options), expected)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_affinity_watershed(case):
    levels, mask, options = case
    expected = naive.affinity_watershed(
        levels, mask, 255 * options["low"], 255 * options["high"], options["per_section"]
    )
    np.testing.assert_array_equal(fragments_of(levels, mask, "affinity-watershed", options), expected)


def test_bad_mask_is_refused():
    with pytest.raises(InputError, match="shape of the volume"):
        extract_fragments(np.zeros((3, 2, 2, 2), np.uint8), mask=np.ones((2, 2, 3)))
