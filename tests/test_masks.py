"""One rule for masks, wherever they are read: 0 is outside, above 0 is inside, NaN and values below 0 are refused."""

import numpy as np
import pytest

import clew
from clew import pipeline
from clew.errors import InputError
from clew.labels import inside_mask
from clew.training.sampling import checked_volume

SIZE = (8.0, 8.0, 8.0)
INSIDE = np.random.default_rng(0).random((16, 16, 16)) < 0.7
LABELS = np.kron(np.arange(1, 9).reshape(2, 2, 2), np.ones((8, 8, 8), int)).astype(np.uint64)
LEVELS = np.random.default_rng(1).integers(100, 256, (3, 16, 16, 16), np.uint8)
AFFINITIES = LEVELS / np.float32(255)
NEAREST = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
DTYPES = [bool, np.uint8, np.int8, np.int64, np.uint64, np.float16, np.float32, np.float64, ">f4", ">i2"]
ARRAYS = {
    "extract_fragments": lambda mask: clew.extract_fragments(LEVELS, mask=mask),
    "segment": lambda mask: clew.segment(LEVELS, mask=mask).segmentation,
    "affinity_targets": lambda mask: clew.affinity_targets(LABELS, NEAREST, mask)[1],
    "grow_boundaries": lambda mask: clew.grow_boundaries(LABELS, 1, mask=mask),
    "malis_weights": lambda mask: clew.malis_weights(AFFINITIES, LABELS, mask)[0],
    "malis_weights of edges": lambda mask: clew.malis_weights(AFFINITIES, LABELS, np.stack([mask] * 3))[0],
    "Trainer": lambda mask: checked_volume(clew.TrainingVolume(LEVELS[0], LABELS, mask)).mask,
}
"""What the functions make of a mask."""


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_type_of_number_is_a_mask(dtype):
    np.testing.assert_array_equal(inside_mask((3 * INSIDE).astype(dtype)), INSIDE)


@pytest.mark.parametrize("name", ARRAYS)
def test_functions_take_what_is_above_0_for_inside(name):
    np.testing.assert_array_equal(ARRAYS[name](np.where(INSIDE, 0.5, 0)), ARRAYS[name](INSIDE))


@pytest.mark.parametrize("value", [-1, np.nan, -np.inf])
@pytest.mark.parametrize("name", ARRAYS)
def test_functions_refuse_what_people_mean_differently(name, value):
    with pytest.raises(InputError, match="a mask must be 0 outside and above 0 inside"):
        ARRAYS[name](np.where(INSIDE, 1, value))


COMMANDS = {
    "extract_fragments": lambda mask: pipeline.extract_fragments("affinities.zarr", "fragments.zarr", mask=mask),
    "segment": lambda mask: pipeline.segment("affinities.zarr", "whole", threshold=0.5, mask=mask),
    "segment_blocks": lambda mask: pipeline.segment_blocks("affinities.zarr", "blocks", threshold=0.5, mask=mask),
    "verify_blocks": lambda mask: pipeline.verify_blocks("affinities.zarr", mask=mask),
    "train": lambda mask: pipeline.train("net.pt", data=[f"raw.zarr,labels.zarr,{mask}"], steps=1),
}


@pytest.mark.parametrize("value", [-1, np.nan])
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_refuse_it_before_they_write(tmp_path, monkeypatch, name, value):
    monkeypatch.chdir(tmp_path)
    mask = np.where(INSIDE, 1, value).astype(np.float32)
    for path, data in {"affinities": LEVELS, "raw": LEVELS[0], "labels": LABELS, "mask": mask}.items():
        clew.save_volume(f"{path}.zarr", data, voxel_size=SIZE)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"mask\.zarr/s0: a mask must be .* clew convert \S*mask\.zarr/s0 OUT"):
        COMMANDS[name]("mask.zarr")
    assert set(tmp_path.rglob("*")) == before


def test_plan_counts_it_among_what_is_serious(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for path, data in {"raw": LEVELS[0], "labels": LABELS, "mask": np.where(INSIDE, 1, -1)}.items():
        clew.save_volume(f"{path}.zarr", data.astype(np.int8) if path == "mask" else data, voxel_size=SIZE)
    with pytest.raises(InputError, match="serious"):
        pipeline.plan(["raw.zarr,labels.zarr,mask.zarr"], strict=True, timing=False)
    assert "SERIOUS     mask.zarr/s0: a mask must be" in capsys.readouterr().out
