"""Training through the pipeline: log, state, resume, chosen checkpoint."""

import contextlib
import csv
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from clew import pipeline
from clew.cli import main
from clew.errors import InputError
from clew.network.checkpoint import load_checkpoint
from clew.pipeline._annotated import read_annotated
from clew.pipeline._run_folder import RunFolder
from clew.pipeline._tables import load_merge_tree
from clew.segmentation.options import AgglomerationOptions
from clew.training.trainer import StepReport, Trainer
from clew.volumes.open import open_volume

RECIPE = {"preset": "tiny", "crop": (32, 32, 32), "validate_every": 2, "warmup": 1, "malis_after": 3, "steps": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("annotated")
    pipeline.synthesize(str(folder / "raw.zarr"), str(folder / "labels.zarr"), shape=(40, 48, 48))
    return f"{folder}/raw.zarr,{folder}/labels.zarr"


def test_a_run_leaves_checkpoint_log_and_plot(data: str, tmp_path: Path):
    pipeline.train(str(tmp_path / "net.pt"), data=[data], held_out="0:16,:,:", **RECIPE)
    checkpoint = load_checkpoint(tmp_path / "net.pt")
    assert checkpoint.voxel_size == (10.0, 10.0, 10.0)
    assert checkpoint.threshold is not None
    assert checkpoint.score == AgglomerationOptions().score
    assert checkpoint.record["parameters"]["held_out"] == "0:16,:,:"
    with (tmp_path / "net.training" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 2, 2, 3, 4, 4]
    assert [bool(row["loss"]) for row in rows] == [True, True, False, True, True, False]
    assert [bool(row["voi_sum"]) for row in rows] == [False, False, True, False, False, True]
    chosen = min(float(row["voi_sum"]) for row in rows if row["voi_sum"])
    assert checkpoint.record["held_out_scores"]["voi_sum"] == pytest.approx(chosen)
    assert (tmp_path / "net.training" / "log.png").stat().st_size > 1000


def test_the_mean_over_several_held_out_parts_chooses(data: str, tmp_path: Path):
    folder = tmp_path / "second"
    pipeline.synthesize(str(folder / "raw.zarr"), str(folder / "labels.zarr"), shape=(24, 40, 40), seed=5)
    both = [data, f"{folder}/raw.zarr,{folder}/labels.zarr"]
    parts = "0:16,:,:; 1/34:40,:,:;2/:,:,:"
    pipeline.train(str(tmp_path / "net.pt"), data=both, held_out=parts, **RECIPE)
    with (tmp_path / "net.training" / "log.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["voi_sum"]]
    assert [(row["step"], row["part"]) for row in rows] == [
        (step, part) for step in "24" for part in ("1", "2", "3", "")
    ]
    means = [float(row["voi_sum"]) for row in rows if not row["part"]]
    for step, mean in zip("24", means, strict=True):
        assert mean == pytest.approx(np.mean([float(r["voi_sum"]) for r in rows if r["step"] == step and r["part"]]))
    record = load_checkpoint(tmp_path / "net.pt").record
    assert record["held_out_scores"]["voi_sum"] == min(means)
    assert len(record["held_out_parts"]) == 3
    pipeline.train(str(tmp_path / "net.pt"), data=both, held_out=parts, **RECIPE)  # finished: nothing is judged again
    assert len((tmp_path / "net.training" / "log.csv").read_text().splitlines()) == 1 + 4 + 8


@pytest.mark.parametrize(
    ("parts", "message"),
    [("3/0:16,:,:", "a number from 1 to 1"), ("x/0:16,:,:", "a number from 1 to 1"), ("1/:,:,:", "nothing is left to train on"),
     ("0:16,:,:;", "one is empty")],
)  # fmt: skip
def test_held_out_parts_of_nothing_are_refused(data: str, tmp_path: Path, parts: str, message: str):
    with pytest.raises(InputError, match=message):
        pipeline.train(str(tmp_path / "net.pt"), data=[data], held_out=parts, **RECIPE)
    assert not (tmp_path / "net.training").exists()


def test_offsets_replace_those_of_the_preset(data: str, tmp_path: Path):
    offsets = "-1,0,0;0,-1,0;0,0,-1;0,-5,0"
    pipeline.train(str(tmp_path / "net.pt"), data=[data], offsets=offsets, **{**RECIPE, "steps": 1})
    assert load_checkpoint(tmp_path / "net.pt").network.options.offsets[3:] == ((0, -5, 0),)
    for wrong in ([(0, 0, -1), (0, -1, 0), (-1, 0, 0)], "-1,0,0;0,-1,0;0,0,-1;0,0,-1"):
        with pytest.raises(InputError, match="offsets must begin with"):
            pipeline.train(str(tmp_path / "other.pt"), data=[data], offsets=wrong, overwrite=True, **RECIPE)


def test_interrupted_run_continues_and_changed_run_is_refused(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    log = RunFolder.log

    def interrupt(self: RunFolder, report: StepReport) -> None:
        log(self, report)
        if report.step == 1:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RunFolder, "log", interrupt)
        pipeline.train(str(tmp_path / "net.pt"), data=[data], **RECIPE)
    assert "interrupted after step 2" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with pytest.raises(InputError, match="batch was 1, is 2"):
        pipeline.train(str(tmp_path / "net.pt"), data=[data], batch=2, **RECIPE)
    pipeline.train(str(tmp_path / "net.pt"), data=[data], **RECIPE)
    assert "continuing after step 2" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "net.pt").record["step"] == 4
    pipeline.train(str(tmp_path / "whole.pt"), data=[data], **RECIPE)
    assert_equal_weights(tmp_path / "net.pt", tmp_path / "whole.pt")
    assert losses_of(tmp_path / "net.training") == losses_of(tmp_path / "whole.training")
    pipeline.train(str(tmp_path / "net.pt"), data=[data], overwrite=True, **{**RECIPE, "steps": 1})
    assert load_checkpoint(tmp_path / "net.pt").record["step"] == 1


def losses_of(folder: Path) -> list[tuple[str, str]]:
    with (folder / "log.csv").open() as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file) if row["loss"]]


def assert_equal_weights(one: Path, other: Path, **tolerance: float) -> None:
    networks = [load_checkpoint(path).network for path in (one, other)]
    for weight, same in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(weight, same, **{"rtol": 0.0, "atol": 0.0, **tolerance})


def test_an_interrupted_validation_is_done_when_training_resumes(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*given: object, **options: object) -> None:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("validation went on")

    recipe = {**RECIPE, "steps": 2, "held_out": "0:16,:,:"}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(import_module("clew.pipeline.train"), "validate_parts", interrupt)
        pipeline.train(str(tmp_path / "net.pt"), data=[data], **recipe)
    assert not (tmp_path / "net.pt").exists()
    pipeline.train(str(tmp_path / "net.pt"), data=[data], **recipe)
    assert load_checkpoint(tmp_path / "net.pt").threshold is not None


def test_a_save_that_fails_leaves_the_state_before(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save = torch.save

    def fill(state: dict, file: Any) -> None:
        if state.get("step") == 4:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, file)

    with monkeypatch.context() as patched, pytest.raises(InputError, match=r"the disk is full: .*state\.pt"):
        patched.setattr(torch, "save", fill)
        pipeline.train(str(tmp_path / "net.pt"), data=[data], **RECIPE)
    folder = tmp_path / "net.training"
    assert torch.load(folder / "state.pt", weights_only=True)["step"] == 2
    assert not list(folder.glob("*partial*"))
    whole = (folder / "state.pt").read_bytes()
    (folder / "state.pt").write_bytes(whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:])
    with pytest.raises(InputError, match=r"state\.pt is damaged"):
        pipeline.train(str(tmp_path / "net.pt"), data=[data], **RECIPE)
    torch.save({"step": 2, "network": []}, folder / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt is damaged"):
        pipeline.train(str(tmp_path / "net.pt"), data=[data], **RECIPE)
    (folder / "state.pt").write_bytes(whole)
    pipeline.train(str(tmp_path / "net.pt"), data=[data], **RECIPE)
    assert [step for step, _ in losses_of(folder)] == ["1", "2", "3", "4"]


def test_a_loss_that_is_not_finite_leaves_its_crop(data: str, tmp_path: Path):
    with pytest.raises(InputError, match="not finite") as caught:
        pipeline.train(str(tmp_path / "net.pt"), data=[data], **{**RECIPE, "learning_rate": 1e30, "steps": 9})
    (path,) = (tmp_path / "net.training").glob("not-finite-*.npz")
    assert str(caught.value).endswith(f"saved in {path}")
    with np.load(path) as kept:
        assert {"raw", "labels", "valid", "affinities", "step", "number", "seed"} <= set(kept.files)
        assert kept["raw"].shape == kept["labels"].shape == (32, 32, 32)


@pytest.mark.parametrize(("batch", "hint"), [(3, "--batch 1 --accumulate 3"), (1, "--crop 16,16,16")])
def test_a_batch_that_does_not_fit(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, hint: str):
    def fail(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "_logits", fail)
    with pytest.raises(InputError, match=f"batch of {batch} crops of 32,32,32 voxels does not fit .*{hint}"):
        pipeline.train(str(tmp_path / "net.pt"), data=[data], batch=batch, **RECIPE)


def test_processes_train_as_one_with_a_larger_batch(data: str, tmp_path: Path):
    recipe = {**RECIPE, "steps": 3, "malis_after": 1, "device": "cpu", "precision": "float32", "held_out": "0:16,:,:"}
    pipeline.train(str(tmp_path / "one.pt"), data=[data], batch=2, **recipe)
    pipeline.train(str(tmp_path / "two.pt"), data=[data], processes=2, **recipe)
    assert_equal_weights(tmp_path / "one.pt", tmp_path / "two.pt", rtol=1e-3, atol=1e-5)
    rows = [losses_of(tmp_path / f"{name}.training") for name in ("one", "two")]
    assert [step for step, _ in rows[1]] == ["1", "2", "3"]
    for (_, loss), (_, same) in zip(*rows, strict=True):
        assert float(loss) == pytest.approx(float(same), rel=1e-4)


def test_torchrun_on_two_nodes_trains_as_two_processes(data: str, tmp_path: Path):
    """Two launchers that know of each other only by address and port, as on two machines."""
    recipe = {**RECIPE, "steps": 3, "malis_after": 1, "device": "cpu", "precision": "float32", "held_out": "0:16,:,:"}
    pipeline.train(str(tmp_path / "two.pt"), data=[data], processes=2, **recipe)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [word for name, value in recipe.items() for word in (f"--{name.replace('_', '-')}", as_text(value))]
    programs = Path(sys.executable).parent
    nodes = [
        subprocess.Popen(
            [programs / "torchrun", "--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1", "--master-addr",
             "127.0.0.1", "--master-port", str(port), "--no-python", programs / "clew", "train", tmp_path / "nodes.pt",
             "--data", data, *options],
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    said = [node.communicate(timeout=120)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert_equal_weights(tmp_path / "nodes.pt", tmp_path / "two.pt", rtol=1e-3, atol=1e-5)


def as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_bad_input_of_processes_is_one_line(data: str, tmp_path: Path):
    with pytest.raises(InputError, match="nothing is left to train on"):
        pipeline.train(str(tmp_path / "net.pt"), data=[data], processes=2, held_out=":,:,:", **RECIPE)


def train_until(enough: Callable[[], bool], data: str, folder: Path) -> None:
    """Train in two processes without end, and ask them to stop as soon as there is enough."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            if enough():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            recipe = {**RECIPE, "steps": 10**6, "validate_every": 10**6, "device": "cpu"}
            pipeline.train(str(folder / "net.pt"), data=[data], processes=2, **recipe)
    finally:
        over.set()
        watcher.join()


def rows_in(folder: Path) -> int:
    log = folder / "net.training" / "log.csv"
    return len(log.read_text().splitlines()) - 1 if log.exists() else 0


def test_processes_listen_on_the_loopback_device_only(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    outside = [name for name, state in psutil.net_if_stats().items() if state.isup and not has_loopback(name)]
    if outside:  # as on a machine whose name stands for its address in the network
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", outside[0])
    found = set()

    def enough() -> bool:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                connections = process.net_connections("inet")
                found.update(each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN)
        return bool(found) and rows_in(tmp_path) > 0

    train_until(enough, data, tmp_path)
    assert found == {"127.0.0.1"}


def has_loopback(device: str) -> bool:
    return any(each.address == "127.0.0.1" for each in psutil.net_if_addrs().get(device, ()))


def test_processes_save_when_they_are_asked_to_stop(data: str, tmp_path: Path):
    train_until(lambda: rows_in(tmp_path) > 2, data, tmp_path)
    rows = losses_of(tmp_path / "net.training")
    assert torch.load(tmp_path / "net.training" / "state.pt", weights_only=True)["step"] == len(rows)


def test_snapshots_and_tensorboard(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = {**RECIPE, "snapshot_every": 3, "held_out": "0:16,:,:"}
    pipeline.train(str(tmp_path / "net.pt"), data=[data], tensorboard=True, **recipe)
    assert [path.name for path in (tmp_path / "net.training" / "snapshots").iterdir()] == ["step-000003.png"]
    pictures = sorted((tmp_path / "net.training" / "validations").iterdir())
    assert [path.name for path in pictures] == ["step-000002.png", "step-000004.png"], "a picture every validation"
    assert re.search(r"^step 1 of 4: loss \d.*, \d.* s/step, \d+ s left$", capsys.readouterr().out, re.M)
    (events,) = (tmp_path / "net.training" / "tensorboard").iterdir()
    content = events.read_bytes()
    assert content.count(b"voxel_loss") >= 4
    assert content.count(b"voi_sum") >= 2


def test_segment_uses_the_threshold_and_score_of_the_training(data: str, tmp_path: Path):
    raw, network = data.split(",")[0], str(tmp_path / "net.pt")
    pipeline.train(network, data=[data], held_out="0:16,:,:", score="mean", **RECIPE)
    checkpoint = load_checkpoint(network)
    assert checkpoint.score == "mean"
    main(["predict", raw, str(tmp_path / "affinities.zarr"), "--checkpoint", network, "--device", "cpu"])
    main(["segment", str(tmp_path / "affinities.zarr"), str(tmp_path / "result")])
    found = open_volume(str(tmp_path / "result" / "segmentation.zarr")).attributes
    assert found["threshold"] == checkpoint.threshold
    assert load_merge_tree(str(tmp_path / "result" / "merge_tree.h5"))[0].score == "mean"
    with pytest.raises(InputError, match=f"but {checkpoint.threshold} for --score mean.*give --threshold"):
        pipeline.segment(str(tmp_path / "affinities.zarr"), str(tmp_path / "other"), score="hist_quant_75")
    assert not (tmp_path / "other").exists(), "the missing threshold was noticed after the work"


def test_bad_training_data(data: str, tmp_path: Path):
    labels = data.split(",")[1]
    target = str(tmp_path / "net.pt")
    with pytest.raises(InputError, match="RAW,LABELS"):
        read_annotated("a,b,c,d")
    with pytest.raises(InputError, match="must be uint8"):
        pipeline.train(target, data=[f"{labels},{labels}"], overwrite=True, **RECIPE)
    with pytest.raises(InputError, match="multiple of the pooling factor"):
        pipeline.train(target, data=[data], overwrite=True, **{**RECIPE, "crop": (30, 32, 32)})
    with pytest.raises(InputError, match="nothing is left to train on"):
        pipeline.train(target, data=[data], held_out=":,:,:", overwrite=True, **RECIPE)
    with pytest.raises(InputError, match="at least one annotated volume"):
        pipeline.train(target, data=[], overwrite=True, **RECIPE)
    with pytest.raises(InputError, match="there is no score 'best'"):
        pipeline.train(target, data=[data], score="best", **RECIPE)
    assert not list(tmp_path.iterdir())


def test_unannotated_volume_is_refused(tmp_path: Path):
    from clew.volumes.save import save_volume

    for name, dtype in (("raw", np.uint8), ("labels", np.uint64)):
        save_volume(tmp_path / f"{name}.zarr", np.zeros((32, 32, 32), dtype), voxel_size=(10, 10, 10))
    with pytest.raises(InputError, match="no annotated neuron"):
        read_annotated(f"{tmp_path}/raw.zarr,{tmp_path}/labels.zarr")


@pytest.mark.parametrize("background", [False, True])
def test_one_label_only_is_refused(data: str, tmp_path: Path, background: bool):
    from clew.volumes.save import save_volume

    labels = np.full(open_volume(data.split(",")[0]).shape, 7, np.uint64)
    labels[: 10 * background] = 0
    save_volume(tmp_path / "one.zarr", labels, voxel_size=open_volume(data.split(",")[0]).voxel_size)
    with pytest.raises(InputError, match="no training volume holds two neurons: with one label only"):
        pipeline.train(str(tmp_path / "net.pt"), data=[f"{data.split(',')[0]},{tmp_path}/one.zarr"], **RECIPE)
    assert not (tmp_path / "net.training").exists()


def test_data_without_a_crop_leave_no_run_behind(data: str, tmp_path: Path):
    network = str(tmp_path / "net.pt")
    with pytest.raises(InputError, match="no crop of .* holds 500 neurons or more"):
        pipeline.train(network, data=[data], minimum_objects=500, **RECIPE)
    assert not list(tmp_path.iterdir()), "the corrected command would be refused as another configuration"


def test_training_volumes_may_vanish_while_training(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import shutil

    import tifffile

    from clew.pipeline import _annotated as annotated_volume
    from clew.volumes.save import save_volume

    raw, labels = (open_volume(path) for path in data.split(","))
    metadata = {"axes": "ZYX", "spacing": 10, "unit": "nm"}
    tifffile.imwrite(tmp_path / "raw.tif", raw.read(), imagej=True, resolution=(0.1, 0.1), metadata=metadata)
    save_volume(tmp_path / "labels.zarr", labels.read(), voxel_size=(10, 10, 10))
    item = f"{tmp_path}/raw.tif,{tmp_path}/labels.zarr"
    volume = read_annotated(item).volume
    (tmp_path / "raw.tif").write_bytes(b"")
    np.testing.assert_array_equal(volume.raw, raw.read())
    embed = annotated_volume.embed

    def vanish(*given: object) -> object:
        shutil.rmtree(tmp_path / "labels.zarr", ignore_errors=True)
        return embed(*given)

    monkeypatch.setattr(annotated_volume, "embed", vanish)
    with pytest.raises(InputError, match="no file or folder .*labels.zarr"):
        read_annotated(f"{data.split(',')[0]},{tmp_path}/labels.zarr")


def test_the_layout_of_the_real_volumes_is_understood(real_data: Path):
    volume, voxel_size, _ = read_annotated(str(real_data / "fib_small_train.h5"))
    assert voxel_size == (10.0, 10.0, 10.0)
    assert volume.raw.shape == volume.labels.shape == (50, 100, 200)
    assert volume.mask.all()
