"""Figures: what they show, and that neurons keep their colours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clew.errors import InputError
from clew.view.colours import colours_of, follow, paint
from clew.view.figures import affinity_figure, save_figure, section_figure, threshold_figure, training_figure

SIZE = (40.0, 10.0, 10.0)


@pytest.fixture
def block():
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (6, 20, 30), dtype=np.uint8)
    labels = rng.integers(0, 4, raw.shape).astype(np.uint64)
    return raw, labels


def texts(figure):
    found = [text.get_text() for axis in figure.axes for text in axis.texts]
    return found + [axis.get_title() for axis in figure.axes]


def test_sections_are_drawn_to_scale_with_names_and_a_bar(block, tmp_path):
    raw, labels = block
    figure = section_figure(raw, labels, labels, voxel_size=SIZE, position=(1, 2, 3), title="three groups")
    assert len(figure.axes) == 9
    shown = texts(figure)
    for wanted in ("image", "segmentation", "truth", "xy at z = 1", "xz at y = 2", "yz at x = 3", "50 nm"):
        assert wanted in shown
    xy, xz, yz = figure.axes[:3]
    assert [xy.get_xlabel(), xy.get_ylabel()] == ["x", "y"]
    assert [xz.get_xlabel(), xz.get_ylabel()] == ["x", "z"]
    assert [yz.get_xlabel(), yz.get_ylabel()] == ["z", "y"]
    assert xy.images[0].get_extent() == [0, 300, 200, 0]
    assert xz.images[0].get_extent() == [0, 300, 240, 0]
    assert yz.images[0].get_extent() == [0, 240, 200, 0]
    np.testing.assert_array_equal(xy.images[0].get_array(), raw[1])
    np.testing.assert_array_equal(yz.images[0].get_array(), raw[:, :, 3].T)
    path = tmp_path / "sections.png"
    save_figure(figure, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_truth_there_are_two_groups(block):
    assert len(section_figure(*block, voxel_size=SIZE).axes) == 6


def test_sections_go_through_the_middle_and_the_truth_follows_the_colours(block):
    raw, labels = block
    figure = section_figure(raw, labels, np.where(labels > 0, labels + 7, 0), voxel_size=SIZE)
    for wanted in ("xy at z = 3", "xz at y = 10", "yz at x = 15"):
        assert wanted in texts(figure)
    _, segments, truths = figure.axes[:3], figure.axes[3:6], figure.axes[6:]
    for section, painted, followed in zip(
        (labels[3], labels[:, 10], labels[:, :, 15].T), segments, truths, strict=True
    ):
        np.testing.assert_array_equal(painted.images[1].get_array(), paint(section, 0.45))
        np.testing.assert_array_equal(followed.images[1].get_array(), paint(section, 0.45))


@pytest.mark.parametrize(("width", "bar"), [(300, "50 nm"), (400, "100 nm"), (1990, "200 nm"), (4000, "1 µm")])
def test_the_bar_is_round_and_at_most_a_quarter_of_the_width(width, bar):
    raw = np.zeros((2, 3, 10), np.uint8)
    assert bar in texts(section_figure(raw, raw, voxel_size=(40, 10, width / 10)))


def test_affinities_are_drawn_beside_the_image(block):
    raw, _ = block
    for affinities in (np.zeros((3, *raw.shape), np.uint8), np.zeros((5, *raw.shape), np.float32)):
        figure = affinity_figure(raw, affinities, voxel_size=SIZE, section=2)
        assert [axis.get_title() for axis in figure.axes] == ["image", "affinity z", "affinity y", "affinity x"]
        assert figure.axes[1].images[0].get_clim()[1] == (255 if affinities.dtype == np.uint8 else 1)


def test_the_section_asked_for_is_drawn_of_every_channel(block):
    raw, _ = block
    affinities = np.random.default_rng(1).random((3, *raw.shape), np.float32)
    for section, shown in ((2, 2), (None, 3)):
        pictures = [
            axis.images[0].get_array()
            for axis in affinity_figure(raw, affinities, voxel_size=SIZE, section=section).axes
        ]
        for picture, wanted in zip(pictures, (raw[shown], *affinities[:, shown]), strict=True):
            np.testing.assert_array_equal(picture, wanted)


def test_intervals_are_a_band():
    figure = threshold_figure([0.5, 0.1], [0.4, 1.0], [0.2, 0.1], intervals=np.array([[0.5, 0.7], [1.0, 1.3]]))
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {(0.1, 1.0), (0.1, 1.3), (0.5, 0.5), (0.5, 0.7)} <= {tuple(corner) for corner in corners.tolist()}


def test_the_best_threshold_is_marked():
    figure = threshold_figure([0.9, 0.1, 0.5], [0.2, 1.0, 0.4], [1.5, 0.1, 0.2], chosen=0.3)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["split", "merge", "sum", "best 0.600 at 0.5", "used 0.3"]
    split, _, _, best, used = figure.axes[0].lines
    assert [split.get_xdata().tolist(), split.get_ydata().tolist()] == [[0.1, 0.5, 0.9], [1.0, 0.4, 0.2]]
    assert [best.get_xdata().tolist(), list(used.get_xdata())] == [[0.5], [0.3, 0.3]]


def test_training_log_may_have_gaps():
    rows = [
        {"iteration": step, "loss": 1 / (step + 1), **({"voi_sum": 1.0} if step % 10 == 0 else {"voi_sum": np.nan})}
        for step in range(100)
    ]
    figure = training_figure(rows)
    assert len(figure.axes) == 2
    assert len(figure.axes[1].lines[0].get_xdata()) == 10
    assert len(training_figure([{"iteration": 0, "loss": 1.0}]).axes) == 1
    absent = [
        {"iteration": 0, "loss": 1.0},
        {"iteration": 1, "loss": None, "voi_sum": 2.0},
        {"iteration": 2, "loss": 3.0},
    ]
    assert training_figure(absent).axes[0].lines[0].get_xydata().tolist() == [[0, 1], [2, 3]]


def test_a_long_loss_is_drawn_with_its_running_mean_and_every_part():
    rows = [{"iteration": step, "loss": float(step % 2), "loss_affinities": 1.0} for step in range(60)]
    whole, smooth, *part = training_figure(rows).axes[0].lines
    np.testing.assert_array_equal(whole.get_ydata(), np.arange(60) % 2)
    np.testing.assert_allclose(smooth.get_ydata()[:5], [0, 1 / 2, 1 / 3, 2 / 3, 1 / 3])
    assert [line.get_ydata().tolist() for line in part] == [[1.0] * 60] * 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda raw, labels: section_figure(raw, labels[1:], voxel_size=SIZE),
        lambda raw, labels: section_figure(raw, labels, labels[:, 1:], voxel_size=SIZE),
        lambda raw, labels: section_figure(raw[0], labels[0], voxel_size=SIZE),
        lambda raw, labels: affinity_figure(raw, labels, voxel_size=SIZE),
        lambda raw, labels: threshold_figure([], [], []),
        lambda raw, labels: threshold_figure([0.1], [1.0], []),
        lambda raw, labels: training_figure([]),
        lambda raw, labels: training_figure([{"loss": 1.0}]),
    ],
)
def test_what_does_not_match_is_refused(draw, block):
    with pytest.raises(InputError):
        draw(*block)


def test_colours_are_stable_distinct_and_black_only_for_0():
    ids = np.array([0, 1, 2, 3, 2**63, 2**64 - 1], np.uint64)
    colours = colours_of(ids)
    np.testing.assert_array_equal(colours, colours_of(ids[::-1])[::-1])
    assert colours[0].tolist() == [0, 0, 0]
    assert (colours[1:].max(axis=1) > 0.7).all()
    assert colours.min() >= 0
    assert colours.max() <= 1
    upper = colours_of(np.arange(1, 200, dtype=np.uint64) << np.uint64(32))
    assert len(np.unique(np.round(upper * 255), axis=0)) >= 198
    many = np.unique(np.round(colours_of(np.arange(1, 200, dtype=np.uint64)) * 255), axis=0)
    assert len(many) >= 198


@given(arrays(np.uint64, 20, elements=st.integers(1, 2**64 - 1)))
def test_colours_are_those_of_neuroglancer(ids):
    from neuroglancer.segment_colors import hex_string_from_segment_id

    wanted = [list(bytes.fromhex(hex_string_from_segment_id(0, id)[1:])) for id in ids.tolist()]
    np.testing.assert_allclose(255 * colours_of(ids), wanted, atol=0.51)


def test_0_is_transparent_and_borders_are_stronger():
    labels = np.zeros((5, 6), np.int64)
    labels[1:4, 1:5] = 9
    opacity = paint(labels, 0.4)[..., 3]
    assert (opacity[labels == 0] == 0).all()
    assert opacity[2, 2] == pytest.approx(0.4)
    assert opacity[3, 2] == opacity[2, 4] == pytest.approx(0.8)
    assert paint(labels, 0.9)[..., 3].max() == 1


@given(
    arrays(np.uint64, (4, 5), elements=st.integers(0, 5)),
    arrays(np.uint64, (4, 5), elements=st.integers(0, 5)),
)
@settings(max_examples=60, deadline=None)
def test_recoloured_labels_stay_as_distinct_as_they_were(labels, reference):
    (named,) = follow([labels], [reference])
    assert ((named == 0) == (labels == 0)).all()
    assert len(np.unique(np.stack([named, labels]).reshape(2, -1), axis=1).T) == len(np.unique(labels))
    assert len(np.unique(named)) == len(np.unique(labels))


def test_a_label_follows_the_segment_that_it_overlaps_most():
    labels, reference = np.array([[1, 1, 1, 2, 2]], np.uint64), np.array([[7, 7, 8, 9, 9]], np.uint64)
    (named,) = follow([labels], [reference])
    assert named.tolist() == [[7, 7, 7, 9, 9]]


def test_identical_segmentations_have_identical_colours():
    labels = [np.arange(6, dtype=np.uint64).reshape(2, 3), np.array([[5, 5, 0]], np.uint64)]
    renamed = [np.where(part > 0, part * np.uint64(977), 0) for part in labels]
    for found, wanted in zip(follow(renamed, labels), labels, strict=True):
        np.testing.assert_array_equal(found, wanted)
