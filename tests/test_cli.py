"""The command line as a user meets it: exit codes, one clear line, nothing half-written."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from clew import pipeline
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume
from command_line import run


@pytest.fixture
def affinities(tmp_path: Path) -> Path:
    path = tmp_path / "affinities.zarr"
    values = np.random.default_rng(0).integers(0, 256, (3, 12, 20, 20), dtype=np.uint8)
    save_volume(path, values, voxel_size=(8, 8, 8))
    return path


def bad(path: Path, values: np.ndarray) -> Path:
    save_volume(path, values, voxel_size=(8, 8, 8))
    return path


def test_help_and_version(capsys: pytest.CaptureFixture):
    assert run("--help") == 0
    assert "extract-fragments" in capsys.readouterr().out
    assert run("--version") == 0
    assert run("predict", "--help") == 0


def test_the_way_from_affinities(tmp_path: Path, affinities: Path, capsys: pytest.CaptureFixture):
    assert (
        run("segment", affinities, tmp_path / "out", "--threshold", 0.5, "--minimum-size", 4, "--seed-window", 3) == 0
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "fragments.zarr", "region_graph.h5", "merge_tree.h5", "segmentation.zarr"
    }  # fmt: skip
    segmentation = open_volume(tmp_path / "out" / "segmentation.zarr")
    assert segmentation.attributes["parameters"]["threshold"] == 0.5
    assert (
        run(
            "evaluate",
            tmp_path / "out" / "fragments.zarr",
            tmp_path / "out" / "segmentation.zarr",
            "--merge-tree",
            tmp_path / "out" / "merge_tree.h5",
            "--json",
            tmp_path / "scores.json",
            "--plot",
            tmp_path / "p.png",
        )
        == 0
    )
    assert (tmp_path / "scores.json").exists()
    assert "best" in capsys.readouterr().out
    for name in ("segmentation.zarr", "region_graph.h5", "merge_tree.h5"):
        assert run("info", tmp_path / "out" / name) == 0
    assert "merge tree" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((3, 8, 8, 8), np.nan, np.float32), "NaN"),
        (np.full((3, 8, 8, 8), np.inf, np.float32), "inf"),
        (np.full((3, 8, 8, 8), 1.5, np.float32), "1.5"),
        (np.zeros((2, 8, 8, 8), np.uint8), "3 offsets"),
        (np.zeros((8, 8, 8), np.uint8), r"(offset, z, y, x)"),
    ],
)
def test_bad_affinities(tmp_path: Path, capsys: pytest.CaptureFixture, values: np.ndarray, message: str):
    path = bad(tmp_path / "bad.zarr", values)
    check_refused(capsys, message, "extract-fragments", path, tmp_path / "fragments.zarr")
    assert not list(tmp_path.glob("*fragments*"))


def check_refused(capsys: pytest.CaptureFixture, message: str, *arguments: object) -> None:
    capsys.readouterr()
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


def test_bad_paths(tmp_path: Path, affinities: Path, capsys: pytest.CaptureFixture):
    check_refused(capsys, "nowhere.zarr", "info", tmp_path / "nowhere.zarr")
    check_refused(capsys, "would replace the input", "convert", affinities, affinities)
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"0" * 100)
    check_refused(capsys, "cut.h5", "info", f"{tmp_path / 'cut.h5'}:raw")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["volumes/raw"] = np.zeros((8, 8, 8), np.uint8)
    check_refused(capsys, "volumes/raw", "info", f"{tmp_path / 'data.h5'}:volumes/rav")
    check_refused(capsys, "--voxel-size", "info", f"{tmp_path / 'data.h5'}:volumes/raw")
    assert run("info", f"{tmp_path / 'data.h5'}:volumes/raw", "--voxel-size", "8,4.24,4.24") == 0
    assert "4.24" in capsys.readouterr().out
    check_refused(capsys, "smaller than the network's context", "predict", f"{tmp_path / 'data.h5'}:volumes/raw",
                  tmp_path / "out.zarr", "--voxel-size", "10,10,10")  # fmt: skip
    check_refused(capsys, "no checkpoint", "predict", affinities, tmp_path / "out.zarr", "--checkpoint", "none.pt")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--voxel-size", "40x8x8"], "3 numbers joined by commas, such as 8,8,8, not '40x8x8'"),
        (["--voxel-size", "40,8"], "3 numbers joined by commas"),
        (["--offset", "1,2,3,4"], "3 numbers joined by commas"),
        (["--range", "5"], "2 numbers joined by commas"),
        (["--voxel-size", "40", "8", "8"], "Values of one option are joined by commas: 8,8,8"),
    ],
)
def test_numbers_that_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture, options, wanted):
    check_refused(capsys, wanted, "convert", bad(tmp_path / "a.zarr", np.ones((4, 4, 4), np.uint8)), "b.zarr", *options)


def test_bad_labels(tmp_path: Path, affinities: Path, capsys: pytest.CaptureFixture):
    good = bad(tmp_path / "good.zarr", np.ones((8, 8, 8), np.uint64))
    negative = bad(tmp_path / "negative.zarr", np.full((8, 8, 8), -7, np.int32))
    floats = bad(tmp_path / "floats.zarr", np.full((8, 8, 8), 1.5, np.float32))
    check_refused(capsys, "must not be negative", "evaluate", good, negative)
    check_refused(capsys, "whole numbers", "evaluate", good, floats)
    check_refused(capsys, "shape", "build-region-graph", affinities, good, tmp_path / "graph.h5")
    assert not (tmp_path / "graph.h5").exists()


def test_bad_command_lines(tmp_path: Path, affinities: Path, capsys: pytest.CaptureFixture):
    for arguments in (["fragment"], ["segment"], ["segment", affinities, tmp_path / "o", "--seed-windw", 3],
                      ["segment", affinities, tmp_path / "o", "--low", "x"]):  # fmt: skip
        assert run(*arguments) == 2
        assert "Traceback" not in capsys.readouterr().err
    check_refused(capsys, "low", "extract-fragments", affinities, tmp_path / "o.zarr", "--low", 3)
    check_refused(capsys, "give --threshold", "segment", affinities, tmp_path / "o2", "--seed-window", 3)


def test_run_files(tmp_path: Path, affinities: Path, capsys: pytest.CaptureFixture):
    file = tmp_path / "run.toml"
    file.write_text(
        'directory = "out"\n[extract_fragments]\naffinities = "affinities.zarr"\nseed_window = 3\n'
        '[build_region_graph]\naffinities = "affinities.zarr"\n[agglomerate]\nscore = "mean"\n[relabel]\nthreshold = 0.4\n'
    )
    assert run("run", file) == 0
    assert (tmp_path / "out" / "segmentation.zarr").exists()
    assert run("run", file) == 0
    assert "there already" in capsys.readouterr().out
    file.write_text(file.read_text().replace('"mean"', '"hist_quant_50"'))
    check_refused(capsys, "score was mean, is hist_quant_50", "run", file)
    assert run("run", file, "--overwrite") == 0
    for text, message in [("[relable]", "relabel"), ("[relabel]\nthreshhold = 1", "did you mean 'threshold'"),
                          ("a = ", "not valid TOML"), ("[evaluate]", "lacks"), ("threshold = 1", "outside of all")]:  # fmt: skip
        file.write_text(text)
        check_refused(capsys, message, "run", file)
    check_refused(capsys, "there is no file", "run", tmp_path / "none.toml")


def test_the_home_folder_in_a_run_file_and_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home, file = tmp_path / "home", tmp_path / "run.toml"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    file.write_text(
        'directory = "~/run"\n[synthesize]\nraw = "~/raw.zarr"\nlabels = "~/labels.zarr"\nshape = [16, 16, 16]\n'
        '[evaluate]\nsegmentation = "~/labels.zarr"\ntruth = "~/labels.zarr"\n'
    )
    assert run("run", file) == 0
    pipeline.evaluate("~/labels.zarr", "~/labels.zarr", json="~/scores.json")
    assert {path.name for path in home.iterdir()} == {"run", "raw.zarr", "labels.zarr", "scores.json"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("~")] == []


def test_segment_in_a_run_file_is_its_four_stages(tmp_path: Path, affinities: Path, capsys: pytest.CaptureFixture):
    file = tmp_path / "run.toml"
    file.write_text('[segment]\naffinities = "affinities.zarr"\nseed_window = 3\nthreshold = 0.4\n')
    assert run("run", file) == 0
    assert (tmp_path / "run" / "segmentation.zarr").exists()
    assert run("run", file) == 0
    assert capsys.readouterr().out.count("there already") == 4
    file.write_text(file.read_text().replace("0.4", "0.5"))
    check_refused(capsys, "threshold was 0.4, is 0.5", "run", file)
    file.write_text(file.read_text() + 'directory = "elsewhere"\n')
    assert run("run", file) == 0
    assert (tmp_path / "elsewhere" / "segmentation.zarr").exists()
    file.write_text(file.read_text() + "[relabel]\nthreshold = 0.4\n")
    check_refused(capsys, "leave one of them out", "run", file)
    file.write_text("[segment]\nseed_windw = 3\n")
    check_refused(capsys, "did you mean 'seed_window'", "run", file)


def test_options_come_from_a_table(tmp_path: Path, affinities: Path, capsys: pytest.CaptureFixture):
    file = tmp_path / "run.toml"
    file.write_text('[segment]\naffinities = "affinities.zarr"\ndirectory = "out"\nseed_window = 3\nthreshold = 0.4\n')
    assert run("segment", "--config", file, "--threshold", 0.5) == 0
    segmentation = open_volume(tmp_path / "out" / "segmentation.zarr")
    assert segmentation.attributes["parameters"]["threshold"] == 0.5
    assert open_volume(tmp_path / "out" / "fragments.zarr").attributes["parameters"]["seed_window"] == 3
    check_refused(capsys, "no table [train]; it has [segment]", "train", "--config", file)
    check_refused(capsys, "needs a command", "--config", file)
    check_refused(capsys, "TOML file", "segment", "--config")
    check_refused(capsys, "there is no file", "segment", "--config", tmp_path / "none.toml")
    file.write_text("[convert]\nvoxel_size = [4, 8, 8]\nsource = 'affinities.zarr'\n")
    assert run("convert", "--config", file, "--target", tmp_path / "copy.zarr") == 0
    assert open_volume(tmp_path / "copy.zarr").voxel_size == (4, 8, 8)


def test_a_new_training_makes_the_prediction_after_it_anew(tmp_path: Path, capsys: pytest.CaptureFixture):
    file = tmp_path / "run.toml"
    small = 'preset = "tiny"\ncrop = [16, 16, 16]\nmargin = 0\n'
    file.write_text(
        '[synthesize]\nraw = "raw.zarr"\nlabels = "labels.zarr"\nshape = [32, 32, 32]\n'
        f'[train]\ncheckpoint = "net.pt"\ndata = ["raw.zarr,labels.zarr"]\nsteps = 1\n{small}'
        '[predict]\nraw = "raw.zarr"\ncheckpoint = "net.pt"\n'
    )
    assert run("run", file) == 0
    assert run("run", file) == 0
    assert "predict: " + str(tmp_path / "run" / "affinities.zarr") in capsys.readouterr().out
    (tmp_path / "net.pt").unlink()
    shutil.rmtree(tmp_path / "net.training")
    assert run("run", file) == 0
    assert "predict: " not in capsys.readouterr().out
