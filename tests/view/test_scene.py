"""Pictures in 3D: what is nearer hides what is farther, and all is where it should be."""

import numpy as np
import pytest

from clew.view import scene
from clew.view.scene import Scene

RED, BLUE = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
BOX = (0, 0, 0), (100, 100, 100)


def square(z, low=10, high=90):
    """A square across z, of two triangles."""
    corners = np.array([(z, low, low), (z, low, high), (z, high, low), (z, high, high)], float)
    return corners, np.array([(0, 1, 2), (1, 3, 2)])


@pytest.fixture(autouse=True)
def unsmoothed(monkeypatch):
    monkeypatch.setattr(scene, "ROUNDS", 0)


@pytest.fixture
def from_the_front(monkeypatch):
    monkeypatch.setattr(scene, "TURN", 0.0)
    monkeypatch.setattr(scene, "TILT", 0.0)


@pytest.mark.parametrize("order", [(20, 80), (80, 20)])
def test_what_is_nearer_hides_what_is_farther(from_the_front, order):
    drawn = Scene(*BOX, 50, 50)
    for z in order:
        drawn.add(*square(z), RED if z == 20 else BLUE)
    found = drawn.picture()
    assert found.shape == (50, 50, 4)
    inside = found[8:42, 8:42]
    assert (inside[..., :3] == (255, 0, 0)).all(), "z = 20 is nearer, seen face on, and has no hole"
    assert (inside[..., 3] == 255).all()
    assert not found[:3].any()
    assert not found[:, :3].any()


def test_x_goes_to_the_right_and_y_down(from_the_front):
    drawn = Scene(*BOX, 50, 50)
    corners, faces = square(50)
    corners[:, 1] /= 2
    drawn.add(corners, faces, RED)
    seen = np.argwhere(drawn.picture()[..., 3] > 128)
    assert seen.min(0).tolist() == pytest.approx([3, 5], abs=2)
    assert seen.max(0).tolist() == pytest.approx([22, 45], abs=2)


def test_a_box_of_any_shape_is_seen_whole_in_the_middle():
    for low, high in (((0, 0, 0), (10, 10, 1000)), ((5, 0, -30), (900, 40, 10)), ((0, 0, 0), (1, 1, 1))):
        drawn = Scene(low, high, 60, 40)
        drawn.add_box()
        seen = np.argwhere(drawn.picture()[..., 3] > 0)
        first, last = seen.min(0), seen.max(0)
        assert np.abs(first + last - (39, 59)).max() <= 2
        assert (last - first >= (38, 0)).all() or (last - first >= (0, 58)).all(), "as large as fits"


def test_what_is_seen_from_the_side_is_darker():
    drawn = Scene(*BOX, 60, 60)
    corners, faces = square(50)
    drawn.add(corners, faces, RED)
    front = drawn.picture()[..., 0].max()
    side = Scene(*BOX, 60, 60)
    side.add(corners[:, [1, 0, 2]], faces, RED)
    assert side.picture()[..., 0].max() < front


def test_corners_are_smoothed_towards_their_neighbours(monkeypatch):
    monkeypatch.setattr(scene, "ROUNDS", 1)
    corners = np.array([(0, 0, 0), (0, 0, 4), (0, 4, 0)], float)
    found = scene._smoothed(corners, np.array([(0, 1, 2)]))
    np.testing.assert_allclose(found[0], (corners[0] + corners[1]) / 2)


def test_nothing_is_nothing():
    drawn = Scene(*BOX, 8, 8)
    drawn.add(np.zeros((0, 3)), np.zeros((0, 3), int), RED)
    assert not drawn.picture().any()
