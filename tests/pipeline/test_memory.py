"""Volumes that do not fit in memory are refused before they are read, with what to do instead."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from clew import memory as volumes_memory
from clew import pipeline
from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.errors import InputError
from clew.pipeline import _memory as memory
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume
from clew.volumes.tables import save_table
from command_line import run

COMMANDS = {name.replace("_", "-"): inspect.signature(getattr(pipeline, name)).parameters for name in pipeline.COMMANDS}


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes_memory, "free_memory", lambda: 3000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_volume(tmp_path / "affinities.zarr", np.full((3, 12, 20, 20), 200, np.uint8), voxel_size=(8, 8, 8))
    save_volume(tmp_path / "raw.zarr", np.zeros((80, 80, 80), np.uint8), voxel_size=(10, 10, 10))
    save_volume(tmp_path / "ids.zarr", np.ones((12, 20, 20), np.uint64), voxel_size=(8, 8, 8))
    assert run("segment", tmp_path / "affinities.zarr", tmp_path, "--threshold", 0.5) == 0
    return tmp_path


@pytest.mark.parametrize(
    ("command", "names", "advice"),
    [
        ("predict", "raw.zarr out.zarr --device cpu", "--tile"),
        ("extract-fragments", "affinities.zarr out.zarr", "clew segment-blocks"),
        ("relabel", "fragments.zarr merge_tree.h5 out.zarr --threshold 0.5", "clew relabel-blocks"),
        ("segment", "affinities.zarr out --threshold 0.5", "clew segment-blocks"),
        ("evaluate", "segmentation.zarr ids.zarr --json out.json", "clew evaluate-blocks"),
        ("evaluate", "segmentation.zarr ids.zarr --components --json out.json", "clew evaluate-blocks"),
        ("convert", "ids.zarr out.zarr --box :,:,:", "clew convert-blocks"),
        ("verify-blocks", "affinities.zarr", "--box"),
        ("synthesize", "out.zarr out-labels.zarr", "--shape"),
    ],
)
def test_what_does_not_fit_is_refused(
    folder: Path, little: None, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, command, names, advice
):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert run(command, *names.split()) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"clew: \S+ of .* needs about \S+ GB of memory, and 3e-06 GB are free: .*\n", error), error
    assert advice in error
    assert sorted(folder.iterdir()) == before


def test_no_volume_larger_than_memory_is_read(tmp_path: Path, little: None, monkeypatch: pytest.MonkeyPatch):
    save_volume(tmp_path / "a.zarr", np.zeros((20, 20, 20), np.uint8), voxel_size=(8, 8, 8))
    monkeypatch.setattr("clew.volumes.volume.UNCHECKED", 1000)
    volume = open_volume(tmp_path / "a.zarr")
    assert volume.read((slice(0, 2), ..., slice(0, 5))).size == 200
    with pytest.raises(InputError, match=r"to read .*a\.zarr.* needs about 8e-06 GB of memory, and 3e-06 GB are free"):
        volume.read()


def test_blocks_that_would_fill_the_memory_are_not_listed():
    with pytest.raises(InputError, match=r"the list of 59,\d{3},\d{3},\d{3} blocks of \(256, 256, 256\) voxels needs"):
        Grid(Domain.whole((10**6,) * 3), (256, 256, 256))


def test_running_out_of_memory_gives_the_advice_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    save_table(tmp_path / "graph.h5", {"a": np.zeros(3)}, kind="region graph")
    monkeypatch.setattr("clew.pipeline._tables.load_table", lambda *_, **__: np.empty(2**60, np.uint8))
    assert run("agglomerate", tmp_path / "graph.h5", tmp_path / "tree.h5") == 2
    error = capsys.readouterr().err
    assert "clew: not enough memory (Unable to allocate" in error
    assert error.endswith(f"{memory.INSTEAD['agglomerate']}\n")


@pytest.mark.parametrize("command", memory.INSTEAD)
def test_advice_names_existing_commands_and_options(command: str):
    advice = memory.INSTEAD[command]
    named = re.findall(r"clew ([a-z-]+)(?: --([a-z-]+))?", advice)
    assert all(
        name in COMMANDS and (not option or option.replace("-", "_") in COMMANDS[name]) for name, option in named
    )
    own = re.findall(r"--([a-z-]+)", re.sub(r"clew [a-z-]+ --[a-z-]+", "", advice))
    assert all(option.replace("-", "_") in COMMANDS[command.split()[0]] for option in own)
    assert named or own


def test_places_of_errors_are_not_to_be_had_in_blocks():
    assert memory.instead("evaluate", "--where").startswith("give a --box")
    assert memory.instead("evaluate", "--border").startswith("use clew evaluate-blocks")


def test_limits_of_containers_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = tmp_path / "cgroup"
    own.write_text("9:name=systemd:/\n4:cpu,memory:/job/step\n0::/user/session\n")
    groups = tmp_path / "groups"
    for place, files in {
        "memory/job": {
            "limit_in_bytes": 5 * 10**8,
            "usage_in_bytes": 4 * 10**8,
            "stat": "total_inactive_file 100000000",
        },
        "memory/job/step": {"limit_in_bytes": 2**63 - 4096, "usage_in_bytes": 0, "stat": "cache 1"},
        "user": {"max": 3 * 10**8, "current": 10**8, "stat": "inactive_file 50000000"},
        "user/session": {"max": "max", "current": 10**8, "stat": "inactive_file 0"},
    }.items():
        (groups / place).mkdir(parents=True)
        for name, content in files.items():
            (groups / place / f"memory.{name}").write_text(f"{content}\n")
    monkeypatch.setattr(volumes_memory, "OWN_GROUP", own)
    monkeypatch.setattr(volumes_memory, "GROUPS", groups)
    assert volumes_memory.whole_memory() == 3 * 10**8
    assert volumes_memory.free_memory() == 2 * 10**8
    own.write_text("0::/user\n")
    assert volumes_memory.free_memory() == 25 * 10**7
