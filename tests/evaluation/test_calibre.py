"""Calibres equal those of their slow twins; costs by calibre add up to the scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clew
from clew.errors import InputError
from clew.evaluation import calibre
from clew.evaluation.calibre import calibre_classes, calibres_at, costs_by_calibre
from clew.evaluation.overlap import overlap_table
from clew.evaluation.scores import evaluate
from naive import evaluation as naive

BOUNDS = (2.0, 8.0, 20.0, 26.0)


@st.composite
def partly_annotated(draw):
    """Few wide neurons, sections and voxels that nobody annotated."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = rng.integers(0, 4, (2, 2, 2))
    labels = np.kron(coarse, np.ones((2, 3, 3), int))[:, : draw(st.integers(3, 6))].astype(np.uint64)
    known = rng.random(labels.shape) < draw(st.sampled_from([1.0, 0.9]))
    known[draw(st.integers(0, 3))] &= draw(st.booleans())
    return labels, known, (draw(st.sampled_from([6.0, 12.0])), 6.0, 5.0)


@settings(deadline=None, max_examples=20)
@given(partly_annotated(), st.sampled_from([1, 60, 1 << 24]))
def test_classes_and_calibres_equal_their_twins(case, slab):
    labels, known, size = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibre, "_SLAB", slab)
        classes = calibre_classes(labels, size, BOUNDS, annotated=known)
    rng = np.random.default_rng(0)
    places = rng.integers(0, labels.shape, (3, 3))
    deep = naive.depths(labels, size, known)
    at = [tuple(place) for place in places.tolist()]
    assert classes[tuple(places.T)].tolist() == [naive.calibre_class(labels, size, BOUNDS, known, deep, p) for p in at]
    found = calibres_at(labels, size, places, annotated=known)
    np.testing.assert_allclose(found, [naive.calibre(labels, size, known, deep, p) for p in at])


def test_a_branch_is_as_thick_as_it_was_drawn():
    labels = np.zeros((40, 40, 60), int)
    z, y, x = np.indices(labels.shape)
    labels[(z - 20) ** 2 + (y - 20) ** 2 <= np.where(x < 30, 4, 13) ** 2] = 1
    classes = calibre_classes(labels, (10, 10, 10), (100, 300))
    assert set(np.unique(classes[..., :28][labels[..., :28] > 0])) == {1}, "90 nm"
    wide = classes[..., 35:][labels[..., 35:] > 0]
    assert set(np.unique(wide)) <= {1, 2}
    assert np.mean(wide == 2) > 0.95, "270 nm, up to the membrane, but for the tips of round things made of voxels"
    thin, thick = calibres_at(labels, (10, 10, 10), [(20, 24, 10), (20, 32, 50)])
    assert 70 <= thin <= 90
    assert 250 <= thick <= 270


def test_single_sections_are_measured_in_the_section():
    labels = np.zeros((9, 30, 30), int)
    labels[::4, 5:25, 5:25] = [[[1]], [[2]], [[3]]]
    classes = calibre_classes(labels, (10, 10, 10), (150,))
    assert (classes[::4, 14:16, 14:16] == 2).all()


def test_costs_add_up_to_the_scores():
    volume = clew.synthesize((24, 32, 32), seed=0)
    segmentation = np.where(np.indices(volume.labels.shape)[2] < 15, volume.labels, volume.labels // 2)
    classes = calibre_classes(volume.labels, volume.voxel_size)
    tables = [overlap_table(segmentation, np.where(classes == number, volume.labels, 0)) for number in (1, 2, 3)]
    costs, scores = costs_by_calibre(tables), evaluate(segmentation, volume.labels)
    assert sum(cost.share for cost in costs) == pytest.approx(1)
    assert sum(cost.voi_split for cost in costs) == pytest.approx(scores.voi_split)
    assert sum(cost.voi_merge for cost in costs) == pytest.approx(scores.voi_merge)


@pytest.mark.parametrize("bounds", [(), (0, 100), (100, 100), (300, 100), (np.nan,), ((100,),)])
def test_bounds_that_do_not_ascend_are_refused(bounds):
    with pytest.raises(InputError, match="ascend from above 0, such as 100,300"):
        calibre_classes(np.ones((2, 2, 2), int), (8, 8, 8), bounds)


def test_places_outside_and_other_shapes_are_refused():
    labels = np.ones((2, 2, 2), int)
    with pytest.raises(InputError, match="places must lie inside"):
        calibres_at(labels, (8, 8, 8), [(0, 0, 2)])
    with pytest.raises(InputError, match="list of voxels"):
        calibres_at(labels, (8, 8, 8), [(0, 0)])
    with pytest.raises(InputError, match="annotated and labels"):
        calibre_classes(labels, (8, 8, 8), annotated=np.ones((2, 2)))
    assert calibres_at(labels, (8, 8, 8), np.zeros((0, 3), int)).shape == (0,)
