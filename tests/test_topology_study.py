"""The study of topology runs on volumes far too small to learn from, and goes on where it was."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from benchmarks.study import folds, judge
from benchmarks.study.__main__ import main
from benchmarks.study.recipes import RECIPES, windows

from clew.network.checkpoint import Checkpoint, save_checkpoint
from clew.network.options import PRESETS, PredictionOptions
from clew.network.unet import UNet

pytestmark = pytest.mark.compiled


def write(path: Path, shape: tuple[int, int, int]) -> None:
    """Slabs of neurons and raw that shows them."""
    labels = (1 + np.arange(shape[1]) // 12)[None, :, None] + np.zeros(shape, np.uint32)
    with h5py.File(path, "w") as file:
        file["volumes/raw"] = (labels * 20 % 256).astype(np.uint8)
        file["volumes/labels/neuron_ids"] = labels.astype(np.uint32)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (folds.SAMPLE, folds.SECTIONS):
        write(tmp_path / name, (72, 72, 72))
    for name in (folds.TRAIN, folds.EXAMPLE):
        write(tmp_path / name, (66, 66, 66))
    monkeypatch.setattr(folds, "LOWER", slice(0, 66))
    monkeypatch.setattr(folds, "UPPER", slice(68, 72))
    monkeypatch.setattr(folds, "CHOOSING", slice(0, 72))
    return tmp_path


def test_folds_do_not_show_what_they_judge(data: Path):
    for fold in folds.read_folds(data):
        sample, small = fold.training
        judged = fold.tests[0]
        assert sample.labels.any()
        assert not sample.labels[~sample.mask].any()
        assert sample.mask.sum() == 72 * 72 * (66 if fold.name == "a" else 4)
        assert judged.truth.shape[0] == (4 if fold.name == "a" else 66)
        assert fold.tests[1].name == (folds.TRAIN if fold.name == "a" else folds.EXAMPLE)
        assert small.mask.all()


def cells(network: UNet, raw: np.ndarray, *, box: tuple[slice, ...], options: PredictionOptions) -> np.ndarray:
    """Affinities of cubes of 6 voxels between weak walls: an untrained network has nothing inside."""
    shape = tuple(part.stop - part.start for part in box)
    affinities = np.full((3, *shape), 250, np.uint8)
    for axis, channel in enumerate(affinities):
        walls = channel[(slice(None),) * axis + (slice(None, None, 6),)]
        walls[:] = np.random.default_rng(axis).integers(20, 200, walls.shape)
    return affinities


def test_a_run_is_judged_once(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(judge, "predict_affinities", cells)
    save_checkpoint(tmp_path / "start-a.pt", Checkpoint(UNet(PRESETS["tiny"]).eval(), folds.VOXEL_SIZE))
    call = ["--data", str(data), "--starts", str(tmp_path), "--out", str(tmp_path / "out"), "--steps", "1",
            "--recipes", "windows of 28"]  # fmt: skip
    main(call)
    assert capsys.readouterr().out.count("judged") == 2
    rows = (tmp_path / "out" / "rows.csv").read_text()
    main(call)
    assert "judged" not in capsys.readouterr().out
    assert (tmp_path / "out" / "rows.csv").read_text() == rows


def test_recipes_differ_from_the_control_only_in_what_they_say():
    control = RECIPES[0].options(1, 250)
    assert control.malis_weight == 0
    names = [recipe.name for recipe in RECIPES]
    assert len(set(names)) == len(names)
    in_windows = next(recipe for recipe in RECIPES if recipe.name == "windows of 28").options(1, 250)
    assert in_windows.malis_window == windows(28)["malis_window"] == (28, 28, 28)
    assert in_windows.learning_rate == control.learning_rate
