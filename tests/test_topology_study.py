"""The study of topology runs on volumes far too small to learn from, and goes on where it was."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from benchmarks.study import compare, folds, judge
from benchmarks.study.__main__ import main
from benchmarks.study.recipes import CONTROL, RECIPES, windows

from clew.network.options import PredictionOptions
from clew.network.unet import UNet

pytestmark = pytest.mark.compiled


def write(path: Path, shape: tuple[int, int, int]) -> None:
    """Columns of neurons and raw that shows them."""
    _, y, x = np.indices(shape)
    labels = 1 + y // 12 + 6 * (x // 12)
    with h5py.File(path, "w") as file:
        file["volumes/raw"] = (labels * 7 % 256).astype(np.uint8)
        file["volumes/labels/neuron_ids"] = labels.astype(np.uint32)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (folds.SAMPLE, folds.SECTIONS):
        write(tmp_path / name, (88, 72, 72))
    for name in (folds.TRAIN, folds.EXAMPLE):
        write(tmp_path / name, (66, 66, 66))
    monkeypatch.setattr(folds, "LOWER", slice(0, 66))
    monkeypatch.setattr(folds, "UPPER", slice(68, 88))
    monkeypatch.setattr(folds, "CHOOSING", slice(0, 72))
    return tmp_path


def test_windows_are_as_wide_in_thick_sections_and_fit_into_crops():
    for recipe in RECIPES:
        for kind in folds.KINDS:
            options = recipe.options(1, 250, kind)
            assert options.malis_window is None or all(np.less_equal(options.malis_window, options.crop)), recipe.name
    (windows_of_28,) = (recipe for recipe in RECIPES if recipe.name == "windows of 28")
    assert windows_of_28.options(1, 250, folds.THICK).malis_window == (7, 28, 28)


def test_folds_do_not_show_what_they_judge(data: Path):
    for fold in folds.read_folds(data)[:2]:
        sample, small = fold.training
        judged = fold.tests[0]
        assert sample.labels.any()
        assert not sample.labels[~sample.mask].any()
        assert sample.mask.sum() == 72 * 72 * (66 if fold.name == "a" else 20)
        assert judged.truth.shape[0] == (20 if fold.name == "a" else 66)
        assert fold.tests[1].name == (folds.TRAIN if fold.name == "a" else folds.EXAMPLE)
        assert small.mask.all()


def cells(network: UNet, raw: np.ndarray, *, box: tuple[slice, ...], options: PredictionOptions) -> np.ndarray:
    """Affinities of pieces of neurons between weak walls: an untrained network has nothing inside."""
    shape = tuple(part.stop - part.start for part in box)
    affinities = np.full((3, *shape), 250, np.uint8)
    for axis, channel in enumerate(affinities):
        walls = channel[(slice(None),) * axis + (slice(None, None, 12 if axis else 6),)]
        walls[:] = np.random.default_rng(axis).integers(20, 200, walls.shape)
    return affinities


CALL = ["--steps", "1", "--starts", "isotropic-a-1-1", "--recipes", "control", "windows of 28"]


@pytest.fixture
def judged(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two recipes on one fold, with a network that is as good as untrained."""
    monkeypatch.setattr(judge, "predict_affinities", cells)
    monkeypatch.setattr(folds, "ISOTROPIC", folds.ISOTROPIC._replace(preset="tiny"))
    monkeypatch.setattr(folds, "_thick", lambda folder: [])
    out = tmp_path / "out"
    main(["--data", str(data), "--out", str(out), *CALL])
    return out


def test_a_run_is_made_once(data: Path, judged: Path, capsys: pytest.CaptureFixture[str]):
    main(["--data", str(data), "--out", str(judged), *CALL])
    assert capsys.readouterr().out == ""
    assert len(list((judged / "weights").iterdir())) == 3
    assert len(list((judged / "judged").iterdir())) == 9


def test_every_recipe_stands_beside_the_control(judged: Path, capsys: pytest.CaptureFixture[str]):
    compare.main(["--out", str(judged)])
    table = capsys.readouterr().out
    assert "| windows of 28, 1 steps | 1 |" in table
    assert "| control" not in table
    assert (judged / "isotropic.png").exists()
    assert len((judged / "networks.csv").read_text().splitlines()) == 1 + 9 * len(judge.SCORES)


def made_up(shift: float, seed: int) -> judge.Judged:
    """Contacts of 40 neurons, of which a share is scored wrong; each object has as many bits as voxels are wrong."""
    rng = np.random.default_rng(seed)
    neurons = rng.integers(1, 41, (400, 2)).astype(np.uint64)
    neurons[::2, 1] = neurons[::2, 0]
    same = neurons[:, 0] == neurons[:, 1]
    contacts = np.clip(np.where(same, 0.6 + shift, 0.4 - shift) + rng.normal(0, 0.2, 400), 0, 1).astype(np.float32)
    shape = (len(judge.SCORES), len(judge.THRESHOLDS))
    bits = np.full((*shape, 40), 100 * (0.5 - shift), np.float32)
    return judge.Judged(
        bits, np.full(40, 100), bits[..., 0], np.tile(contacts, (shape[0], 1)), same, neurons, np.ones(400, np.int64),
        np.zeros(2, np.int64),
    )  # fmt: skip


@pytest.mark.parametrize(("shift", "verdict"), [(0.1, "better"), (-0.1, "worse"), (0.0, "not shown")])
def test_better_is_better_everywhere(shift: float, verdict: str):
    everything = {
        compare.Place("isotropic", "a", f"seed {seed}", recipe, test): made_up(own, 10 * seed + number)
        for seed in (1, 2)
        for recipe, own in (("control, 1 steps", 0.0), ("x, 1 steps", shift))
        for number, test in enumerate(("one", "other"))
    }
    pairs = list(compare.pairs_with_control(everything, "x, 1 steps"))
    assert len(pairs) == 4
    edges, topology = (
        compare.edge_difference(pairs, repeats=40),
        compare.topology_difference(everything, pairs, repeats=40),
    )
    assert edges.verdict(1) == verdict
    assert topology.verdict(-1) == verdict
    assert topology.mean == pytest.approx(-shift)


def test_one_test_on_which_it_loses_is_enough():
    found = compare.Difference(np.array([0.1, 0.2, -0.01]), 0.1, 0.05, 0.2)
    assert found.verdict(1) == "not shown"


def test_recipes_differ_from_the_control_only_in_what_they_say():
    control = CONTROL.options(1, 250, folds.ISOTROPIC)
    assert control.malis_weight == 0
    names = [recipe.name for recipe in RECIPES]
    assert len(set(names)) == len(names)
    in_windows = next(recipe for recipe in RECIPES if recipe.name == "windows of 28").options(1, 250, folds.ISOTROPIC)
    assert in_windows.malis_window == windows(28)["malis_window"] == (28, 28, 28)
    assert in_windows.learning_rate == control.learning_rate


def test_membranes_become_borders():
    labels = np.zeros((1, 1, 16), np.uint64)
    labels[0, 0, :3], labels[0, 0, 5:7] = 1, 2
    assert folds.neurons_touch(labels)[0, 0].tolist() == [1] * 4 + [2] * 7 + [0] * 5
