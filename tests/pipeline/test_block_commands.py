"""`predict-blocks`, `evaluate-blocks`, `convert-blocks`: what they give, where they write, on which workers."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from clew import pipeline
from clew.blockwise.ledger import Ledger
from clew.blockwise.workers import own_device
from clew.errors import InputError
from clew.network.checkpoint import Checkpoint, save_checkpoint
from clew.network.options import PRESETS
from clew.network.unet import UNet
from clew.synthetic.volume import synthesize
from clew.training.targets import grow_boundaries
from clew.volumes.location import read_bytes, remove_bytes, write_bytes
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume
from object_storage import keys

pytestmark = pytest.mark.compiled
SHAPE = (40, 48, 56)
BLOCKS = {"block_shape": (16, 32, 32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw and labels, the truth also cut out, and a network that has learnt nothing."""
    folder = tmp_path_factory.mktemp("volumes")
    volume = synthesize(SHAPE, seed=2)
    place = {"voxel_size": (10, 10, 10), "offset": (100, 0, 0)}
    save_volume(folder / "raw.zarr", volume.raw, **place)
    save_volume(folder / "labels.zarr", volume.labels, **place)
    save_volume(folder / "wrong.zarr", volume.labels // np.uint64(2), **place)
    part = volume.labels[8:30, :, 5:50].astype(np.int64)
    save_volume(folder / "part.zarr", part, voxel_size=(10, 10, 10), offset=(180, 0, 50))
    sections = volume.labels * np.isin(np.arange(SHAPE[0]), [0, 2, 11, 12, 14, 16, 17, 18])[:, None, None].astype(
        np.uint64
    )
    save_volume(folder / "sections.zarr", sections, **place)
    save_volume(folder / "membranes.zarr", grow_boundaries(volume.labels, 1), **place)
    torch.manual_seed(0)
    network = UNet(PRESETS["tiny"])
    save_checkpoint(folder / "network.pt", Checkpoint(network, (10.0, 10.0, 10.0), 0.4, "mean", {}))
    return folder


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("box", [None, "5:29,:,3:50"])
def test_predicted_blocks_are_those_of_predict(folder: Path, tmp_path: Path, box: str | None):
    raw, options = (
        str(folder / "raw.zarr"),
        {"checkpoint": str(folder / "network.pt"), "precision": "float32", "box": box},
    )
    pipeline.predict(raw, str(tmp_path / "whole.zarr"), **options)
    pipeline.predict_blocks(raw, str(tmp_path / "run"), **options, **BLOCKS)
    whole, blocks = (open_volume(tmp_path / name) for name in ("whole.zarr", "run/affinities.zarr"))
    assert np.abs(whole.read().astype(int) - blocks.read().astype(int)).max() <= 1
    assert (blocks.voxel_size, blocks.offset) == (whole.voxel_size, whole.offset)
    for name in ("offsets", "suggested_threshold", "suggested_score"):
        assert blocks.attributes[name] == whole.attributes[name]
    assert blocks.attributes["stage"] == "predict-blocks"


def test_workers_predict_and_retry_goes_on(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    network = tmp_path / "network.pt"
    shutil.copy(folder / "network.pt", network)
    options = {"checkpoint": str(network), "workers": 1, "resource": "GPU", **BLOCKS}
    raw, run = str(folder / "raw.zarr"), str(tmp_path / "run")
    pipeline.predict_blocks(raw, run, **options)
    done = Ledger(Path(run)).done()
    assert len(done) == 3 * 2 * 2
    (Path(run) / "done" / "affinities" / "1-0-1").unlink()
    written = open_volume(f"{run}/affinities.zarr").attributes["created"]
    time.sleep(1.1)
    pipeline.retry(run, workers=1)
    assert open_volume(f"{run}/affinities.zarr").attributes["created"] == written
    assert Ledger(Path(run)).done() == done
    assert "1 tasks on 1 workers" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"box \(None, now 0:16,:,:\)"):
        pipeline.predict_blocks(raw, run, **options, box="0:16,:,:")


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("truth", ["labels.zarr", "part.zarr", "sections.zarr", "membranes.zarr"])
@pytest.mark.parametrize("border", [{}, {"border": 35.0}, {"border": 35.0, "border_rule": "cremi"}])
def test_scores_are_those_of_evaluate(folder: Path, tmp_path: Path, truth: str, border: dict):
    segmentation, truth = str(folder / "wrong.zarr"), str(folder / truth)
    pipeline.evaluate(segmentation, truth, **border, json=str(tmp_path / "whole.json"))
    pipeline.evaluate_blocks(segmentation, truth, str(tmp_path / "run"), **border, block_shape=(13, 20, 31))
    found, whole = (json.loads((tmp_path / name).read_text()) for name in ("run/scores.json", "whole.json"))
    assert found["scores"] == whole["scores"]
    assert found.get("topology") == whole.get("topology")
    assert ("topology" in found) == (list(border) == ["border"])
    assert found["inputs"] == whole["inputs"]


@pytest.mark.usefixtures("in_this_process")
def test_a_copy_has_coarser_scales(folder: Path, tmp_path: Path):
    source = open_volume(folder / "labels.zarr")
    save_volume(tmp_path / "long.h5:labels", np.tile(source.read(), (1, 1, 5)), voxel_size=(20, 10, 10))
    pipeline.convert_blocks(str(tmp_path / "long.h5:labels"), str(tmp_path / "run"), **BLOCKS)
    copy = open_volume(tmp_path / "run" / "volume.zarr")
    np.testing.assert_array_equal(copy.read()[:, :, :56], source.read())
    coarse = open_volume(f"{tmp_path}/run/volume.zarr:2")
    assert coarse.shape == (20, 12, 70)
    assert coarse.voxel_size == (40, 40, 40)
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "run" / "volume.zarr", mode="r")
    assert [dataset["path"] for dataset in group.attrs["ome"]["multiscales"][0]["datasets"]] == ["s0", "s1", "s2", "s3"]
    assert group["s1"].shape == (40, 24, 140)
    with pytest.raises(InputError, match="not int64"):
        pipeline.convert_blocks(str(folder / "part.zarr"), str(tmp_path / "other"), **BLOCKS)


@pytest.mark.usefixtures("in_this_process")
def test_volumes_may_lie_in_object_storage(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], s3, backend: int
):
    options = {"threshold": 0.4, "score": "mean", **BLOCKS}
    pipeline.predict(str(folder / "raw.zarr"), str(tmp_path / "affinities.zarr"), checkpoint=str(folder / "network.pt"))
    affinities = str(tmp_path / "affinities.zarr")
    pipeline.segment(affinities, str(tmp_path / "whole"), threshold=0.4, score="mean")
    s3.misbehave = failing_at_times()
    pipeline.segment_blocks(affinities, str(tmp_path / "run"), volumes="s3://bucket/deep", **options)
    s3.misbehave = lambda method, path: None
    for name in ("fragments", "segmentation"):
        expected = open_volume(tmp_path / "whole" / f"{name}.zarr").read()
        np.testing.assert_array_equal(open_volume(f"s3://bucket/deep/{name}.zarr").read(), expected)
    assert not list((tmp_path / "run").glob("*.zarr"))
    pipeline.status(str(tmp_path / "run"))
    assert "finished" in capsys.readouterr().out
    lost = "s3://bucket/deep/fragments.zarr/s0/c/0/0"
    chunk = read_bytes(lost, "0")
    remove_bytes(lost, "0")
    pipeline.status(str(tmp_path / "run"))
    assert "fragments.zarr/s0 lacks 1 of its 12 files of chunks\ndamaged since" in capsys.readouterr().out
    write_bytes(lost, "0", chunk)
    other = {"threshold": 0.7, "minimum_size": 30, "remove_below": 5}
    with pytest.raises(InputError, match="there is no run in"):
        pipeline.relabel_blocks(str(tmp_path / "whole"), str(tmp_path / "other"), **other)
    pipeline.relabel_blocks(str(tmp_path / "run"), str(tmp_path / "other"), **other)
    parts = [str(tmp_path / "whole" / name) for name in ("fragments.zarr", "merge_tree.h5")]
    graph = str(tmp_path / "whole" / "region_graph.h5")
    pipeline.relabel(*parts, str(tmp_path / "whole.zarr"), region_graph=graph, **other)
    relabelled = open_volume(tmp_path / "other" / "segmentation.zarr").read()
    np.testing.assert_array_equal(relabelled, open_volume(tmp_path / "whole.zarr").read())
    assert (relabelled != expected).any()
    with pytest.raises(InputError, match="does not belong to a run in"):
        pipeline.segment_blocks(affinities, str(tmp_path / "second"), volumes="s3://bucket/deep", **options)
    pipeline.segment_blocks(affinities, str(tmp_path / "run"), volumes="s3://bucket/deep", restart=True, **options)
    np.testing.assert_array_equal(open_volume("s3://bucket/deep/segmentation.zarr").read(), expected)
    assert any(key.startswith("deep/segmentation.zarr/s0") for key in keys(backend))


def failing_at_times():
    """Every fiftieth request is refused by an overloaded server."""
    count = 0

    def misbehave(method: str, path: str) -> int | None:
        nonlocal count
        count += 1
        return 503 if count % 50 == 0 else None

    return misbehave


def test_affinities_without_any_object_are_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    dark = str(tmp_path / "dark.zarr")
    save_volume(dark, np.zeros((3, 8, 8, 8), np.uint8), voxel_size=(1, 1, 1))
    pipeline.segment(dark, str(tmp_path / "whole"), threshold=0.5)
    pipeline.segment_blocks(dark, str(tmp_path / "blocks"), threshold=0.5, block_shape=(4, 8, 8), workers=1)
    said = f"{dark}/s0 holds no fragments: no affinity inside the mask is above --boundary-threshold 0.5"
    assert capsys.readouterr().out.count(said) == 2
    assert not open_volume(tmp_path / "blocks" / "segmentation.zarr").read().any()


def test_outputs_of_other_programs_are_not_touched(folder: Path, tmp_path: Path):
    theirs = tmp_path / "there" / "volume.zarr"
    save_volume(theirs, np.ones((4, 4, 4), np.uint8), voxel_size=(1, 1, 1))
    with pytest.raises(InputError, match="move it away first"):
        pipeline.convert_blocks(
            str(folder / "raw.zarr"), str(tmp_path / "run"), volumes=str(tmp_path / "there"), workers=1, **BLOCKS
        )
    np.testing.assert_array_equal(open_volume(theirs).read(), np.ones((4, 4, 4)))


def test_numbered_workers_take_a_gpu_each(monkeypatch: pytest.MonkeyPatch):
    import distributed

    class Worker:
        name: object = 3

    monkeypatch.setattr(distributed, "get_worker", Worker)
    assert own_device("cuda") == "cuda:3"
    assert own_device("cpu") == "cpu"
    monkeypatch.setattr(Worker, "name", "tcp://node7:8786")
    assert own_device("cuda") == "cuda"
    monkeypatch.undo()
    assert own_device("cuda") == "cuda"
