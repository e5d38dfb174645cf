"""`clew evaluate --calibres`: what errors cost in thin and thick neurites."""

import json
from pathlib import Path

import numpy as np
import pytest

from clew import pipeline
from clew.errors import InputError
from clew.pipeline._calibres import classes_of
from clew.volumes import open_volume, save_volume

SIZE = (10.0, 10.0, 10.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A thick neuron, from which the segmentation cuts the thin end; and a whole one."""
    truth = np.zeros((15, 30, 40), np.uint64)
    truth[2:13, 2:13, :20] = truth[6:9, 6:9, 20:] = 1
    truth[2:13, 15:26] = 2
    save_volume(tmp_path / "truth.zarr", truth, voxel_size=SIZE)
    truth[6:9, 6:9, 24:] *= 3
    save_volume(tmp_path / "found.zarr", truth, voxel_size=SIZE)
    return tmp_path


def test_the_cost_of_a_thin_end_is_that_of_thin_neurites(folder: Path, capsys: pytest.CaptureFixture[str]):
    ((_, scores),) = pipeline.evaluate(
        str(folder / "found.zarr"), str(folder / "truth.zarr"), calibres=(50, 500), json=str(folder / "scores.json")
    )
    thin, medium, thick = json.loads((folder / "scores.json").read_text())["calibres"]
    assert thin["voi_split"] + medium["voi_split"] == pytest.approx(scores.voi_split)
    assert thin["voi_split"] > medium["voi_split"] > 0
    assert thin["voi_merge"] == thick["share"] == 0
    assert (thin["from"], thin["to"], thick["to"]) == (0, 50, None)
    assert "thin    below 50 nm" in capsys.readouterr().out


def test_a_merge_tree_is_cut_where_it_is_best(folder: Path, capsys: pytest.CaptureFixture[str]):
    affinities = np.stack([np.where(open_volume(folder / "truth.zarr").read() > 0, 255, 0)] * 3).astype(np.uint8)
    save_volume(folder / "affinities.zarr", affinities, voxel_size=SIZE, attributes={"value_range": [0, 255]})
    pipeline.segment(str(folder / "affinities.zarr"), str(folder / "out"), threshold=0.5, seed_window=3)
    fragments, tree = (str(folder / "out" / name) for name in ("fragments.zarr", "merge_tree.h5"))
    curve = pipeline.evaluate(
        fragments,
        str(folder / "truth.zarr"),
        merge_tree=tree,
        thresholds=3,
        calibres=(50,),
        json=str(folder / "s.json"),
    )
    rows = json.loads((folder / "s.json").read_text())["calibres"]
    best = min(scores.voi_split + scores.voi_merge for _, scores in curve)
    assert sum(row["voi_split"] + row["voi_merge"] for row in rows) == pytest.approx(best)
    assert "50 or more" in capsys.readouterr().out


def test_no_neuron_ends_where_nobody_annotated():
    truth = np.full((4, 20, 20), 2**64 - 1, np.uint64)
    truth[1:3, 5:15, 5:15] = 7
    assert (classes_of(truth, SIZE, (90, 900))[1:3, 5:15, 5:15] == 3).all()
    truth[truth > 7] = 0
    assert not (classes_of(truth, SIZE, (90, 900)) == 3).any()


def test_bounds_that_descend_are_refused(folder: Path):
    with pytest.raises(InputError, match="ascend from above 0"):
        pipeline.evaluate(str(folder / "found.zarr"), str(folder / "truth.zarr"), calibres=(300, 100))
