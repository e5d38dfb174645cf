"""Progress of runs in blocks: a line a stage, and words for each stage."""

import json
import re

import numpy as np
import pytest

import clew
from clew import pipeline
from clew.pipeline import _block_run
from clew.pipeline._progress import counted_stages
from clew.pipeline._stages import words_of

RUNS = {
    "segment": lambda: pipeline.segment_blocks("a.zarr", "run", threshold=0.5, minimum_size=9, block_shape=(8, 8, 8)),
    "flood": lambda: pipeline.segment_blocks("a.zarr", "run", threshold=0.5, method="seeded-flood"),
    "constrained": lambda: pipeline.segment_blocks("a.zarr", "run", threshold=0.5, cannot_link="l.zarr"),
    "predict": lambda: pipeline.predict_blocks("raw.zarr", "run", checkpoint="tiny.pt", device="cpu"),
    "evaluate": lambda: pipeline.evaluate_blocks("l.zarr", "l.zarr", "run", border=20),
    "convert": lambda: pipeline.convert_blocks("l.zarr", "run"),
    **{
        f"export {format}": lambda format=format: pipeline.export("l.zarr", "run", format=format)
        for format in ("ply", "swc", "table", "tiff", "cremi", "webknossos")
    },
    "export all": lambda: pipeline.export("l.zarr", "run", meshes=True, skeletons=True),
    "export nuclei": lambda: pipeline.export("l.zarr", "run", format="table", nuclei="l.zarr"),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_stage_has_words(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    affinities = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 24), np.uint8)
    labels = np.arange(1, 3, dtype=np.uint64).repeat(8 * 24 * 24).reshape(16, 24, 24)
    for file, data in {"a": affinities, "l": labels, "raw": np.zeros((16, 24, 24), np.uint8)}.items():
        clew.save_volume(f"{file}.zarr", data, voxel_size=(8, 8, 8))
    if name == "predict":
        clew.save_checkpoint("tiny.pt", clew.Checkpoint(clew.UNet(clew.PRESETS["tiny"]), voxel_size=(8.0, 8.0, 8.0)))

    def stop(*run):
        raise KeyboardInterrupt

    monkeypatch.setattr(_block_run, "_work", stop)
    with pytest.raises(KeyboardInterrupt):
        RUNS[name]()
    stages = json.loads((tmp_path / "run" / "plan.json").read_text())["tasks"]
    assert stages
    assert [stage for stage in stages if not words_of(stage)] == []


def test_each_stage_is_a_line_when_it_is_done(capsys):
    with counted_stages({"face": 2, "forest": 3, "fragments": 1}) as show:
        show({"face": 2}, {})
        show({"face": 2, "forest": 2}, {"forest": 3})
        show({"face": 2, "forest": 3}, {"forest": 3, "fragments": 1})
        show({"face": 2, "forest": 3, "fragments": 1}, {"forest": 3, "fragments": 1})
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r" +", " ", re.sub(r"[\d.]+ s$", "… s", line)) for line in lines] == [
        "6 tasks in 3 stages", "face 2 tasks done before", "forest 3 tasks … s", "fragments 1 task … s",
    ]  # fmt: skip


def test_status_explains_the_stages(tmp_path, capsys):
    clew.save_volume(tmp_path / "l.zarr", np.ones((8, 8, 8), np.uint64), voxel_size=(8, 8, 8))
    pipeline.convert_blocks(str(tmp_path / "l.zarr"), str(tmp_path / "run"), workers=1)
    assert re.search(r"^volume +1 task +[\d.]+ s$", capsys.readouterr().out, re.M)
    assert pipeline.status(str(tmp_path / "run")) == "finished"
    assert re.search(r"^volume +1 +0 +0  copy each block$", capsys.readouterr().out, re.M)
