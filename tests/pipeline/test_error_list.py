"""`clew evaluate --where`: the list of errors, its places and what would mend each."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import clew
from clew import pipeline
from clew.errors import InputError
from clew.pipeline._viewed import read_marks
from clew.volumes.affinities import affinity_attributes
from clew.volumes.save import save_volume

NM = {"voxel_size": (10, 10, 10), "offset": (0, 0, 100)}
OFFSETS = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
EIGHT = np.array([1, 1, 1, 2, 2, 3, 3, 3])
"""True object of each of eight fragments in a row; contacts 12 wide."""
CONTACTS = (255, 150, 240, 255, 80, 255, 255)
"""Affinity of each contact: the first object falls apart at 150, the first two objects merge at 240."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fragments = np.broadcast_to(np.repeat(np.arange(1, 9), 12), (12, 12, 96)).astype(np.uint64)
    affinities = np.full((3, 12, 12, 96), 255, np.uint8)
    affinities[2, :, :, 12::12] = CONTACTS
    save_volume(tmp_path / "fragments.zarr", fragments, **NM)
    save_volume(tmp_path / "truth.zarr", EIGHT[fragments - 1].astype(np.uint64), **NM)
    save_volume(tmp_path / "a.zarr", affinities, **NM, attributes=affinity_attributes(OFFSETS, np.uint8))
    names = [str(tmp_path / name) for name in ("a.zarr", "fragments.zarr", "region_graph.h5", "merge_tree.h5")]
    pipeline.build_region_graph(*names[:3])
    pipeline.agglomerate(*names[2:], score="mean")
    pipeline.relabel(names[1], names[3], str(tmp_path / "segmentation.zarr"), threshold=0.2)
    return tmp_path


def listed(folder: Path, volume: str = "fragments.zarr", **options) -> dict:
    files = {"where": str(folder / "e.json"), "where_table": str(folder / "e.csv"), "overwrite": True}
    pipeline.evaluate(str(folder / volume), str(folder / "truth.zarr"), **files, **options)
    return json.loads((folder / "e.json").read_text())


def tree(folder: Path) -> dict[str, str]:
    return {name: str(folder / f"{name}.h5") for name in ("merge_tree", "region_graph")}


def test_errors_have_place_and_cause(folder: Path, capsys: pytest.CaptureFixture[str]):
    found = listed(folder, **tree(folder), thresholds=3)
    assert (found["threshold"], found["score"], found["border"]) == (0.2, "mean", 20.0)
    merge, split = found["errors"] if found["errors"][0]["kind"] == "merge" else found["errors"][::-1]
    assert (merge["segments"], merge["objects"]) == ([3], [2, 1])
    assert (split["segments"], split["objects"]) == ([1, 3], [1])
    for error, contact, affinity, rank in ((merge, [3, 4], 240, 5), (split, [2, 3], 150, 6)):
        assert error["merge"]["fragments"] == contact
        assert error["merge"]["score"] == pytest.approx(affinity / 255, abs=1e-4)
        assert error["merge"]["threshold"] == pytest.approx(1 - affinity / 255, abs=1e-4)
        assert (error["merge"]["rank"], error["merge"]["of"]) == (rank, 7)
        assert (error["merge"]["contact_area"], error["position_is"]) == (144, "contact")
        assert error["inside_fragment"] is None
    assert merge["position"][2] == 35
    assert split["position"][2] == 24
    assert merge["position_nm"] == [10 * merge["position"][0], 10 * merge["position"][1], 450]
    assert sum(error["bits"] for error in (merge, split)) > 0.5
    said = capsys.readouterr().out
    assert "up to 0.0588: merge 5 of 7" in said
    assert "above 0.4118: merge 6 of 7" in said
    rows = list(csv.DictReader((folder / "e.csv").open()))
    assert [row["kind"] for row in rows] == [error["kind"] for error in found["errors"]]
    assert {rows[0]["z"], rows[0]["merge_of"], rows[0]["verdict"]} == {str(found["errors"][0]["position"][0]), "7", ""}


def test_cutting_just_above_and_below_shows_and_mends(folder: Path):
    for error in listed(folder, **tree(folder), thresholds=3)["errors"]:
        for step, there in ((-1e-4, error["kind"] == "split"), (1e-4, error["kind"] == "merge")):
            again = listed(folder, **tree(folder), thresholds=3, threshold=error["merge"]["threshold"] + step)
            same = [
                each for each in again["errors"] if (each["kind"], each["objects"]) == (error["kind"], error["objects"])
            ]
            assert bool(same) == there


def test_a_segmentation_alone_has_places(folder: Path):
    with_tree = listed(folder, **tree(folder), thresholds=3)
    alone = listed(folder, "segmentation.zarr")
    assert alone["threshold"] is None
    for one, other in zip(alone["errors"], with_tree["errors"], strict=True):
        assert (one["merge"], one["position_is"]) == (None, "touch")
        for name in ("kind", "bits", "segments", "objects", "voxels", "position", "length_nm", "calibre_nm"):
            assert one[name] == other[name]


def test_a_perfect_segmentation_has_no_errors(folder: Path, capsys: pytest.CaptureFixture[str]):
    truth = clew.open_volume(folder / "truth.zarr").read()
    save_volume(folder / "perfect.zarr", truth, **NM)
    assert listed(folder, "perfect.zarr")["errors"] == []
    assert "no split and no merge" in capsys.readouterr().out


def test_a_box_counts_places_in_the_whole(folder: Path):
    (merge,) = [
        each
        for each in listed(folder, **tree(folder), thresholds=3, box=":,:,20:96")["errors"]
        if each["kind"] == "merge"
    ]
    assert merge["position"][2] == 35


def test_options_that_do_not_go_together_are_refused(folder: Path):
    with pytest.raises(InputError, match="give --region-graph"):
        listed(folder, merge_tree=str(folder / "merge_tree.h5"))
    with pytest.raises(InputError, match="leave one out"):
        listed(folder, "segmentation.zarr", components=True)
    with pytest.raises(InputError, match="give --where"):
        pipeline.evaluate(str(folder / "segmentation.zarr"), str(folder / "truth.zarr"), threshold=0.3)


@pytest.mark.parametrize("file", ["e.json", "e.csv"])
def test_scores_are_given_after_verdicts(folder: Path, file: str):
    found = listed(folder, **tree(folder), thresholds=3)
    where = next(each for each in found["errors"] if each["kind"] == "merge")
    judged = folder / f"judged{Path(file).suffix}"
    if file == "e.json":
        where["verdict"] = "truth wrong"
        judged.write_text(json.dumps(found))
    else:
        rows = list(csv.DictReader((folder / "e.csv").open()))
        rows[where["rank"] - 1]["verdict"] = "truth wrong"
        with judged.open("w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    again = listed(folder, **tree(folder), thresholds=3, verdicts=str(judged), json=str(folder / "s.json"))
    assert [each["verdict"] for each in again["errors"] if each["kind"] == "merge"] == ["truth wrong"]
    after = json.loads((folder / "s.json").read_text())["after_verdicts"]
    assert after["verdicts"] == {"segmentation wrong": 0, "truth wrong": 1, "undecided": 0}
    assert after["voi_merge"] == 0 < found["voi_merge"]


def test_lists_that_are_no_verdicts_are_refused(folder: Path):
    found = listed(folder, **tree(folder), thresholds=3)
    for change, message in (
        ({}, "holds no verdict"), ({"verdict": "wrong"}, "must be one of"),
        ({"verdict": "undecided", "objects": [77, 78]}, "verdicts are of another one"),
        ({"verdict": "undecided", "objects": "x"}, "is no list of errors"),
    ):  # fmt: skip
        (folder / "v.json").write_text(json.dumps({**found, "errors": [found["errors"][0] | change]}))
        with pytest.raises(InputError, match=message):
            listed(folder, **tree(folder), thresholds=3, verdicts=str(folder / "v.json"))


def trace(folder: Path, objects: dict[int, range]) -> str:
    """Skeletons along x, with a node in the middle of each of some fragments."""
    things = []
    for name, fragments in objects.items():
        nodes = "".join(f'<node id="{n}" x="{10 + 12 * n + 6}" y="6" z="6"/>' for n in fragments)
        edges = "".join(f'<edge source="{n}" target="{n + 1}"/>' for n in fragments[:-1])
        things.append(f'<thing id="{name}"><nodes>{nodes}</nodes><edges>{edges}</edges></thing>')
    scale = '<parameters><scale x="10" y="10" z="10"/></parameters>'
    (folder / "s.nml").write_text(f"<things>{scale}{''.join(things)}</things>")
    return str(folder / "s.nml")


def traced(folder: Path, volume: str, **options) -> dict:
    skeletons = trace(folder, {11: range(3), 12: range(3, 5), 13: range(5, 8)})
    files = {"where": str(folder / "e.json"), "where_table": str(folder / "e.csv"), "overwrite": True}
    pipeline.evaluate_skeletons(str(folder / volume), skeletons, **files, **options)
    return json.loads((folder / "e.json").read_text())


def test_errors_of_skeletons_have_place_and_cause(folder: Path, capsys: pytest.CaptureFixture[str]):
    found = traced(folder, "fragments.zarr", **tree(folder), thresholds=3)
    assert (found["truth"], found["threshold"], found["score"]) == ("skeletons", 0.2, "mean")
    split, merge = sorted(found["errors"], key=lambda error: error["kind"], reverse=True)
    assert (split["segments"], split["objects"], split["length_nm"]) == ([1, 3], [11], 0)
    assert (merge["segments"], sorted(merge["objects"])) == ([3], [11, 12])
    for error, contact, affinity, x in ((merge, [3, 4], 240, (35, 36)), (split, [2, 3], 150, (23, 24))):
        assert error["merge"]["fragments"] == contact
        assert error["merge"]["score"] == pytest.approx(affinity / 255, abs=1e-4)
        assert sorted(error["merge"]["objects"]) in ([11, 11], [11, 12])
        assert error["position_is"] == "contact"
        assert error["position"][2] in x
        assert error["position_nm"][2] == error["position"][2] * 10 + 100
    said = capsys.readouterr().out
    assert "merge tolerance 0 (merges count from 1 node on): " in said
    assert "merge tolerance 50" in said
    rows = list(csv.DictReader((folder / "e.csv").open()))
    assert [row["kind"] for row in rows] == [error["kind"] for error in found["errors"]]
    marks, threshold = read_marks(str(folder / "e.json"))
    assert [len(each.marks) for each in marks] == [1, 1]
    assert threshold == 0.2


def test_errors_of_skeletons_in_a_segmentation_lie_where_parts_touch(folder: Path):
    kinds = {error["kind"]: error for error in traced(folder, "segmentation.zarr")["errors"]}
    assert (kinds["split"]["position_is"], kinds["split"]["position"][2]) == ("touch", 24)
    assert (kinds["merge"]["position_is"], kinds["merge"]["merge"]) == ("node", None)


def test_what_a_mask_cuts_off_is_a_piece_of_its_own(folder: Path):
    mask = np.ones((12, 12, 96), np.uint8)
    mask[..., 12:24] = 0
    save_volume(folder / "m.zarr", mask, **NM)
    skeletons = trace(folder, {11: range(4), 12: range(4, 8)})
    volume = str(folder / "segmentation.zarr")
    assert pipeline.evaluate_skeletons(volume, skeletons)[0].scores.splits == 2
    assert pipeline.evaluate_skeletons(volume, skeletons, mask=str(folder / "m.zarr"))[0].scores.splits == 1


def test_looking_for_errors_of_skeletons_needs_the_region_graph(folder: Path):
    with pytest.raises(InputError, match="--region-graph"):
        traced(folder, "fragments.zarr", merge_tree=tree(folder)["merge_tree"])
    with pytest.raises(InputError, match="--where"):
        pipeline.evaluate_skeletons(str(folder / "segmentation.zarr"), trace(folder, {1: range(3)}), threshold=0.3)


@pytest.mark.parametrize("options", [{}, {"threshold": 0.2}])
def test_scores_of_skeletons_are_given_after_verdicts(folder: Path, capsys: pytest.CaptureFixture[str], options: dict):
    found = traced(folder, "fragments.zarr", **tree(folder), thresholds=3)
    assert {error["verdict"] for error in found["errors"]} == {None}
    for error in found["errors"]:
        error["verdict"] = "truth wrong" if error["kind"] == "split" else "undecided"
    (folder / "v.json").write_text(json.dumps(found))
    judged = {"verdicts": str(folder / "v.json"), "json": str(folder / "s.json")}
    again = traced(folder, "fragments.zarr", **tree(folder), thresholds=3, **judged, **options)
    assert [error["verdict"] for error in again["errors"]] == [error["verdict"] for error in found["errors"]]
    after = json.loads((folder / "s.json").read_text())["after_verdicts"]
    assert after["verdicts"] == {"segmentation wrong": 0, "truth wrong": 1, "undecided": 1}
    assert (after["splits"], after["merges"], after["merged_pairs"]) == (0, 0, 0)
    assert "0 splits, 0 merges, 0 pairs; before" in capsys.readouterr().out
    (folder / "v.json").write_text(json.dumps({"errors": [found["errors"][0] | {"objects": [98, 99]}]}))
    with pytest.raises(InputError, match="verdicts are of another one"):
        traced(folder, "fragments.zarr", **tree(folder), thresholds=3, **judged)
