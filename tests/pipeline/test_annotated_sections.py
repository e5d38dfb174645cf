"""Labels of some sections only: placed by number, and the mask of what somebody looked at."""

from importlib import import_module

import numpy as np
import pytest
import tifffile
from PIL import Image

from clew.errors import InputError
from clew.pipeline import convert
from clew.pipeline._annotated import read_annotated
from clew.volumes import open_volume, save_volume
from command_line import run

CONVERT = import_module("clew.pipeline.convert")
SIZE = (40.0, 8.0, 8.0)
NUMBERS = (5, 8, 11)


def write_labels(folder):
    labels = np.random.default_rng(0).integers(1, 4, (3, 16, 20), np.uint16)
    labels[:, 2:4] = 0
    folder.mkdir()
    for number, section in zip(NUMBERS, labels, strict=True):
        Image.fromarray(section).save(folder / f"anno_{number:04}.png")
    whole = np.zeros((7, 16, 20), np.uint16)
    whole[::3] = labels
    return whole


def test_from_a_folder_of_annotated_sections_to_training_data(tmp_path):
    whole = write_labels(tmp_path / "anno")
    raw = np.random.default_rng(1).integers(0, 256, (14, 16, 20), np.uint8)
    save_volume(tmp_path / "raw.zarr", raw, voxel_size=SIZE)
    labels, mask = str(tmp_path / "labels.zarr"), str(tmp_path / "mask.h5:mask")
    convert(str(tmp_path / "anno"), labels, voxel_size=SIZE, by_number=True)
    convert(labels, mask, mask="annotated")
    np.testing.assert_array_equal(open_volume(labels).read(), whole)
    looked_at = open_volume(mask)
    assert (looked_at.dtype, looked_at.offset, looked_at.shape) == (np.uint8, (200, 0, 0), whole.shape)
    np.testing.assert_array_equal(
        looked_at.read(), np.isin(np.arange(5, 12), NUMBERS)[:, None, None] * np.ones((16, 20))
    )
    raw, _, mask_of_crop = read_annotated(f"{tmp_path / 'raw.zarr'},{labels},{mask}")[0]
    assert raw.shape == (14, 16, 20)
    np.testing.assert_array_equal(np.flatnonzero(mask_of_crop.any((1, 2))), NUMBERS)


def test_the_mask_reads_slabs_of_sections(monkeypatch):
    labels = np.zeros((50, 4, 4), np.uint32)
    labels[[0, 17, 49], 3, 3] = 7
    wanted = np.zeros((50, 4, 4), np.uint8)
    wanted[[0, 17, 49]] = 1
    for limit in (1, 200, 1 << 28):
        monkeypatch.setattr(CONVERT, "SLAB_BYTES", limit)
        np.testing.assert_array_equal(CONVERT.annotated_mask(labels, "labels"), wanted)
    with pytest.raises(InputError, match="labels must be labels"):
        CONVERT.annotated_mask(labels.astype(np.float32), "labels")


def test_by_number_in_the_commands(tmp_path, capsys):
    whole = write_labels(tmp_path / "anno")
    size = ["--voxel-size", "40,8,8"]
    assert run("info", tmp_path / "anno", "--by-number", *size) == 0
    assert "offset        (200, 0, 0) nm" in capsys.readouterr().out
    assert run("info", f"{tmp_path}/anno:by-number", *size) == 0
    assert "4 of 7 sections are not there and read as 0" in capsys.readouterr().out
    assert run("convert-blocks", tmp_path / "anno", tmp_path / "run", "--by-number", *size, "--workers", 1) == 0
    np.testing.assert_array_equal(open_volume(tmp_path / "run/volume.zarr/s0").read(), whole)
    assert run("convert", tmp_path / "run/volume.zarr", tmp_path / "a.zarr", "--by-number") == 2
    assert "is no folder of sections, whose names have numbers: leave out --by-number" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["folder", "stack", "zarr"])
def test_labels_in_jpeg_are_refused(tmp_path, capsys, form):
    raw, truth = str(tmp_path / "raw.zarr"), str(tmp_path / "truth.zarr")
    assert run("synthesize", raw, truth, "--shape", "16,32,32") == 0
    labels = open_volume(truth).read().astype(np.uint8)
    (tmp_path / "a").mkdir()
    for z, section in enumerate(labels):
        Image.fromarray(section).save(tmp_path / f"a/{z}.jpg")
    tifffile.imwrite(tmp_path / "a.tif", labels, compression="jpeg", photometric="minisblack")
    path = tmp_path / {"folder": "a", "stack": "a.tif", "zarr": "a"}[form]
    if form == "zarr":
        assert run("convert", path, tmp_path / "a.zarr", "--voxel-size", "10,10,10") == 0
        path = tmp_path / "a.zarr"
    assert run("evaluate", path, truth) == 2
    assert "was compressed as JPEG, which changes values: its ids are damaged" in capsys.readouterr().err


def test_raw_of_one_value_is_refused(tmp_path):
    labels = np.kron(np.arange(1, 9).reshape(2, 2, 2), np.ones((8, 8, 8), int)).astype(np.uint64)
    raw = np.zeros(labels.shape, np.uint8)
    raw[8:] = np.random.default_rng(0).integers(0, 255, (8, 16, 16))
    mask = np.zeros(labels.shape, np.uint8)
    mask[:8] = 1
    for name, data in {"raw": raw, "labels": labels, "mask": mask}.items():
        save_volume(tmp_path / f"{name}.zarr", data, voxel_size=(10, 10, 10))
    paths = [str(tmp_path / f"{name}.zarr") for name in ("raw", "labels", "mask")]
    with pytest.raises(InputError, match="is 0 at all 2,048 annotated voxels"):
        read_annotated(",".join(paths))
    assert read_annotated(",".join(paths[:2])).volume.raw.any()
