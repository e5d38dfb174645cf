"""`clew choose-threshold`: the best over several volumes together, and what the stored threshold costs each."""

import json
from pathlib import Path

import numpy as np
import pytest

from clew import pipeline
from clew.errors import InputError
from clew.pipeline.choose_threshold import choose
from clew.volumes.affinities import affinity_attributes
from clew.volumes.save import save_volume

NM = {"voxel_size": (10, 10, 10)}
OFFSETS = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]


def make_run(folder: Path, name: str, inside: int, between: int, stored: dict) -> str:
    """A run whose fragments are halves of neurons: contacts inside have one affinity, those between neurons another."""
    fragments = np.broadcast_to(np.arange(32) // 4 + 1, (4, 8, 32)).astype(np.uint64)
    affinities = np.full((3, 4, 8, 32), 255, np.uint8)
    affinities[2, :, :, 8::8], affinities[2, :, :, 4::8] = between, inside
    run, truth = folder / name, folder / f"{name}_truth.zarr"
    run.mkdir()
    save_volume(run / "fragments.zarr", fragments, **NM)
    save_volume(truth, (fragments + 1) // 2, **NM)
    save_volume(run / "a.zarr", affinities, **NM, attributes=affinity_attributes(OFFSETS, np.uint8) | stored)
    pipeline.build_region_graph(*(str(run / each) for each in ("a.zarr", "fragments.zarr", "region_graph.h5")))
    return f"{run},{truth}"


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    stored = {"suggested_score": "mean", "suggested_threshold": 0.3}
    return [make_run(tmp_path, "one", 200, 50, stored), make_run(tmp_path, "other", 120, 30, {})]


def test_the_choice_is_good_for_all_volumes(data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = {"json": str(tmp_path / "c.json"), "plot": str(tmp_path / "c.png")}
    # alone, 0.22 were enough for the first volume (1 - 200/255 < 0.22); the other needs 1 - 120/255 = 0.529
    assert pipeline.choose_threshold(data=data, score=["mean", "hist_quant_75"], border=0, **files) == ("mean", 0.54)
    found = json.loads(Path(files["json"]).read_text())
    assert found["chosen"] == {"score": "mean", "threshold": 0.54, "voi_sum": 0.0}
    one, other = found["volumes"]
    assert one["best"]["threshold"] == 0.22
    assert one["default"] == {"score": "mean", "threshold": 0.3, "voi_sum": 0.0, "regret": 0.0}
    assert other["default"] is None
    assert Path(files["plot"]).stat().st_size > 1000
    assert "clew segment AFFINITIES FOLDER --score mean --threshold 0.54" in capsys.readouterr().out


def test_the_regret_of_what_is_stored_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path, "run", 120, 30, {"suggested_score": "mean", "suggested_threshold": 0.3})
    pipeline.choose_threshold(data=[run], score=["mean"], border=0, json=str(tmp_path / "c.json"))
    (volume,) = json.loads((tmp_path / "c.json").read_text())["volumes"]
    assert volume["default"] == {"score": "mean", "threshold": 0.3, "voi_sum": 1.0, "regret": 1.0}
    assert "1.0000   1.0000      0.300  mean" in capsys.readouterr().out


def test_sums_are_those_of_evaluate(data: list[str], tmp_path: Path):
    pipeline.choose_threshold(data=data, score=["mean"], thresholds=5, border=0, json=str(tmp_path / "c.json"))
    rows = json.loads((tmp_path / "c.json").read_text())["scores"]
    for number, item in enumerate(data):
        run, truth = map(Path, item.split(","))
        pipeline.agglomerate(str(run / "region_graph.h5"), str(run / "tree.h5"), score="mean")
        curve = pipeline.evaluate(
            str(run / "fragments.zarr"), str(truth), merge_tree=str(run / "tree.h5"), thresholds=5
        )
        assert [row["volumes"][number] for row in rows] == [scores.voi_sum for _, scores in curve]
    assert [row["voi_sum"] for row in rows] == [np.mean(row["volumes"]) for row in rows]


def test_the_first_of_equal_ones_is_chosen():
    curves = [np.array([[3.0, 1.0, 1.0], [2.0, 2.0, 0.0]]), np.array([[3.0, 2.0, 2.0], [4.0, 4.0, 3.0]])]
    choice = choose(curves)
    assert (choice.best, choice.at.tolist()) == (0, [1, 2])
    assert choice.mean.tolist() == [[3.0, 1.5, 1.5], [3.0, 3.0, 1.5]]


def test_bad_data_are_refused(data: list[str], tmp_path: Path):
    (run, truth), (other, _) = (item.split(",") for item in data)
    for items, message in (
        ([run], "RUN,TRUTH"),
        ([], "needs each volume once"),
        ([data[0], data[0]], "needs each volume once"),
        ([f"{tmp_path},{truth}"], "build-region-graph"),
        ([f"{run},{tmp_path / 'far.zarr'}"], "share no voxel|do not overlap|lies"),
        ([f"{run},{tmp_path / 'coarse.zarr'}"], "voxels of 10, 10, 10 nm"),
        ([f"{run},{tmp_path / 'empty.zarr'}"], "holds no annotated voxel"),
    ):
        ones = np.ones((4, 8, 32), np.uint64)
        save_volume(tmp_path / "far.zarr", ones, **NM, offset=(9000, 0, 0), overwrite=True)
        save_volume(tmp_path / "coarse.zarr", ones, voxel_size=(10, 20, 20), overwrite=True)
        save_volume(tmp_path / "empty.zarr", 0 * ones, **NM, overwrite=True)
        with pytest.raises(InputError, match=message):
            pipeline.choose_threshold(data=items, border=0)
    with pytest.raises(InputError, match="there is no score"):
        pipeline.choose_threshold(data=data, score=["maximum"])
    Path(run, "region_graph.h5").write_bytes(Path(other, "region_graph.h5").read_bytes())
    save_volume(Path(run, "fragments.zarr"), np.full((4, 8, 32), 3, np.uint64), **NM, overwrite=True)
    with pytest.raises(InputError, match="other fragments"):
        pipeline.choose_threshold(data=data)


def test_the_truth_of_another_place_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    fragments = np.kron(np.arange(1, 513).reshape(8, 8, 8), np.ones((4, 4, 4), int)).astype(np.uint64)
    affinities = np.full((3, 32, 32, 32), 200, np.uint8)
    mixed = np.random.default_rng(0).permutation(fragments.ravel()).reshape(fragments.shape)
    run = tmp_path / "run"
    run.mkdir()
    save_volume(run / "fragments.zarr", fragments, **NM)
    save_volume(tmp_path / "truth.zarr", mixed, **NM)
    save_volume(run / "a.zarr", affinities, **NM, attributes=affinity_attributes(OFFSETS, np.uint8))
    pipeline.build_region_graph(*(str(run / each) for each in ("a.zarr", "fragments.zarr", "region_graph.h5")))
    with pytest.raises(InputError, match="truth of another place"):
        pipeline.choose_threshold(data=[f"{run},{tmp_path / 'truth.zarr'}"])
    pipeline.evaluate(str(run / "fragments.zarr"), str(tmp_path / "truth.zarr"))
    assert "truth of another place" in capsys.readouterr().err
