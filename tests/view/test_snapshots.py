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


def test_pictures_go_through_the_heaviest_edge() -> None:
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


def test_arrays_must_fit() -> None:
    with pytest.raises(InputError, match="over labels of"):
        snapshot_figure(**{**arrays(), "positive": np.zeros((3, 1, 1, 1))})


def test_no_weights_are_drawn_as_none() -> None:
    given = arrays()
    figure = snapshot_figure(**{**given, "positive": given["positive"] * 0, "negative": given["negative"] * 0})
    assert figure.axes[4].images[-1].get_array().mask.all()
