"""The snapshot of a training crop: right pictures, and the section that matters."""

import numpy as np
import pytest

from clew.errors import InputError
from clew.view.snapshots import snapshot_figure

SHAPE = (4, 6, 8)


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    raw = random.random((6, 8, 10), np.float32)
    weights = [np.zeros((3, *SHAPE), np.float32) for _ in range(2)]
    weights[0][0, 2, 3, 4], weights[1][1, 2, 1, 1] = 0.9, 0.0009
    labels = random.integers(0, 3, SHAPE)
    targets, affinities = random.random((2, 3, *SHAPE), np.float32)
    names = ("raw", "labels", "targets", "affinities", "positive", "negative")
    return dict(zip(names, (raw, labels, targets, affinities, *weights), strict=True))


def test_pictures_go_through_the_heaviest_edge():
    given = arrays()
    figure = snapshot_figure(**given, title="step 7")
    shown = [axis.images[-1].get_array() for axis in figure.axes]
    assert len(shown) == 12
    np.testing.assert_array_equal(shown[0], given["raw"][1:-1, 1:-1, 1:-1][2])
    np.testing.assert_array_equal(shown[6], given["raw"][1:-1, 1:-1, 1:-1][:, 3])
    np.testing.assert_allclose(shown[3], given["affinities"].mean(0)[2])
    strengthen, weaken = shown[4], shown[5]
    assert strengthen[3, 4] == pytest.approx(4)
    assert strengthen.count() == 1
    assert weaken[1, 1] == pytest.approx(4)


def test_the_heaviest_edge_may_be_of_either_pass_and_any_channel():
    given = arrays()
    given["positive"][:] = given["negative"][:] = 0
    given["positive"][0, 0, 0, 0], given["negative"][2, 3, 5, 7] = 0.5, 0.8
    figure = snapshot_figure(**given)
    assert [figure.axes[row].get_ylabel() for row in (0, 6)] == ["y  (z = 3)", "z  (y = 5)"]
    shown = [axis.images[-1].get_array() for axis in figure.axes]
    np.testing.assert_allclose(shown[2], given["targets"].mean(0)[3])
    np.testing.assert_allclose(shown[9], given["affinities"].mean(0)[:, 5])
    assert shown[4].mask.all()
    assert shown[5][5, 7] == shown[11][3, 7] == pytest.approx(4)


def test_decades_count_from_the_largest_weight_of_the_crop():
    given = arrays()
    given["positive"][:] = 0
    given["positive"][0, 1, 2, 3], given["positive"][1, 2, 2, 2] = 0.01, 0.1
    given["negative"][:] = 0
    given["negative"][0, 1, 0, 0] = 1
    assert snapshot_figure(**given).axes[4].images[-1].get_array()[2, 3] == pytest.approx(3)


@pytest.mark.parametrize("name", ["targets", "affinities", "positive", "negative"])
def test_arrays_that_do_not_fit_are_refused(name: str):
    with pytest.raises(InputError, match="over labels of"):
        snapshot_figure(**{**arrays(), name: np.zeros((3, 1, 1, 1))})


def test_no_weights_are_drawn_as_none():
    given = arrays()
    figure = snapshot_figure(**{**given, "positive": given["positive"] * 0, "negative": given["negative"] * 0})
    assert figure.axes[4].images[-1].get_array().mask.all()
