"""Volumes that belong together lie where their offsets say, in every command; whole and blocks agree."""

import inspect
from pathlib import Path

import h5py
import numpy as np
import pytest

from clew import pipeline
from clew.errors import InputError
from clew.pipeline import COMMANDS
from clew.pipeline._annotated import read_annotated
from clew.volumes import open_volume, save_volume

GRID = np.indices((24, 12, 12)) // 4
IDS = (1 + GRID[0] + 10 * GRID[1] + 100 * GRID[2]).astype(np.uint64)
SIZE = (10.0, 10.0, 10.0)


def write(folder: Path, name: str, data: np.ndarray, offset=(0, 0, 0), voxel_size=SIZE) -> str:
    with h5py.File(folder / f"{name}.h5", "w") as file:
        file["data"] = data
        if voxel_size is not None:
            file["data"].attrs["resolution"] = voxel_size
        if offset is not None:
            file["data"].attrs["offset"] = offset
    return f"{folder}/{name}.h5:data"


def test_scores_are_those_of_the_voxels_that_both_have(tmp_path, capsys):
    found, truth = write(tmp_path, "found", IDS[:16]), write(tmp_path, "truth", IDS[8:], (80, 0, 0))
    ((_, scores),) = pipeline.evaluate(found, truth)
    assert scores.voi_sum == 0
    assert "only 50% of" in capsys.readouterr().err
    pipeline.evaluate_blocks(found, truth, str(tmp_path / "blocks"), block_shape=(8, 8, 8), workers=1)
    assert '"voi_split": 0.0' in (tmp_path / "blocks" / "scores.json").read_text()
    with pytest.raises(InputError, match="share no voxel"):
        pipeline.evaluate(found, write(tmp_path, "far", IDS[8:], (800, 0, 0)))


def test_labels_of_another_place_are_trained_on_where_raw_is(tmp_path):
    raw = np.random.default_rng(0).integers(0, 255, (16, 12, 12), np.uint8)
    labels, mask = (
        write(tmp_path, "labels", IDS[8:], (80, 0, 0)),
        write(tmp_path, "mask", IDS[10:12] * 0 + 1, (100, 0, 0)),
    )
    read = read_annotated(f"{write(tmp_path, 'raw', raw)},{labels},{mask}").volume
    inside = np.zeros(raw.shape, bool)
    inside[10:12] = True
    np.testing.assert_array_equal(read.mask, inside)
    np.testing.assert_array_equal(read.labels[8:], IDS[8:16])
    assert not read.labels[:8].any()


def test_what_does_not_say_its_place_lies_on_what_has_its_shape(tmp_path, capsys):
    """Of clew's outputs, too: they record that the place of raw is not known."""
    affinities = np.full((3, *IDS.shape), 200, np.uint8)
    pipeline.segment(
        write(tmp_path, "affinities", affinities, None), str(tmp_path / "out"), threshold=0.5, seed_window=3
    )
    found = str(tmp_path / "out" / "segmentation.zarr")
    assert not open_volume(found).placed
    truth = write(tmp_path, "truth", IDS, (240, 0, 0))
    pipeline.evaluate(found, truth)
    assert "does not say where it lies" in capsys.readouterr().err
    pipeline.convert(found, str(tmp_path / "placed.zarr"), offset=(0, 0, 0))
    pipeline.convert(found, str(tmp_path / "half.zarr"), box=":12,:,:")
    for name in ("placed", "half"):
        assert open_volume(tmp_path / f"{name}.zarr").placed
    with pytest.raises(InputError, match="share no voxel"):
        pipeline.evaluate(str(tmp_path / "placed.zarr"), truth)


def test_a_mask_lies_where_its_offset_says_whole_and_in_blocks(tmp_path):
    rng = np.random.default_rng(0)
    affinities = write(tmp_path, "affinities", rng.integers(0, 256, (3, 8, 12, 12), np.uint8), (0, 80, 0, 0))
    inside = rng.random(IDS.shape) < 0.7
    options = {"threshold": 0.5, "seed_window": 3}
    save_volume(tmp_path / "cut.zarr", inside[8:16], voxel_size=SIZE, offset=(80, 0, 0))
    for name, mask in (
        ("cut", str(tmp_path / "cut.zarr")),
        ("large", write(tmp_path, "large", np.where(inside, 0.5, 0))),
    ):
        pipeline.segment(affinities, str(tmp_path / name), mask=mask, **options)
        pipeline.segment_blocks(
            affinities, str(tmp_path / f"{name}-blocks"), mask=mask, workers=1, block_shape=(8, 8, 8), **options
        )
    wanted = open_volume(tmp_path / "cut" / "segmentation.zarr").read()
    assert not wanted[~inside[8:16]].any()
    for folder in ("large", "cut-blocks", "large-blocks"):
        np.testing.assert_array_equal(open_volume(tmp_path / folder / "segmentation.zarr").read(), wanted)
    with pytest.raises(InputError, match="does not cover"):
        pipeline.segment(
            affinities, str(tmp_path / "no"), mask=write(tmp_path, "part", inside[10:12], (100, 0, 0)), **options
        )


def test_every_command_that_may_advise_a_voxel_size_takes_one():
    reads = {"path", "raw", "data", "source", "affinities", "fragments", "segmentation", "truth"}
    others = {"synthesize", "demo", "export_truth"}  # these write raw, make what they read, or have a run that says it
    for name in COMMANDS.keys() - others:
        parameters = inspect.signature(getattr(pipeline, name)).parameters
        assert not reads & parameters.keys() or "voxel_size" in parameters, name


def test_the_given_voxel_size_is_that_of_all_volumes_that_say_none(tmp_path):
    raw = np.random.default_rng(0).integers(0, 255, IDS.shape, np.uint8)
    paths = [write(tmp_path, name, data, None, None) for name, data in (("raw", raw), ("labels", IDS))]
    assert read_annotated(",".join(paths), SIZE).voxel_size == SIZE
    ((_, scores),) = pipeline.evaluate(paths[1], paths[1], voxel_size=SIZE)
    assert scores.voi_sum == 0
    ((_, scores),) = pipeline.evaluate(write(tmp_path, "sized", IDS), paths[1])
    assert scores.voi_sum == 0
