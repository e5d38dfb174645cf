"""Small volumes to be cut into blocks, for hypothesis."""

import dataclasses

import numpy as np
from hypothesis import strategies as st

from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import FragmentOptions

SCORES = ["mean", *(f"hist_quant_{q}{m}" for q in (0, 25, 50, 75, 100) for m in ("", "_init_max"))]


def assert_equal_records(found, expected):
    for field in dataclasses.fields(expected):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), err_msg=field.name)


def draw_levels(draw, longest, longest_block):
    """Affinities (uint8) of few levels or many, a block shape, a source of randomness."""
    shape = tuple(draw(st.integers(1, longest)) for _ in range(3))
    block_shape = tuple(draw(st.integers(1, longest_block)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([2, 3, 5, 256]))
    return (rng.integers(0, count, (3, *shape)) * (255 // (count - 1))).astype(np.uint8), block_shape, rng


def as_bytes_or_floats(draw, levels):
    return levels if draw(st.booleans()) else (levels / np.float32(255)).astype(np.float32)


@st.composite
def affinity_cases(draw):
    """Affinities, a mask, options with small windows, a block shape."""
    levels, block_shape, rng = draw_levels(draw, 14, 9)
    shape = levels.shape[1:]
    if draw(st.booleans()):
        levels = np.maximum(levels, rng.choice([0, 200, 255], (3, *shape), p=[0.4, 0.3, 0.3])).astype(np.uint8)
    levels[rng.random(levels.shape) > draw(st.sampled_from([1, 1, 0.3, 0.1]))] = 0
    affinities = as_bytes_or_floats(draw, levels)
    mask = rng.random(shape) < draw(st.sampled_from([0.9, 0.6])) if draw(st.booleans()) else None
    options = FragmentOptions(
        method=draw(st.sampled_from(["seeded-forest", "seeded-forest", "affinity-watershed"])),
        per_section=draw(st.booleans()),
        boundary_threshold=draw(st.sampled_from([0.3, 0.5, 0.7, 1.0])),
        low=draw(st.sampled_from([0.0, 0.02, 0.5, 0.7])),
        high=draw(st.sampled_from([0.9, 0.9999, 1.0])),
        seed_window=draw(st.sampled_from([1, 3, 5])),
        distance_cap=draw(st.sampled_from([1, 2, 4])),
    )
    return affinities, mask, options, block_shape, rng


@st.composite
def fragment_cases(draw):
    """Affinities, fragments of them by one of the exact methods, a block shape."""
    levels, block_shape, rng = draw_levels(draw, 12, 8)
    method = draw(st.sampled_from(["seeded-forest", "affinity-watershed"]))
    low = draw(st.sampled_from([0.0, 0.5, 0.9]))
    options = FragmentOptions(method=method, low=low, high=1.0, seed_window=3, distance_cap=2)
    fragments = extract_fragments(levels, options=options)
    return as_bytes_or_floats(draw, levels), fragments, block_shape, rng
