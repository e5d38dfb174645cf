"""Fragments of blocks are those of the whole, down to their ids, for every shape and order of blocks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.segmentation.fragment_options import FragmentOptions
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.in_blocks.fragments import fragment_tasks


def whole(shape):
    return Domain((0, 0, 0), shape, shape)


def fragments_in_blocks(affinities, block_shape, options, mask=None, rng=None, domain=None):
    shape = affinities.shape[1:]
    domain = domain or whole(shape)
    grid = Grid(domain, block_shape)
    volumes = {"affinities": affinities, "pieces": np.zeros(shape, np.uint32), "fragments": np.zeros(shape, np.uint64)}
    if mask is not None:
        volumes["mask"] = mask
    store = MemoryStore(domain, volumes)
    run_serial(fragment_tasks(grid, options, masked=mask is not None), store, rng=rng)
    return store.volumes["fragments"], store


@st.composite
def cases(draw):
    """Small affinities of few levels, a mask, options with small windows, a block shape."""
    shape = tuple(draw(st.integers(1, 14)) for _ in range(3))
    block_shape = tuple(draw(st.integers(1, 9)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([2, 3, 5, 256]))
    levels = (rng.integers(0, count, (3, *shape)) * (255 // (count - 1))).astype(np.uint8)
    if draw(st.booleans()):
        levels = np.maximum(levels, rng.choice([0, 200, 255], (3, *shape), p=[0.4, 0.3, 0.3])).astype(np.uint8)
    affinities = levels if draw(st.booleans()) else (levels / np.float32(255)).astype(np.float32)
    mask = rng.random(shape) < draw(st.sampled_from([0.9, 0.6])) if draw(st.booleans()) else None
    low = draw(st.sampled_from([0.0, 0.02, 0.5, 0.7]))
    options = FragmentOptions(
        method=draw(st.sampled_from(["seeded-forest", "seeded-forest", "affinity-watershed"])),
        per_section=draw(st.booleans()),
        boundary_threshold=draw(st.sampled_from([0.3, 0.5, 0.7, 1.0])),
        low=low,
        high=draw(st.sampled_from([0.9, 0.9999, 1.0])),
        seed_window=draw(st.sampled_from([1, 3, 5])),
        distance_cap=draw(st.sampled_from([1, 2, 4])),
    )
    return affinities, mask, options, block_shape, rng


@settings(max_examples=150, deadline=None)
@given(cases())
def test_equals_the_whole(case):
    affinities, mask, options, block_shape, rng = case
    expected = extract_fragments(affinities, mask=mask, options=options)
    found, _ = fragments_in_blocks(affinities, block_shape, options, mask, rng)
    np.testing.assert_array_equal(found, expected)
