"""extract_fragments against its slow twins, ties, masks and sections included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InputError
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import FragmentOptions
from clew.segmentation.seeds import find_seeds
from naive import fragments as naive


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


def most(options):
    return min(options["distance_cap"], 15)


def fragments_of(levels, mask, method, options):
    return extract_fragments(
        levels, mask=None if mask.all() else mask, options=FragmentOptions(method=method, **options)
    )


@settings(max_examples=300, deadline=None)
@given(cases())
def test_forest_equals_its_naive_twin(case):
    levels, mask, options = case
    threshold, per_section = options["boundary_threshold"], options["per_section"]
    seeds = naive_seeds(levels, mask, options)
    for voxel in zip(*np.nonzero(seeds), strict=True):
        seeds[voxel] = voxel in naive.objects(levels, mask, threshold, per_section)
    expected = naive.seeded_forest(levels, mask, seeds, 255 * options["low"], threshold, per_section, most(options))
    np.testing.assert_array_equal(fragments_of(levels, mask, "seeded-forest", options), expected)


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.3, 0.9]))
def test_forest_of_ids_equals_its_naive_twin(case, seed, share):
    """No fragment holds two ids, and each connected piece of an id is in one fragment."""
    levels, mask, options = case
    rng, per_section = np.random.default_rng(seed), options["per_section"]
    ids = (rng.integers(1, 4, mask.shape) * (rng.random(mask.shape) < share)).astype(np.uint64)
    seeds = naive_seeds(levels, mask, options)
    for voxel in zip(*np.nonzero(seeds), strict=True):
        seeds[voxel] = voxel in naive.objects(levels, mask, options["boundary_threshold"], per_section)
    expected = naive.seeded_forest(
        levels, mask, seeds, 255 * options["low"], options["boundary_threshold"], per_section, most(options), ids
    )
    found = extract_fragments(
        levels, mask=None if mask.all() else mask, cannot_link=ids, options=FragmentOptions("seeded-forest", **options)
    )
    np.testing.assert_array_equal(found, expected)
    held = (ids != 0) & mask
    assert (found[held] != 0).all()
    assert len({*zip(found[held].tolist(), ids[held].tolist(), strict=True)}) == len(np.unique(found[held]))


def test_ids_that_cannot_be_seeds_are_refused():
    ids = np.zeros((2, 2, 2), int)
    for options, wrong, message in (
        (FragmentOptions("affinity-watershed"), ids, "seeds of seeded-forest only"),
        (FragmentOptions(), ids[:1], "shape of the volume"),
        (FragmentOptions(), ids - 9, "negative"),
    ):
        with pytest.raises(InputError, match=message):
            extract_fragments(GOOD, cannot_link=wrong, options=options)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_flood_equals_its_naive_twin(case):
    levels, mask, options = case
    seeds = naive_seeds(levels, mask, options)
    expected = naive.seeded_flood(levels, mask, seeds, 255 * options["low"], options["per_section"])
    np.testing.assert_array_equal(fragments_of(levels, mask, "seeded-flood", options), expected)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_affinity_watershed_equals_its_naive_twin(case):
    levels, mask, options = case
    expected = naive.affinity_watershed(
        levels, mask, 255 * options["low"], 255 * options["high"], options["boundary_threshold"], options["per_section"],
        most(options),
    )  # fmt: skip
    np.testing.assert_array_equal(fragments_of(levels, mask, "affinity-watershed", options), expected)


METHODS = ("seeded-forest", "affinity-watershed", "seeded-flood")


@st.composite
def boxes_in_membranes(draw):
    """Boxes with walls of 4 voxels between them, of affinity 0 or darkest in the middle; their labels."""
    counts = [draw(st.integers(1, 3)) for _ in range(3)]
    labels = np.kron(np.arange(1, 1 + np.prod(counts), dtype=np.uint64).reshape(counts), np.ones((9, 9, 9), np.uint64))
    depth = np.full(labels.shape, 9.0)
    for axis, count in enumerate(counts):
        for wall in range(9, 9 * count, 9):
            depth = np.minimum(depth, np.abs(np.indices(labels.shape)[axis] + 0.5 - wall))
    inside = depth > 2
    targets = [inside & np.roll(inside, 1, axis) for axis in range(3)]
    slope = draw(st.sampled_from([0, 50]))
    return np.stack([np.where(target, 255, slope * depth) for target in targets]).astype(np.uint8), labels


@pytest.mark.parametrize("method", ["seeded-forest", "affinity-watershed"])
@settings(max_examples=30, deadline=None)
@given(boxes_in_membranes())
def test_objects_share_their_membranes(method, case):
    affinities, labels = case
    fragments = extract_fragments(affinities, options=FragmentOptions(method=method))
    assert len(np.unique(fragments)) == len(np.unique(labels))
    assert len({*zip(fragments.flat, labels.flat, strict=True)}) == len(np.unique(labels))


def test_pairs_of_affinity_0_reach_15_steps():
    affinities = np.zeros((3, 3, 3, 80), np.uint8)
    affinities[:, :, :, :9] = affinities[:, :, :, 75:] = 255
    for method in ("seeded-forest", "affinity-watershed"):
        fragments = extract_fragments(affinities, options=FragmentOptions(method=method))
        assert np.unique(np.flatnonzero(fragments == 0) % 80).tolist() == list(range(9 + 14, 74 - 14))
        assert len(np.unique(fragments)) == 3


@pytest.mark.parametrize("method", ["seeded-forest", "affinity-watershed"])
def test_nothing_is_a_fragment_where_all_affinities_are_0(method):
    assert not extract_fragments(np.zeros((3, 4, 5, 6), np.uint8), options=FragmentOptions(method=method)).any()


def test_an_object_without_a_seed_is_a_fragment():
    """The seed of the large box is the only one within the window; nothing above 0 joins the small one to it."""
    affinities = np.zeros((3, 5, 5, 12), np.uint8)
    affinities[:, :, :, :6] = 255
    affinities[:, 1:3, 1:3, 8:10] = 255
    assert len(np.unique(extract_fragments(affinities, options=FragmentOptions(low=0.1)))) == 3


@pytest.fixture(scope="module")
def smooth():
    """Affinities of a few touching blobs, as float32, with a faint ripple so that no two values are far apart."""
    rng = np.random.default_rng(3)
    centres = rng.random((12, 3)) * (20, 30, 40)
    grid = np.stack(np.meshgrid(*map(np.arange, (20, 30, 40)), indexing="ij"), -1)
    gaps = np.sort(((grid[..., None, :] - centres) ** 2).sum(-1) ** 0.5, axis=-1)
    inner = np.clip((gaps[..., 1] - gaps[..., 0]) / 4, 0, 1)
    return np.stack([np.minimum(inner, np.roll(inner, 1, axis)) for axis in range(3)]).astype(np.float32)


@pytest.mark.compiled
@pytest.mark.parametrize("method", METHODS)
def test_bytes_and_floats_agree(smooth, method):
    options = FragmentOptions(method=method, low=0.1)
    as_bytes = np.rint(smooth * np.float32(255)).astype(np.uint8)
    expected = extract_fragments(as_bytes, options=options)
    assert len(np.unique(expected)) >= 8 or method != "seeded-forest"
    np.testing.assert_array_equal(extract_fragments(smooth, options=options), expected)
    np.testing.assert_array_equal(extract_fragments(as_bytes.astype(np.float64) / 255, options=options), expected)


@pytest.mark.compiled
@pytest.mark.parametrize("method", METHODS)
def test_sections_are_independent(smooth, method):
    options = FragmentOptions(method=method, per_section=True)
    whole = extract_fragments(smooth, options=options)
    size = np.uint64(whole[0].size)
    for z in range(0, len(whole), 7):
        section = extract_fragments(smooth[:, z : z + 1], options=options)[0]
        section[section > 0] += np.uint64(z) * size
        np.testing.assert_array_equal(whole[z], section)


@pytest.mark.compiled
@pytest.mark.parametrize("method", METHODS)
def test_mask_of_a_box_is_a_crop(smooth, method):
    options = FragmentOptions(method=method)
    box = (slice(3, 17), slice(4, 30), slice(0, 35))
    mask = np.zeros(smooth.shape[1:], bool)
    mask[box] = True
    masked = extract_fragments(smooth, mask=mask, options=options)
    assert not masked[~mask].any()
    crop = extract_fragments(smooth[(slice(None), *box)], options=options)
    positions = np.concatenate([[0], 1 + np.flatnonzero(mask)]).astype(np.uint64)
    np.testing.assert_array_equal(masked[box], positions[crop.astype(np.int64)])


@pytest.mark.compiled
def test_affinities_of_pairs_that_leave_the_volume_are_ignored(smooth):
    changed = smooth.copy()
    changed[0, 0], changed[1, :, 0], changed[2, :, :, 0] = 0.9, 0.1, 1
    for method in METHODS:
        options = FragmentOptions(method=method)
        np.testing.assert_array_equal(
            extract_fragments(changed, options=options), extract_fragments(smooth, options=options)
        )


@pytest.mark.compiled
def test_further_channels_are_ignored(smooth):
    more = np.concatenate([smooth, np.full((2, *smooth.shape[1:]), np.nan, np.float32)])
    np.testing.assert_array_equal(extract_fragments(more), extract_fragments(smooth))


@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.6, 0.8])
def test_a_mean_of_just_the_threshold_is_boundary(threshold):
    """3 · 0.6 · 255 is a little less than 459 in binary fractions."""
    levels = np.full((3, 4, 5, 6), round(255 * threshold), np.uint8)
    seeds = find_seeds(levels, np.empty((0, 0, 0), np.uint8), FragmentOptions(boundary_threshold=threshold))
    # the first voxel has no pair of its own, hence is no boundary
    assert np.flatnonzero(seeds).tolist() == [0]


def test_affinities_of_0_give_no_fragments():
    nothing = np.zeros((3, 4, 5, 6), np.uint8)
    for method in METHODS:
        fragments = extract_fragments(nothing, options=FragmentOptions(method=method, low=0.02))
        # the first voxel has no pair of its own, hence no boundary: it is a seed, and stays alone
        assert not fragments.reshape(-1)[0 if method == "affinity-watershed" else 1 :].any()
    assert not extract_fragments(nothing + 255, mask=np.zeros((4, 5, 6))).any()
    assert (extract_fragments(nothing + 255) == 1).all()


GOOD = np.full((3, 2, 2, 2), 0.5, np.float32)


def broken(value, section=1, dtype=np.float32):
    bad = GOOD.astype(dtype)
    bad[1, section, 0, 1] = value
    return bad


@pytest.mark.parametrize(
    ("affinities", "message"),
    [
        (broken(np.nan), "NaN or infinite"),
        (broken(np.inf), "NaN or infinite"),
        (broken(-0.01), r"reaches from -0.01 to 0.5"),
        (broken(1.01), r"reaches from 0.5 to 1.01"),
        (broken(np.nan, section=0), "NaN or infinite"),
        (broken(1 + 1e-12, dtype=np.float64), r"reaches from 0.5 to 1"),
        (GOOD[0], r"\(offset, z, y, x\), not of shape"),
        (GOOD[:2], "at least 3 channels"),
        (GOOD[:, :0], "no voxel"),
        (GOOD.astype(np.int32), "not int32"),
        (GOOD > 0, "not bool"),
    ],
)
def test_bad_affinities_are_refused_in_one_line(affinities, message):
    with pytest.raises(InputError, match=message) as refused:
        extract_fragments(affinities)
    assert "\n" not in str(refused.value)


def test_more_channels_than_three_are_not_looked_at():
    more = np.concatenate([GOOD, np.full((1, 2, 2, 2), np.nan, np.float32)])
    np.testing.assert_array_equal(extract_fragments(more), extract_fragments(GOOD))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed_window": 10},
        {"distance_cap": 0},
        {"distance_cap": 129},
        {"low": 0.9, "high": 0.5},
        {"low": -0.1},
        {"method": "watershed"},
    ],
)
def test_bad_options_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        extract_fragments(GOOD, options=FragmentOptions(**wrong))


@pytest.mark.parametrize("value", [1, 2, 256, 0.5])
def test_every_mask_value_above_0_is_inside(value):
    levels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 6), np.uint8)
    mask = np.random.default_rng(1).random((4, 5, 6)) < 0.7
    numbers = np.where(mask, value, 0).astype(np.int16 if value >= 1 else np.float16)
    np.testing.assert_array_equal(extract_fragments(levels, mask=numbers), extract_fragments(levels, mask=mask))


def test_bad_mask_is_refused():
    with pytest.raises(InputError, match="shape of the volume"):
        extract_fragments(np.zeros((3, 2, 2, 2), np.uint8), mask=np.ones((2, 2, 3)))
