"""Offsets that an affinity volume records."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from clew.errors import InputError
from clew.volumes import affinity_attributes, affinity_offsets, open_volume, save_volume
from clew.volumes.affinities import check_affinity_values

NEAREST = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]


def affinities(tmp_path, channels, attributes=None):
    """An affinity volume of clew's."""
    data = np.zeros((channels, 2, 3, 4), np.uint8)
    save_volume(tmp_path / "a.zarr", data, voxel_size=(8, 8, 8), attributes=attributes)
    return open_volume(tmp_path / "a.zarr")


def test_recorded_offsets(tmp_path):
    offsets = [*NEAREST, (-3, 0, 0)]
    assert affinity_offsets(affinities(tmp_path, 4, affinity_attributes(offsets, np.uint8))) == tuple(offsets)
    assert affinity_attributes(offsets, np.float32)["value_range"] == [0.0, 1.0]


def test_three_channels_without_a_record_are_the_nearest_neighbours(tmp_path):
    assert affinity_offsets(affinities(tmp_path, 3)) == tuple(NEAREST)


def test_offsets_written_by_other_programs_are_read(tmp_path):
    array = zarr.create_array(tmp_path / "b.zarr", data=np.zeros((3, 2, 3, 4), np.uint8))
    array.attrs.update({"offsets": NEAREST, "resolution": [8, 8, 8]})
    assert affinity_offsets(open_volume(tmp_path / "b.zarr")) == tuple(NEAREST)


@pytest.mark.parametrize(
    ("channels", "offsets", "message"),
    [
        (3, [(1, 0, 0), (0, 1, 0), (0, 0, 1)], r"found \(\(1, 0, 0\)"),
        (3, NEAREST[::-1], r"found \(\(0, 0, -1\)"),
        (4, NEAREST, "has 4 channels and records 3 offsets"),
        (4, None, "4 channels and does not record their offsets"),
        (2, None, "with 3 offsets or more"),
    ],
)
def test_other_offsets_are_refused(tmp_path, channels, offsets, message):
    attributes = None if offsets is None else affinity_attributes(offsets, np.uint8)
    with pytest.raises(InputError, match=message):
        affinity_offsets(affinities(tmp_path, channels, attributes))


def test_other_polarity_is_refused(tmp_path):
    attributes = {**affinity_attributes(NEAREST, np.uint8), "polarity": "high means a boundary"}
    with pytest.raises(InputError, match="must have polarity"):
        affinity_offsets(affinities(tmp_path, 3, attributes))


@pytest.mark.parametrize(("largest", "values"), [(98, "0,100"), (120, "0,127"), (250, "255,0")])
def test_mostly_low_affinities_are_told_by_their_largest_value(tmp_path: Path, largest: int, values: str):
    array = np.zeros((3, 8, 8, 8), np.uint8)
    array[:, :2] = largest
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = array
    volume = open_volume(f"{tmp_path}/a.h5:a", voxel_size=(8, 8, 8))
    with pytest.raises(InputError, match=f"--range {values}"):
        check_affinity_values(volume)
