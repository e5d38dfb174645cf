"""What is said of volumes that can be read but are strange."""

import re
import shlex

import numpy as np
import pytest
import zarr

from clew.cli import main
from clew.volumes import open_volume, save_volume
from clew.volumes.warnings import volume_warnings

DATA = np.ones((4, 6, 8), np.uint8)


@pytest.mark.parametrize(
    ("voxel_size", "said"),
    [
        ((40, 4, 4), None),
        ((0.1, 0.1, 0.1), None),
        ((10_000, 100, 100), None),
        ((30, 8, 10), None),
        ((0.2, 0.09, 0.09), "not that of an electron microscope"),
        ((40_000, 4_000, 4_000), "not that of an electron microscope"),
        ((500, 4, 4), "more than 1 : 100 between axes"),
        ((4, 4, 40), "sections thinner than pixels; if so: .*--voxel-size 40,4,4$"),
        ((8, 8, 12), "sections thinner than pixels"),
    ],
)
def test_sizes_that_are_strange(tmp_path, voxel_size, said):
    save_volume(tmp_path / "a.zarr", DATA, voxel_size=voxel_size)
    found = volume_warnings(open_volume(tmp_path / "a.zarr"))
    assert len(found) == (said is not None)
    assert said is None or re.search(said, found[0])


def run(capsys, *words):
    main(list(words))
    return capsys.readouterr()


def test_the_advice_about_a_reversed_size_mends_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_volume("a b.zarr", DATA, voxel_size=(4, 5, 40), offset=(8, 10, 400))
    shown = run(capsys, "info", "a b.zarr").out
    command = shlex.split(shown.partition("if so: clew ")[2].partition("\nnext ")[0])
    run(capsys, *command)
    volume = open_volume("OUT.zarr")
    assert (volume.voxel_size, volume.offset) == ((40, 5, 4), (400, 10, 8))
    assert "warning" not in run(capsys, "info", "OUT.zarr").out


def test_the_advice_about_an_array_that_is_x_y_z_mends_it(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", data=DATA.T)
    array.attrs.update(resolution=(5, 4, 40), offset=(1, 2, 3))
    (said,) = volume_warnings(open_volume(tmp_path / "a.zarr"))
    assert "give the array the attribute axis_names = ['x', 'y', 'z'] if its axes are in that order, too" in said
    array.attrs["axis_names"] = ["x", "y", "z"]
    volume = open_volume(tmp_path / "a.zarr")
    assert (volume.shape, volume.voxel_size, volume.offset) == (DATA.shape, (40, 4, 5), (3, 2, 1))
    assert volume_warnings(volume) == []


def test_commands_say_each_once_on_standard_error(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zarr.create_array("a b.zarr", data=DATA, chunks=(2, 6, 8), fill_value=7).attrs["resolution"] = (40, 4, 4)
    (tmp_path / "a b.zarr/c/0/0/0").unlink()
    said = "clew: warning: a b.zarr: 1 of 2 chunks are not stored and read as 7\n"
    printed = run(capsys, "convert", "a b.zarr", "b.zarr")
    assert (printed.err.count(said), said in printed.out) == (1, False)
    assert open_volume("b.zarr").read()[:2].min() == 7
    assert "warning" not in run(capsys, "info", "b.zarr").err
