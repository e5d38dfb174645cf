"""Where one volume lies in another: volumes of other places are never laid on each other, and advice works."""

import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.cli import main
from clew.errors import InputError
from clew.space import Box
from clew.volumes.open import open_volume
from clew.volumes.place import box_inside, embed, overlap_of, place_in, same_size, voxels_apart
from clew.volumes.volume import Volume

SIZE = (40.0, 8.0, 4.5)
TRIPLES = st.tuples(*[st.integers(1, 5)] * 3)
STEPS = st.tuples(*[st.integers(-6, 6)] * 3)


def volume(folder: Path, shape: tuple[int, ...], voxel_size=SIZE, offset=(0.0, 0.0, 0.0)) -> Volume:
    file = folder / f"{len(list(folder.iterdir()))}.h5"
    with h5py.File(file, "w") as f:
        dataset = f.create_dataset("ids", shape, np.uint8)
        dataset.attrs["resolution"] = voxel_size
        if offset is not None:
            dataset.attrs["offset"] = offset
    return open_volume(f"{file}:ids")


def nanometres(steps: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(step * size for step, size in zip(steps, SIZE, strict=True))


def follow(folder: Path, message: str) -> Volume:
    """The volume that the command in a message writes."""
    command = re.search(r"clew (convert .*? OUT\.zarr --\S+)", message)
    assert command, message
    target = str(folder / "OUT.zarr")
    main([target if word == "OUT.zarr" else word for word in shlex.split(command[1])])
    return open_volume(target)


@pytest.mark.parametrize("corner", [(0, 0, 0), (7, -30, 1000)])
@pytest.mark.parametrize("start", [(0, 0, 0), (1, 2, 3), (-1, 4, -2)])
def test_a_part_lies_where_its_offset_says(tmp_path: Path, corner, start):
    outer = volume(tmp_path, (4, 9, 8), offset=nanometres(corner))
    part = volume(tmp_path, (3, 4, 5), offset=nanometres(tuple(map(sum, zip(corner, start, strict=True)))))
    box, notes = place_in(outer, part)
    assert (box.low, box.shape, notes) == (start, (3, 4, 5), ())
    assert place_in(part, outer).box.low == tuple(-step for step in start)
    assert voxels_apart(outer, part) == pytest.approx(start)
    if min(start) < 0:
        with pytest.raises(InputError, match="does not cover"):
            box_inside(outer, part)
    else:
        assert box_inside(outer, part).box == box


@given(TRIPLES, STEPS, TRIPLES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_the_voxels_that_two_volumes_share_are_those_of_one_place(tmp_path: Path, shape, start, wanted):
    outer, part = volume(tmp_path, shape), volume(tmp_path, wanted, offset=nanometres(start))
    ones, others = Box.whole(shape), Box.whole(wanted).shifted(start)
    turned = shape != wanted and sorted(shape) == sorted(wanted)
    if turned or not ones.overlap(others).size:
        with pytest.raises(InputError, match="transposed" if turned else r"share no voxel.*clew convert"):
            overlap_of(outer, part)
        return
    both = overlap_of(outer, part)
    assert both.outer == both.part.shifted(start) == ones.overlap(others)
    wholly = both.outer in (ones, others)
    assert bool(both.notes) != wholly
    assert wholly or f"{both.outer.size / others.size:.0%} of" in both.notes[0]


@pytest.mark.parametrize("start", [(2, 0, 0), (0, 5, 0), (0, 0, -1), (100, 100, 100)])
def test_what_must_cover_another_volume_does(tmp_path: Path, start):
    outer, part = volume(tmp_path, (4, 8, 8)), volume(tmp_path, (3, 4, 5), offset=nanometres(start))
    with pytest.raises(InputError, match=r"does not cover .*clew convert .* --offset") as caught:
        box_inside(outer, part)
    assert box_inside(follow(tmp_path, str(caught.value)), part).box == Box.whole((3, 4, 5))


def test_what_is_smaller_is_not_to_be_moved(tmp_path: Path):
    with pytest.raises(InputError, match=r"does not cover .*; it is smaller: make one that covers it wholly$"):
        box_inside(volume(tmp_path, (4, 8, 4)), volume(tmp_path, (3, 4, 5)))


@pytest.mark.parametrize("start", [(1, 0, 0), (0, 0, 320), (-1000, 7, 0)])
def test_volumes_of_one_shape_and_another_place_are_not_laid_on_each_other(tmp_path: Path, start):
    outer, part = volume(tmp_path, (3, 4, 5)), volume(tmp_path, (3, 4, 5), offset=nanometres(start))
    assert place_in(outer, part).box == Box.whole((3, 4, 5)).shifted(start)


@pytest.mark.parametrize(("one", "other"), [(None, (1, 2, 3)), ((1, 2, 3), None), (None, None), (None, (0.3, 0, 9.4))])
def test_volumes_of_one_shape_are_laid_on_each_other_where_one_does_not_say_its_place(tmp_path: Path, one, other):
    outer, part = (volume(tmp_path, (3, 4, 5), offset=at and nanometres(at)) for at in (one, other))
    box, notes = place_in(outer, part)
    assert box == Box.whole((3, 4, 5))
    assert len(notes) == (one is not None or other is not None)
    assert all("does not say where it lies" in note for note in notes)


def test_of_another_shape_a_volume_without_a_place_begins_at_0_and_that_is_said(tmp_path: Path):
    outer, part = volume(tmp_path, (9, 9, 9), offset=nanometres((1, 0, 0))), volume(tmp_path, (3, 4, 5), offset=None)
    box, notes = place_in(outer, part)
    assert box.low == (-1, 0, 0)
    assert "does not say where it lies: its offset is taken to be 0" in notes[0]


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("step", [0.5, 0.011, -0.25, 1.5, 2.02])
def test_voxels_that_do_not_lie_on_voxels_are_refused(tmp_path: Path, axis, step):
    start = tuple(step * (axis == a) for a in range(3))
    outer, part = volume(tmp_path, (6, 6, 6)), volume(tmp_path, (2, 2, 2), offset=nanometres(start))
    with pytest.raises(InputError, match="not a whole number of voxels") as caught:
        place_in(outer, part)
    assert ("some give the corner" in str(caught.value)) == (step in (0.5, -0.25, 1.5))
    assert place_in(outer, follow(tmp_path, str(caught.value))).box.low[axis] == round(step)


@pytest.mark.parametrize("start", [(0.5, 0.5, 0.5), (0, -0.25, 0.375), (0.2, 0, 0)])
def test_half_a_voxel_between_volumes_of_one_shape_is_said(tmp_path: Path, start):
    outer, part = volume(tmp_path, (3, 4, 5)), volume(tmp_path, (3, 4, 5), offset=nanometres(start))
    box, (note,) = place_in(outer, part)
    assert box == Box.whole((3, 4, 5))
    assert ("some give the corner" in note) == (start != (0.2, 0, 0))


@pytest.mark.parametrize("step", [2.009, 1.991])
def test_offsets_that_a_file_rounded_are_whole(tmp_path: Path, step):
    outer, part = volume(tmp_path, (6, 6, 6)), volume(tmp_path, (2, 2, 2), offset=nanometres((step, 0, step)))
    assert place_in(outer, part).box.low == (2, 0, 2)


@pytest.mark.parametrize("size", [(40, 8, 9), (80, 8, 4.5), (4.5, 8, 40), (40, 8.1, 4.5)])
@pytest.mark.parametrize("shape", [(4, 4, 4), (2, 2, 2)])
def test_different_voxel_sizes_are_refused(tmp_path: Path, size, shape):
    outer, part = volume(tmp_path, (4, 4, 4)), volume(tmp_path, shape, voxel_size=size)
    for pair in ((outer, part), (part, outer)):
        with pytest.raises(
            InputError, match=r"has voxels of .* nm .*, .* of .* nm.*clew convert .* --voxel-size"
        ) as caught:
            place_in(*pair)
        assert ("written x, y, z" in str(caught.value)) == (size == SIZE[::-1])
    assert same_size(part.voxel_size, follow(tmp_path, str(caught.value)).voxel_size)


def test_voxel_sizes_that_a_file_rounded_are_one(tmp_path: Path):
    outer, part = volume(tmp_path, (4, 4, 4)), volume(tmp_path, (2, 2, 2), (40.1, 8.0, 4.52), nanometres((1, 2, 0)))
    assert place_in(outer, part).box.low == (1, 2, 0)
    assert same_size((10.0, 10.0, 10.0), (9.9999998, 10.0, np.float32(10.000001)))


def test_channels_and_transposed_axes_are_named(tmp_path: Path):
    outer = volume(tmp_path, (4, 6, 8))
    for pair in ((outer, volume(tmp_path, (3, 4, 6, 8))), (volume(tmp_path, (3, 4, 6, 8)), outer)):
        with pytest.raises(InputError, match=r"one volume \(z, y, x\), not of shape \(3, 4, 6, 8\)"):
            overlap_of(*pair)
    assert box_inside(outer, volume(tmp_path, (3, 4, 6, 8))).box == Box.whole((4, 6, 8))
    with pytest.raises(InputError, match="the axes look transposed"):
        overlap_of(outer, volume(tmp_path, (8, 6, 4)))


@given(TRIPLES, STEPS, TRIPLES, STEPS)
def test_embedded_values_are_those_of_the_whole(shape, start, wanted, low):
    part, box = Box.whole(shape).shifted(start), Box.whole(wanted).shifted(low)
    values = np.arange(1, part.size + 1).reshape(shape)
    around = np.zeros((24, 24, 24), int)
    around[part.shifted((9, 9, 9))] = values
    np.testing.assert_array_equal(embed(values, part, box), around[box.shifted((9, 9, 9))])


def test_equal_boxes_are_not_copied():
    values, box = np.ones((2, 3, 4)), Box.between((1, -1, 5), (3, 2, 9))
    assert embed(values, box, box) is values
