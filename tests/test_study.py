"""The study of recipes: what it trains on, what it keeps, and the page it writes."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from benchmarks.quality import page, runs
from benchmarks.quality.__main__ import main
from benchmarks.quality.recipes import RECIPES
from benchmarks.quality.volumes import read_studies
from benchmarks.thinned import write_thinned

DEPTH = 160


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample whose raw values and labels are the numbers of the sections."""
    folder = tmp_path_factory.mktemp("sample")
    sections = np.broadcast_to(np.arange(DEPTH)[:, None, None], (DEPTH, 24, 28))
    with h5py.File(folder / "fib25_sample2.h5", "w") as file:
        file["volumes/raw"] = sections.astype(np.uint8)
        file["volumes/labels/neuron_ids"] = sections.astype(np.uint64) + 1
        file["volumes/labels/mask"] = (sections < 150).astype(np.uint8)
    return folder


def test_training_never_sees_the_held_out_sections(folder: Path):
    for study in read_studies(folder):
        for volume in study.training:
            seen = np.unique(volume.labels[volume.mask])
            assert not ((seen > 120) & (seen <= 150)).any(), study.name
        z, _, _ = study.segmented
        sections = study.truth.shape[0]
        assert study.scored.stop - study.scored.start == sections
        assert z.start + study.scored.start == (120 if study.name == "isotropic" else 30)
        assert sections == (30 if study.name == "isotropic" else 8)


def test_thinned_volumes_for_the_bundled_network(folder: Path, tmp_path: Path):
    part, whole = write_thinned(folder / "fib25_sample2.h5", tmp_path)
    assert len(part) == len(whole) == 12
    assert part[0] == whole[0]
    for path in part[1:]:
        with h5py.File(path) as file:
            assert file["volumes/labels/neuron_ids"][()].max() <= 120
            assert file["volumes/raw"].attrs["resolution"].tolist() == [40.0, 10.0, 10.0]
    with h5py.File(part[0]) as file:
        assert file["volumes/raw"].shape == (DEPTH // 4, 24, 28)


def test_every_recipe_has_options_for_both_volumes():
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    for recipe in RECIPES:
        for per_section in (False, True):
            assert recipe.training_options(0, 10, per_section).per_section is per_section
            offsets = recipe.network_options(per_section).offsets
            assert offsets[:3] == ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
            assert not per_section or min(offset[0] for offset in offsets) == -1


def test_rows_are_kept_and_averaged(tmp_path: Path):
    rows = [
        runs.Row("isotropic", "cross-entropy", seed, 600, 1.0, "seeded forest", page.SCORE, 0.5, split, 0.5, 0.1)
        for seed, split in enumerate((0.25, 0.75))
    ]
    rows.append(rows[0]._replace(border=25.0, voi_split=0.125))
    for row in rows:
        runs.append_rows(tmp_path / "rows.csv", [row])
    read = page.read_rows(tmp_path / "rows.csv")
    assert read == rows
    (tmp_path / "page.md").write_text("Words.\n" + page.MARKER + "old tables")
    page.write_page(tmp_path / "page.md", read)
    text = (tmp_path / "page.md").read_text()
    assert text.startswith("Words.\n")
    assert "old tables" not in text
    assert "![VOI of every run](page.png)" in text
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert "losses, away from borders" in text
    assert "| cross-entropy | 1 | 0.125 | 0.500 | 0.625 | 0.100 |" in text
    assert "| cross-entropy | 2 | 0.500 ± 0.354 | 0.500 ± 0.000 | 1.000 ± 0.354 | 0.100 ± 0.000 |" in text


def test_finished_runs_are_not_run_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    taken = []

    def fake(study, recipe, seed, steps):
        taken.append((study.name, recipe.name, seed))
        if len(taken) == 3:
            raise KeyboardInterrupt
        return [runs.Row(study.name, recipe.name, seed, steps, 1.0, "f", "s", 0.5, 1.0, 1.0, 0.1)]

    monkeypatch.setattr("benchmarks.quality.__main__.run", fake)
    arguments = ["--data", str(folder), "--rows", str(tmp_path / "rows.csv"), "--page", str(tmp_path / "page.md")]
    with pytest.raises(KeyboardInterrupt):
        main(arguments)
    main(arguments)
    assert len(taken) == 2 * 3 * len(RECIPES) + 1
    assert len(set(taken)) == len(taken) - 1
