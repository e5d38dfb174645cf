"""The steps of the fragment methods, one by one, with the wide parents of volumes of 2³² voxels and more too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.kernels import boundary, components, distance, flood, quantise, voxel_pairs, watershed
from clew.kernels._flags import FAR, OBJECT, OUTSIDE, SEED, SEEDED, STEP_BITS
from clew.segmentation.forest import Components, decide
from clew.segmentation.options import FragmentOptions
from clew.segmentation.seeds import find_steps
from naive import fragments as naive

EVERYWHERE = np.empty((0, 0, 0), np.uint8)


@st.composite
def volumes(draw):
    shape = tuple(draw(st.integers(1, 6)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([2, 4, 256]))
    levels = (rng.integers(0, count, (3, *shape)) * (255 // (count - 1))).astype(np.uint8)
    return levels, rng.random(shape) < draw(st.sampled_from([0.02, 0.1, 0.4])), draw(st.booleans())


def steps_of(levels, per_section):
    return find_steps(levels, EVERYWHERE, FragmentOptions(per_section=per_section))


def partition(labels):
    """The labels renamed by their first voxel, so that equal partitions are equal arrays; 0 stays."""
    found, first = np.unique(labels, return_index=True)
    names = np.where(found == 0, 0, first + 1)
    return names[np.searchsorted(found, labels)]


@settings(max_examples=100, deadline=None)
@given(volumes(), st.sampled_from([np.uint32, np.int64]), st.sampled_from([0, 1, 100, 255]))
def test_forest_of_basins_is_kruskal_on_voxels(volume, dtype, low):
    levels, seeds, per_section = volume
    mask = np.ones(seeds.shape, bool)
    steps = steps_of(levels, per_section)
    flags = watershed.best_picks(levels, EVERYWHERE, steps, low, 256, per_section)
    watershed.hold_seeds(flags, seeds.view(np.uint8))
    numbers = np.empty(flags.size, dtype)
    components.unite_links(watershed.pick_links(flags), numbers)
    components.unite_touching_seeds(flags, numbers, per_section)
    firsts, kinds = components.index_components(flags, numbers)
    found = Components(firsts, firsts, kinds, np.zeros_like(kinds))
    decided = decide(levels, steps, numbers, found, FragmentOptions(low=low / 255, per_section=per_section))
    labels = decided.ids[decided.indices][numbers].reshape(seeds.shape)
    np.testing.assert_array_equal(labels, naive.seeded_forest(levels, mask, seeds, low, per_section=per_section))


@settings(max_examples=100, deadline=None)
@given(volumes())
def test_every_voxel_picks_its_best_pair(volume):
    levels, _, per_section = volume
    mask = np.ones(levels.shape[1:], bool)
    picked = {}
    objects = naive.objects(levels, mask, 0.5, per_section)
    for _, _, index, voxel, other in naive.ranked_pairs(levels, mask, 0.5, per_section):
        for end, bits in ((voxel, (32, 16, 8)), (other, (1, 2, 4))):
            picked.setdefault(end, bits[index % 3] + OBJECT * (end in objects))
    flags = watershed.best_picks(levels, EVERYWHERE, steps_of(levels, per_section), 0, 256, per_section)
    for voxel in np.ndindex(mask.shape):
        assert flags[voxel] == picked.get(voxel, 0)


@settings(max_examples=100, deadline=None)
@given(volumes())
def test_steps_outward(volume):
    levels, inside, per_section = volume
    objects = boundary.voxels_of_pairs(levels, inside.view(np.uint8), 128, per_section)
    expected = naive.objects(levels, inside, 0.5, per_section)
    assert set(zip(*(axis.tolist() for axis in np.nonzero(objects)), strict=True)) == expected
    steps = distance.steps_outward(objects, per_section)
    np.testing.assert_array_equal(steps, naive.steps_outward(expected, np.ones(inside.shape, bool), per_section))


def test_steps_outward_end_far_from_the_surface():
    objects = np.zeros((1, 1, 60), np.uint8)
    objects[..., :30] = 1
    found = distance.steps_outward(objects, False).ravel()
    np.testing.assert_array_equal(found, np.clip(np.arange(60) + OUTSIDE - 30, 0, FAR))


@settings(max_examples=100, deadline=None)
@given(volumes(), st.sampled_from([np.uint32, np.int64]))
def test_touching_seeds_are_united(volume, dtype):
    _, seeds, per_section = volume
    flags = np.where(seeds, SEED, 0).astype(np.uint8)
    parents = np.arange(flags.size, dtype=dtype)
    components.unite_touching_seeds(flags, parents, per_section)
    _, kinds = components.index_components(flags, parents)
    assert (kinds[1:] == SEEDED).all()
    expected = naive.canonical(naive.seed_sets(seeds, per_section), seeds.shape)
    np.testing.assert_array_equal(partition(parents.reshape(seeds.shape)), expected)


@settings(max_examples=50, deadline=None)
@given(volumes())
def test_flood_with_wide_labels(volume):
    levels, seeds, per_section = volume
    mask = np.ones(seeds.shape, bool)
    labels = naive.canonical(naive.seed_sets(seeds, per_section), seeds.shape).astype(np.int64)
    heights = boundary.boundary_map(levels, EVERYWHERE, per_section)
    flood.flood(heights, heights <= 255 - 50, labels, per_section)
    np.testing.assert_array_equal(partition(labels), naive.seeded_flood(levels, mask, seeds, 50, per_section))


@pytest.mark.parametrize(("name", "size"), [("CHUNK", 50), ("FARTHEST", 40)])
def test_long_lists_of_pairs_come_in_chunks(name, size, monkeypatch):
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 4, (3, 9, 10, 11), np.uint8)
    numbers = 1 + np.arange(990, dtype=np.uint32)
    kinds, steps = np.zeros(991, np.uint8), np.full((9, 10, 11), FAR, np.uint8)
    whole = voxel_pairs.touching_pairs(levels, numbers, kinds, steps, 1, False, indexed=True)
    monkeypatch.setattr(voxel_pairs, name, size)
    parts = voxel_pairs.touching_pairs(levels, numbers, kinds, steps, 1, False, indexed=True)
    np.testing.assert_array_equal(parts.ends, whole.ends)
    np.testing.assert_array_equal(parts.indices, whole.indices)
    pairs = [pair for pair in naive.voxel_pairs(levels, np.ones((9, 10, 11), bool)) if pair[0] >= 1]
    expected = [[1 + np.ravel_multi_index(v, (9, 10, 11)) for v in pair[2:]] for pair in pairs]
    np.testing.assert_array_equal(whole.ends, expected)


@settings(max_examples=50, deadline=None)
@given(volumes())
def test_pairs_are_listed_in_order_with_their_ranks(volume):
    levels, seeds, per_section = volume
    numbers = 1 + np.arange(seeds.size, dtype=np.uint32)
    kinds, steps = np.zeros(seeds.size + 1, np.uint8), steps_of(levels, per_section)
    found = voxel_pairs.touching_pairs(levels, numbers, kinds, steps, 0, per_section, indexed=True)
    pairs = naive.ranked_pairs(levels, np.ones(seeds.shape, bool), 0.5, per_section)
    expected = [((255 - strength << STEP_BITS) + steps, index) for strength, steps, index, *_ in pairs]
    rows = np.arange(len(found.ends))
    assert list(zip(found.ranks(rows).tolist(), found.indices.tolist(), strict=True)) == expected


def test_a_pair_of_basins_is_not_taken_for_another_in_its_place():
    """All pairs share one place of the small memory of pairs, so that each forgets the one before."""
    levels = np.random.default_rng(1).integers(1, 256, (3, 3, 4, 5), np.uint8)
    dense = 1 + np.arange(60, dtype=np.uint32)
    sparse = 1 + voxel_pairs.RECENT * (dense - 1)
    steps = np.zeros(levels.shape[1:], np.uint8)
    expected, found = (
        voxel_pairs.touching_pairs(levels, numbers, np.zeros(1 + numbers.max(), np.uint8), steps, 0, False).ends
        for numbers in (dense, sparse)
    )
    assert len(expected) == 2 * 4 * 5 + 3 * 3 * 5 + 3 * 4 * 4
    np.testing.assert_array_equal(found, sparse[expected - 1])


@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_spread_ids_in_place(dtype, monkeypatch):
    monkeypatch.setattr(components, "parent_type", lambda voxels: dtype)
    labels = np.array([0, 2**63 + 5, 7], np.uint64)
    result = np.empty(9, np.uint64)
    numbers = np.array([1, 0, 2, 2, 1, 0, 0, 2, 1])
    result.view(dtype)[:9] = numbers
    components.spread_ids(labels, result)
    np.testing.assert_array_equal(result, labels[numbers])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.floats(-0.5, 1.5, width=32)
        | st.sampled_from([np.nan, np.inf, 0.0, 1.0])
        | st.integers(0, 510).map(lambda half: half / 510),
        max_size=30,
    )
)
def test_quantise(values):
    values = np.array(values, np.float32)
    levels = np.empty(values.size, np.uint8)
    good = (values >= 0) & (values <= 1)
    assert quantise.quantise_values(values, levels) == np.count_nonzero(~good)
    np.testing.assert_array_equal(levels[good], np.rint(values[good] * np.float32(255)))


def test_parents_are_wide_enough():
    assert components.parent_type(2**32 - 2) is np.uint32
    assert components.parent_type(2**32) is np.int64
