"""One runtime and one arithmetic for a whole run: decided by the client, recorded, obeyed by all workers."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from clew import pipeline
from clew.errors import InputError, UnfinishedError
from clew.network.checkpoint import Checkpoint, save_checkpoint
from clew.network.openvino_runtime import has_openvino
from clew.network.options import PRESETS, PredictionOptions
from clew.network.runtime import Decision, Difference
from clew.network.unet import UNet
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume
from pipeline.block_runs import work_in_threads

FOUND = {"difference_from_float32": {"mean": 0.25, "largest": 2.0}}


@pytest.fixture
def raw(tmp_path: Path) -> str:
    values = np.random.default_rng(0).integers(0, 256, (20, 20, 24), np.uint8)
    save_volume(tmp_path / "raw.zarr", values, voxel_size=(10, 10, 10))
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "network.pt", Checkpoint(UNet(PRESETS["tiny"]), (10.0, 10.0, 10.0)))
    return str(tmp_path / "raw.zarr")


@pytest.fixture
def decide(monkeypatch: pytest.MonkeyPatch):
    """Let the trial end as the test wants; what it was asked is listed."""

    def end(**decided: str) -> list[PredictionOptions]:
        asked: list[PredictionOptions] = []

        def decide_runtime(
            network: UNet, read: object, shape: tuple, box: object, options: PredictionOptions
        ) -> Decision:
            asked.append(options)
            return Decision(replace(options, **decided), Difference(0.25, 2.0), "predict by what the trial says")

        monkeypatch.setattr(import_module("clew.pipeline.predict"), "decide_runtime", decide_runtime)
        return asked

    return end


def options(raw: str, **more: object) -> dict:
    return {"checkpoint": str(Path(raw).with_name("network.pt")), "device": "cpu", **more}


BLOCKS = {"block_shape": (16, 16, 16)}


def test_what_was_decided_is_said_and_recorded(raw: str, tmp_path: Path, decide, capsys: pytest.CaptureFixture[str]):
    decide(runtime="torch", precision="bfloat16")
    pipeline.predict(raw, str(tmp_path / "whole.zarr"), **options(raw))
    assert "predict by what the trial says" in capsys.readouterr().out
    found = open_volume(tmp_path / "whole.zarr").attributes
    assert (found["parameters"]["runtime"], found["parameters"]["precision"]) == ("torch", "bfloat16")
    assert found["measured"] == FOUND


@pytest.mark.usefixtures("in_this_process")
def test_a_run_in_blocks_goes_on_as_it_was_begun(raw: str, tmp_path: Path, decide):
    folder = str(tmp_path / "run")
    asked = decide(runtime="torch", precision="bfloat16")
    pipeline.predict_blocks(raw, folder, **options(raw), **BLOCKS)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (plan["runtime"], plan["precision"], plan["measured"]) == ("torch", "bfloat16", FOUND)
    (tmp_path / "run" / "finished.json").unlink()
    decide(runtime="torch", precision="float32")
    pipeline.predict_blocks(raw, folder, **options(raw), **BLOCKS)
    pipeline.retry(folder)
    assert len(asked) == 1, "decided again"
    found = open_volume(f"{folder}/affinities.zarr").attributes
    assert (found["parameters"]["precision"], found["measured"]) == ("bfloat16", FOUND)
    with pytest.raises(InputError, match=r"begun with other precision \(bfloat16, now float32\)"):
        pipeline.predict_blocks(raw, folder, **options(raw, precision="float32"), **BLOCKS)
    pipeline.predict_blocks(raw, folder, **options(raw), **BLOCKS, restart=True)
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["precision"] == "float32"


@pytest.mark.usefixtures("in_this_process")
def test_a_run_of_an_earlier_version_goes_on_with_pytorch(raw: str, tmp_path: Path, decide):
    folder, asked = str(tmp_path / "run"), decide(runtime="torch", precision="float32")
    pipeline.predict_blocks(raw, folder, **options(raw), **BLOCKS)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    del plan["measured"]
    (tmp_path / "run" / "plan.json").write_text(json.dumps(plan | {"precision": "auto"}))
    pipeline.predict_blocks(raw, folder, **options(raw), **BLOCKS)
    assert len(asked) == 1


@pytest.mark.skipif(has_openvino(), reason="OpenVINO is installed")
def test_workers_that_cannot_obey_fail_with_one_line(raw: str, tmp_path: Path, decide, monkeypatch: pytest.MonkeyPatch):
    work_in_threads(monkeypatch)
    decide(runtime="openvino", precision="float32")
    with pytest.raises(
        UnfinishedError, match="failed in the same way: InputError: this run was begun with OpenVINO"
    ) as error:
        pipeline.predict_blocks(raw, str(tmp_path / "run"), **options(raw), block_shape=(8, 8, 8))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.usefixtures("in_this_process")
def test_workers_elsewhere_predict_by_pytorch(raw: str, tmp_path: Path, decide):
    asked = decide(runtime="openvino", precision="bfloat16")
    given = options(raw) | {"device": "auto", "scheduler": "tcp://nowhere:8786"}
    pipeline.predict_blocks(raw, str(tmp_path / "run"), **given, **BLOCKS)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (plan["runtime"], plan["precision"]) == ("torch", "auto")
    assert "measured" not in plan
    assert not asked


def test_a_run_file_goes_on_with_what_was_decided(raw: str, tmp_path: Path, decide, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "way.toml"
    file.write_text('directory = "."\n[predict]\nraw = "raw.zarr"\ncheckpoint = "network.pt"\ndevice = "cpu"\n')
    asked = decide(runtime="torch", precision="bfloat16")
    pipeline.run(file)
    pipeline.run(file)
    assert len(asked) == 1
    assert "affinities.zarr is there already" in capsys.readouterr().out
    file.write_text(file.read_text() + 'precision = "float32"\n')
    with pytest.raises(InputError, match="precision was bfloat16, is float32"):
        pipeline.run(file)
