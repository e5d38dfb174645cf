"""Where one volume lies in another, and that voxels which do not lie on voxels are refused, never rounded."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import InputError
from clew.space import Box
from clew.volumes.open import open_volume
from clew.volumes.place import box_in, box_inside, embed, voxels_apart
from clew.volumes.volume import Volume

SIZE = (40.0, 8.0, 4.5)
TRIPLES = st.tuples(*[st.integers(1, 5)] * 3)
STEPS = st.tuples(*[st.integers(-6, 6)] * 3)


def volume(folder: Path, shape: tuple[int, ...], voxel_size=SIZE, offset=(0.0, 0.0, 0.0)) -> Volume:
    file = folder / f"{len(list(folder.iterdir()))}.h5"
    with h5py.File(file, "w") as f:
        dataset = f.create_dataset("ids", shape, np.uint8)
        dataset.attrs["resolution"], dataset.attrs["offset"] = voxel_size, offset
    return open_volume(f"{file}:ids")


def nanometres(steps: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(step * size for step, size in zip(steps, SIZE, strict=True))


@pytest.mark.parametrize("corner", [(0, 0, 0), (7, -30, 1000)])
@pytest.mark.parametrize("start", [(0, 0, 0), (1, 2, 3), (-1, 4, -2)])
def test_a_part_lies_where_its_offset_says(tmp_path: Path, corner, start):
    outer = volume(tmp_path, (4, 9, 8), offset=nanometres(corner))
    part = volume(tmp_path, (3, 4, 5), offset=nanometres(tuple(map(sum, zip(corner, start, strict=True)))))
    box = box_in(outer, part)
    assert (box.low, box.shape) == (start, (3, 4, 5))
    assert box_in(part, outer).low == tuple(-step for step in start)
    assert voxels_apart(outer, part) == pytest.approx(start)
    if min(start) < 0:
        with pytest.raises(InputError, match="does not lie inside"):
            box_inside(outer, part)
    else:
        assert box_inside(outer, part) == box


@pytest.mark.parametrize("start", [(2, 0, 0), (0, 5, 0), (0, 0, -1), (100, 100, 100)])
def test_what_leaves_the_volume_does_not_lie_inside(tmp_path: Path, start):
    outer, part = volume(tmp_path, (4, 8, 8)), volume(tmp_path, (3, 4, 5), offset=nanometres(start))
    with pytest.raises(InputError, match=r"does not lie inside .*clew convert --offset"):
        box_inside(outer, part)


@pytest.mark.parametrize("start", [(0, 0, 0), (1, 0, 0), (0.5, 0, 0.5), (-1000, 7.3, 0)])
def test_volumes_of_one_shape_lie_on_each_other_whatever_their_offsets(tmp_path: Path, start):
    outer, part = volume(tmp_path, (3, 4, 5)), volume(tmp_path, (3, 4, 5), offset=nanometres(start))
    assert box_in(outer, part) == box_inside(outer, part) == Box.whole((3, 4, 5))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("step", [0.5, 0.011, -0.25, 1.5, 2.02])
def test_voxels_that_do_not_lie_on_voxels_are_refused(tmp_path: Path, axis, step):
    start = tuple(step * (axis == a) for a in range(3))
    outer, part = volume(tmp_path, (6, 6, 6)), volume(tmp_path, (2, 2, 2), offset=nanometres(start))
    with pytest.raises(InputError, match="not a whole number of voxels"):
        box_in(outer, part)


@pytest.mark.parametrize("step", [2.009, 1.991])
def test_offsets_that_a_file_rounded_are_whole(tmp_path: Path, step):
    outer, part = volume(tmp_path, (6, 6, 6)), volume(tmp_path, (2, 2, 2), offset=nanometres((step, 0, step)))
    assert box_in(outer, part).low == (2, 0, 2)


@pytest.mark.parametrize("size", [(40, 8, 9), (80, 8, 4.5), (4.5, 8, 40), (40, 8.1, 4.5)])
@pytest.mark.parametrize("shape", [(4, 4, 4), (2, 2, 2)])
def test_different_voxel_sizes_are_refused(tmp_path: Path, size, shape):
    outer, part = volume(tmp_path, (4, 4, 4)), volume(tmp_path, shape, voxel_size=size)
    for pair in ((outer, part), (part, outer)):
        with pytest.raises(InputError, match=r"has voxels of .* nm, .* of .* nm.*clew convert --voxel-size"):
            box_in(*pair)


def test_voxel_sizes_that_a_file_rounded_are_one(tmp_path: Path):
    outer, part = volume(tmp_path, (4, 4, 4)), volume(tmp_path, (2, 2, 2), (40.1, 8.0, 4.52), nanometres((1, 2, 0)))
    assert box_in(outer, part).low == (1, 2, 0)


def test_channels_and_transposed_axes_are_named(tmp_path: Path):
    outer = volume(tmp_path, (4, 6, 8))
    for pair in ((outer, volume(tmp_path, (3, 4, 6, 8))), (volume(tmp_path, (3, 4, 6, 8)), outer)):
        with pytest.raises(InputError, match=r"one volume \(z, y, x\), not of shape \(3, 4, 6, 8\)"):
            box_in(*pair)
    with pytest.raises(InputError, match="the axes look transposed"):
        box_inside(outer, volume(tmp_path, (8, 6, 4)))


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
