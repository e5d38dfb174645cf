"""Training through the pipeline: log, state, resume, chosen checkpoint."""

import csv
from pathlib import Path

import numpy as np
import pytest

from clew import pipeline
from clew.errors import InputError
from clew.network.checkpoint import load_checkpoint
from clew.stages.training_run import read_training_volume

RECIPE = {"preset": "tiny", "crop": (32, 32, 32), "validate_every": 2, "warmup": 1, "malis_after": 3, "steps": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("annotated")
    pipeline.synthesize(str(folder / "raw.zarr"), str(folder / "labels.zarr"), shape=(40, 48, 48))
    return f"{folder}/raw.zarr,{folder}/labels.zarr"


def test_a_run_leaves_checkpoint_log_and_plot(data: str, tmp_path: Path) -> None:
    pipeline.train(str(tmp_path / "net.pt"), data=[data], held_out="0:16,:,:", **RECIPE)
    checkpoint = load_checkpoint(tmp_path / "net.pt")
    assert checkpoint.voxel_size == (10.0, 10.0, 10.0)
    assert checkpoint.threshold is not None
    assert checkpoint.score == "hist_quant_75"
    assert checkpoint.record["parameters"]["held_out"] == "0:16,:,:"
    with (tmp_path / "net.training" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert [bool(row["voi_sum"]) for row in rows] == [False, True, False, True]
    chosen = min(float(row["voi_sum"]) for row in rows if row["voi_sum"])
    assert checkpoint.record["held_out_scores"]["voi_sum"] == pytest.approx(chosen)
    assert (tmp_path / "net.training" / "log.png").stat().st_size > 1000


def test_offsets_replace_those_of_the_preset(data: str, tmp_path: Path) -> None:
    offsets = "-1,0,0;0,-1,0;0,0,-1;0,-5,0"
    pipeline.train(str(tmp_path / "net.pt"), data=[data], offsets=offsets, **{**RECIPE, "steps": 1})
    assert load_checkpoint(tmp_path / "net.pt").network.options.offsets[3:] == ((0, -5, 0),)
    for wrong in ([(0, 0, -1), (0, -1, 0), (-1, 0, 0)], "-1,0,0;0,-1,0;0,0,-1;0,0,-1"):
        with pytest.raises(InputError, match="offsets must begin with"):
            pipeline.train(str(tmp_path / "other.pt"), data=[data], offsets=wrong, overwrite=True, **RECIPE)


def test_interrupted_run_continues_and_changed_run_is_refused(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from clew.stages import training_run

    def interrupt(self: object, report: object, found: object = None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training_run.RunFolder, "log", interrupt)
        pipeline.train(str(tmp_path / "net.pt"), data=[data], **RECIPE)
    assert "interrupted after step 1" in capsys.readouterr().out
    with pytest.raises(InputError, match="batch was 1, is 2"):
        pipeline.train(str(tmp_path / "net.pt"), data=[data], batch=2, **RECIPE)
    pipeline.train(str(tmp_path / "net.pt"), data=[data], **RECIPE)
    assert "continuing after step 1" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "net.pt").record["step"] == 4
    pipeline.train(str(tmp_path / "net.pt"), data=[data], overwrite=True, **{**RECIPE, "steps": 1})
    assert load_checkpoint(tmp_path / "net.pt").record["step"] == 1


def test_bad_training_data(data: str, tmp_path: Path) -> None:
    labels = data.split(",")[1]
    target = str(tmp_path / "net.pt")
    with pytest.raises(InputError, match="RAW,LABELS"):
        read_training_volume("a,b,c,d")
    with pytest.raises(InputError, match="must be uint8"):
        pipeline.train(target, data=[f"{labels},{labels}"], overwrite=True, **RECIPE)
    with pytest.raises(InputError, match="multiple of the pooling factor"):
        pipeline.train(target, data=[data], overwrite=True, **{**RECIPE, "crop": (30, 32, 32)})
    with pytest.raises(InputError, match="nothing is left to train on"):
        pipeline.train(target, data=[data], held_out=":,:,:", overwrite=True, **RECIPE)
    with pytest.raises(InputError, match="at least one annotated volume"):
        pipeline.train(target, data=[], overwrite=True, **RECIPE)
    assert not (tmp_path / "net.pt").exists()


def test_unannotated_volume_is_refused(tmp_path: Path) -> None:
    from clew.volumes.save import save_volume

    for name, dtype in (("raw", np.uint8), ("labels", np.uint64)):
        save_volume(tmp_path / f"{name}.zarr", np.zeros((32, 32, 32), dtype), voxel_size=(10, 10, 10))
    with pytest.raises(InputError, match="no annotated neuron"):
        read_training_volume(f"{tmp_path}/raw.zarr,{tmp_path}/labels.zarr")


def test_real_layout_is_understood(real_data: Path) -> None:
    volume, voxel_size = read_training_volume(str(real_data / "fib_small_train.h5"))
    assert voxel_size == (10.0, 10.0, 10.0)
    assert volume.raw.shape == volume.labels.shape == (50, 100, 200)
    assert volume.mask.all()
