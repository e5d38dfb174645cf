"""`clew plan` as a user meets it: what it prints, and a file that train and run take as it is."""

import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from clew import cli, pipeline
from clew.errors import InputError
from clew.network.checkpoint import load_checkpoint
from clew.pipeline._declare import check_names
from clew.pipeline.run import options_in
from clew.synthetic.volume import synthesize
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An isotropic and a serial-section volume."""
    folder = tmp_path_factory.mktemp("annotated")
    for name, shape, voxel_size in (("thin", (40, 48, 96), (10, 10, 10)), ("thick", (20, 64, 64), (40, 8, 8))):
        made = synthesize(shape, voxel_size=voxel_size)
        save_volume(folder / f"{name}_raw.zarr", made.raw, voxel_size=voxel_size)
        save_volume(folder / f"{name}_labels.zarr", made.labels, voxel_size=voxel_size)
    return folder


def item(folder: Path, name: str) -> str:
    return f"{folder}/{name}_raw.zarr,{folder}/{name}_labels.zarr"


def write(tmp_path: Path, raw: np.ndarray, labels: np.ndarray, **changes: Any) -> str:
    save_volume(tmp_path / "raw.zarr", raw, voxel_size=(10, 10, 10), overwrite=True)
    save_volume(tmp_path / "labels.zarr", labels, **({"voxel_size": (10, 10, 10), "overwrite": True} | changes))
    return f"{tmp_path}/raw.zarr,{tmp_path}/labels.zarr"


@pytest.mark.parametrize("name", ["thin", "thick"])
def test_every_key_is_accepted_by_the_run_file(folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture):
    file = tmp_path / "mine.toml"
    pipeline.plan([item(folder, name)], output=str(file), timing=False)
    printed = capsys.readouterr().out
    assert "SERIOUS" not in printed
    assert "not timed" in printed
    tables = tomllib.loads(file.read_text())
    assert list(tables) == ["directory", "train", "predict", "segment", "evaluate"]
    for stage in (pipeline.train, pipeline.predict, pipeline.segment, pipeline.evaluate):
        options = options_in(file, stage)
        check_names(stage.__name__, options, stage.__signature__.parameters)
        stage.record_of(**options)
    assert tables["train"]["preset"] == ("small" if name == "thin" else "small-anisotropic")
    assert file.read_text().count("# ") > 15


def test_train_and_run_take_the_plan_as_it_is(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    pipeline.plan(["thin_raw.zarr,thin_labels.zarr"], output="mine.toml", timing=False, hours=1.0)
    text = (folder / "mine.toml").read_text()
    assert 'data = ["thin_raw.zarr,thin_labels.zarr"]' in text
    short = {"steps": 2, "warmup": 1, "malis_after": 1, "validate_every": 2, "preset": '"tiny"', "crop": [16, 16, 16],
             "malis_window": [8, 8, 8], "margin": 2}  # fmt: skip
    lines = [f"{key} = {short[key]}" if (key := line.split(" = ")[0]) in short else line for line in text.splitlines()]
    (folder / "mine.toml").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    cli.main(["run", str(folder / "mine.toml")])
    assert load_checkpoint(folder / "mine.pt").record["parameters"]["held_out"] == "0:40,0:48,77:96"
    assert open_volume(folder / "mine" / "segmentation.zarr").shape == (40, 48, 19)
    cli.main(["train", "--config", str(folder / "mine.toml"), "--steps", "1", "--checkpoint", str(tmp_path / "b.pt")])
    assert load_checkpoint(tmp_path / "b.pt").record["parameters"]["steps"] == 1


def test_steps_are_timed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    pipeline.plan([item(folder, "thin")], output=str(tmp_path / "mine.toml"), hours=0.001)
    hours = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  hours"))
    assert "s a step" in hours
    assert "with MALIS" in hours
    assert tomllib.loads((tmp_path / "mine.toml").read_text())["train"]["steps"] == 200


def test_serious_errors_are_named_and_strict_stops(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    raw, labels = (open_volume(f"{folder}/thin_{name}.zarr").read() for name in ("raw", "labels"))
    data = write(tmp_path, raw, np.roll(labels, (0, 3, -4), (0, 1, 2)))
    with pytest.raises(SystemExit) as stop:
        cli.main(["plan", data, "--strict", "--no-timing", "--output", str(tmp_path / "mine.toml")])
    assert stop.value.code == 2
    found = capsys.readouterr()
    assert "SERIOUS     labels look shifted by (0, 3, -4) voxels" in found.out
    assert "1 serious finding in the annotation" in found.err
    assert not (tmp_path / "mine.toml").exists()
    pipeline.plan([data], output=str(tmp_path / "mine.toml"), timing=False)
    assert "mend it first" in capsys.readouterr().out
    with pytest.raises(InputError, match="exists"):
        pipeline.plan([data], output=str(tmp_path / "mine.toml"), timing=False)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda labels: labels[:, :40], {"offset": (0, 2000, 0)}, "raw.zarr.* share no voxel"),
        (lambda labels: labels.transpose(2, 1, 0), {}, "the axes look transposed"),
        (lambda labels: labels * 0, {}, "there is nothing to learn"),
    ],
)
def test_volumes_that_do_not_fit_are_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, change: Any, options: dict, message: str
):
    import re

    raw, labels = (open_volume(f"{folder}/thin_{name}.zarr").read() for name in ("raw", "labels"))
    data = write(tmp_path, raw, np.ascontiguousarray(change(labels)), **options)
    with pytest.raises(InputError, match="none of the volumes can be trained on"):
        pipeline.plan([data], output=str(tmp_path / "mine.toml"), timing=False)
    assert re.search(message, capsys.readouterr().out)
    pipeline.plan([data, item(folder, "thin")], output=str(tmp_path / "mine.toml"), timing=False)
    assert tomllib.loads((tmp_path / "mine.toml").read_text())["train"]["data"] == [item(folder, "thin")]


def test_places_and_voxel_sizes_must_agree(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    raw, labels = (open_volume(f"{folder}/thin_{name}.zarr").read() for name in ("raw", "labels"))
    data = write(tmp_path, raw, labels, voxel_size=(10, 10, 8))
    with pytest.raises(InputError, match="none of the volumes"):
        pipeline.plan([data], output=str(tmp_path / "mine.toml"), timing=False)
    assert "has voxels of 10, 10, 8 nm" in capsys.readouterr().out
    data = write(tmp_path / "moved", raw, labels, offset=(0, 0, 20))
    pipeline.plan([data], output=str(tmp_path / "mine.toml"), timing=False)
    assert "lie in" in capsys.readouterr().out
    with pytest.raises(InputError, match="one voxel size"):
        pipeline.plan([item(folder, "thin"), item(folder, "thick")], output=str(tmp_path / "b.toml"), timing=False)


def test_missing_voxel_size(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        for name, key in (("raw", "volumes/raw"), ("labels", "volumes/labels/neuron_ids")):
            file[key] = open_volume(f"{folder}/thin_{name}.zarr").read()
    with pytest.raises(InputError, match="--voxel-size"):
        pipeline.plan([f"{tmp_path}/bare.h5"], output=str(tmp_path / "mine.toml"), timing=False)
    pipeline.plan([f"{tmp_path}/bare.h5"], output=str(tmp_path / "mine.toml"), timing=False, voxel_size=(10, 10, 10))
    printed = capsys.readouterr().out
    assert printed.count("it is taken to be 10, 10, 10 nm") == 2
    assert "SERIOUS" not in printed
    tables = tomllib.loads((tmp_path / "mine.toml").read_text())
    assert [name for name, table in tables.items() if "voxel_size" in table] == ["train", "predict", "evaluate"]
    assert tables["train"]["voxel_size"] == [10, 10, 10]


@pytest.mark.compiled
def test_real_volumes_raise_no_false_alarm(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    names = ("fib25_sample2.h5", "fib_small_train.h5", "fib_small_example.h5")
    pipeline.plan(
        [str(real_data / name) for name in names], output=str(tmp_path / "mine.toml"), timing=False, strict=True
    )
    printed = capsys.readouterr().out
    assert "look" not in printed
    assert "id 135478: 2,565 voxels" in printed
    assert tomllib.loads((tmp_path / "mine.toml").read_text())["train"]["boundary_steps"] == 1
