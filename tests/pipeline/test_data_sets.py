"""The paper's data sets in their published layouts, made small: read, trained on, scored."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from clew import cli, pipeline
from clew.errors import InputError
from clew.evaluation.scores import evaluate
from clew.pipeline._annotated import SURROUNDINGS, read_annotated
from clew.pipeline._examined import examine_volume
from clew.pipeline.run import options_in
from clew.synthetic.volume import synthesize
from clew.volumes.save import save_volume

VOXEL_SIZE = (40.0, 4.0, 4.0)
OFFSET = (4, 40, 200)
SPECIAL = (0xFFFFFFFFFFFFFFFD, 0xFFFFFFFFFFFFFFFE, 0xFFFFFFFFFFFFFFFF)
TINY = {"preset": "tiny", "crop": (12, 16, 16), "margin": 2, "warmup": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def cremi(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A padded CREMI sample: raw larger than the labels, which say where they lie; clefts beside them."""
    path = tmp_path_factory.mktemp("cremi") / "sample_A_padded.hdf"
    made = synthesize((24, 100, 460), voxel_size=VOXEL_SIZE)
    part = tuple(slice(first, first + size) for first, size in zip(OFFSET, (16, 48, 240), strict=True))
    labels = made.labels[part].astype(np.uint64)
    labels[0], labels[3, :5], labels[5, :4, :4] = SPECIAL
    with h5py.File(path, "w") as file:
        stored = {"raw": made.raw, "labels/neuron_ids": labels, "labels/clefts": np.full_like(labels, SPECIAL[2])}
        for name, values in stored.items():
            dataset = file.create_dataset(f"volumes/{name}", data=values)
            dataset.attrs["resolution"] = VOXEL_SIZE
            if name != "raw":
                dataset.attrs["offset"] = tuple(o * s for o, s in zip(OFFSET, VOXEL_SIZE, strict=True))
    return path, made.raw, labels


def test_labels_of_a_part_are_placed_in_raw(cremi: tuple[Path, np.ndarray, np.ndarray]):
    path, raw, labels = cremi
    volume, voxel_size, origin = read_annotated(str(path))
    assert (voxel_size, origin) == (VOXEL_SIZE, (0, 0, 200 - SURROUNDINGS))
    np.testing.assert_array_equal(volume.raw, raw[:, :, 40:])
    inside = np.s_[4:20, 40:88, 160:400]
    known = labels < SPECIAL[0]
    np.testing.assert_array_equal(volume.labels[inside], np.where(known, labels, 0))
    np.testing.assert_array_equal(volume.mask[inside], known)
    assert volume.mask.sum() == known.sum(), "around the labels nobody annotated"
    assert not volume.labels[~volume.mask].any()


def test_raw_is_read_only_as_far_as_networks_look(tmp_path: Path):
    raw = np.arange(3 * 4 * 600, dtype=np.uint32).reshape(3, 4, 600).astype(np.uint8)
    save_volume(tmp_path / "raw.zarr", raw, voxel_size=(8, 8, 8))
    save_volume(tmp_path / "ids.zarr", np.ones((3, 4, 20), np.uint64), voxel_size=(8, 8, 8), offset=(0, 0, 1600))
    save_volume(tmp_path / "mask.zarr", np.ones((2, 4, 600), np.uint8), voxel_size=(8, 8, 8), offset=(8, 0, 0))
    volume, _, origin = read_annotated(f"{tmp_path}/raw.zarr,{tmp_path}/ids.zarr,{tmp_path}/mask.zarr")
    assert origin == (0, 0, 200 - SURROUNDINGS)
    np.testing.assert_array_equal(volume.raw, raw[:, :, 40:380])
    expected = np.zeros(raw.shape, bool)
    expected[1:, :, 200:220] = True
    np.testing.assert_array_equal(volume.mask, expected[:, :, 40:380])


def test_raw_alone_is_no_annotated_volume(tmp_path: Path):
    save_volume(tmp_path / "raw.zarr", np.zeros((3, 4, 5), np.uint8), voxel_size=(8, 8, 8))
    with pytest.raises(InputError, match=r"raw\.zarr holds no volumes/raw, .*: give raw and labels as RAW,LABELS"):
        read_annotated(str(tmp_path / "raw.zarr"))


def test_labels_beyond_raw_are_refused(tmp_path: Path):
    save_volume(tmp_path / "raw.zarr", np.ones((8, 8, 8), np.uint8), voxel_size=(8, 8, 8))
    refused = [((64, 0, 0), "share no voxel"), ((0, 0, -32), "share no voxel"), ((4, 0, 0), "whole number of voxels")]
    for number, (offset, message) in enumerate(refused):
        labels = tmp_path / f"{number}.zarr"
        save_volume(labels, np.ones((8 if number == 0 else 4, 8, 4), np.uint64), voxel_size=(8, 8, 8), offset=offset)
        with pytest.raises(InputError, match=message):
            read_annotated(f"{tmp_path}/raw.zarr,{labels}")


def test_cremi_is_planned_and_trained_on(
    cremi: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture
):
    path = str(cremi[0])
    findings = examine_volume(path, None).findings
    assert not [finding for finding in findings if finding.serious and "0xf" in finding.text]
    assert any("covers 4:20,40:88,200:440 of raw" in finding.text for finding in findings)
    assert any("ids for voxels that nobody annotated" in finding.text for finding in findings)
    pipeline.plan([path], output=str(tmp_path / "plan.toml"), timing=False)
    box = next(line for line in (tmp_path / "plan.toml").read_text().splitlines() if line.startswith("held_out"))
    assert box == 'held_out = "5:20,40:88,392:440"'
    pipeline.train(str(tmp_path / "net.pt"), data=[path], held_out="5:20,40:88,392:440", steps=2, malis_after=1,
                   validate_every=2, **TINY)  # fmt: skip
    assert "held-out VOI" in capsys.readouterr().out
    with pytest.raises(InputError, match="holds no annotated neuron"):
        pipeline.train(str(tmp_path / "b.pt"), data=[path], held_out=":,:,:190", steps=1, **TINY)


def test_padded_prediction_is_compared_where_the_truth_lies(
    cremi: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture
):
    path, raw, labels = cremi
    truth = f"{path}:volumes/labels/neuron_ids"
    segmentation = np.random.default_rng(0).integers(1, 5, raw.shape, np.uint64)
    save_volume(tmp_path / "found.zarr", segmentation, voxel_size=VOXEL_SIZE)
    ((_, scores),) = pipeline.evaluate(str(tmp_path / "found.zarr"), truth)
    known = np.where(labels < SPECIAL[0], labels, 0)
    assert scores == evaluate(segmentation[4:20, 40:88, 200:440], known)
    assert "compared where the truth lies: 4:20,40:88,200:440" in capsys.readouterr().out
    ((_, scores),) = pipeline.evaluate(str(tmp_path / "found.zarr"), truth, box="6:9,40:80,210:220")
    assert scores == evaluate(segmentation[6:9, 40:80, 210:220], known[2:5, :40, 10:20])
    with pytest.raises(InputError, match="does not lie inside"):
        pipeline.evaluate(str(tmp_path / "found.zarr"), truth, box="6:9,30:80,210:220")


NML = """<things><parameters><scale x="11.24" y="11.24" z="28"/></parameters>{trees}</things>"""


def tree(number: int, y: int, size: int) -> str:
    nodes = "".join(f'<node id="{number * 100 + x}" x="{x}" y="{y}" z="2"/>' for x in range(0, size, 10))
    edges = "".join(
        f'<edge source="{number * 100 + x}" target="{number * 100 + x + 10}"/>' for x in range(0, size - 10, 10)
    )
    return f'<thing id="{number}"><nodes>{nodes}</nodes><edges>{edges}</edges></thing>'


@pytest.fixture
def traced(tmp_path: Path) -> tuple[str, str]:
    """A segmentation of three stripes along x, the first in two pieces, with a skeleton in each and one outside."""
    ids = np.zeros((4, 30, 100), np.uint64)
    ids[:, :10, :45], ids[:, :10, 45:], ids[:, 10:] = 7, 8, 9
    save_volume(tmp_path / "found.zarr", ids, voxel_size=(28, 11.24, 11.24))
    trees = tree(1, 5, 100) + tree(2, 15, 100) + tree(3, 25, 60) + tree(4, 40, 60)
    (tmp_path / "traced.nml").write_text(NML.format(trees=trees))
    return str(tmp_path / "found.zarr"), str(tmp_path / "traced.nml")


def test_segmentation_is_compared_with_skeletons(
    traced: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
):
    cli.main(["evaluate-skeletons", *traced, "--json", str(tmp_path / "scores.json")])
    printed = capsys.readouterr().out
    assert "3 skeletons" in printed
    assert "6 nodes lie outside" in printed
    (row,) = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert (row["threshold"], row["splits"], row["merges"]) == (None, 1, 1)
    length = (90 + 90 + 50) * 11.24
    assert row["run_length"] == pytest.approx(((40 * 11.24) ** 2 + (40 * 11.24) ** 2) / length)
    assert row["error_distance"] == pytest.approx(length / 2)
    assert [each["skeletons"] for each in row["skeletons"]] == [1, 2, 3]
    assert [each["merges"] for each in row["skeletons"]] == [0, 1, 1]
    (cut,) = pipeline.evaluate_skeletons(*traced, box=":,:20,:45")
    assert (cut.scores.splits, cut.scores.merges, cut.scores.normalised_run_length) == (0, 0, pytest.approx(1))
    with pytest.raises(InputError, match="no node of"):
        pipeline.evaluate_skeletons(*traced, box="3:,:,:")


def test_skeletons_and_labels_have_commands_of_their_own(traced: tuple[str, str], tmp_path: Path):
    with pytest.raises(InputError, match="use clew evaluate-skeletons"):
        pipeline.evaluate(*traced)
    with pytest.raises(InputError, match="use clew evaluate-skeletons"):
        pipeline.evaluate_blocks(*traced, str(tmp_path / "run"))
    with pytest.raises(InputError, match="use clew evaluate for labels"):
        pipeline.evaluate_skeletons(traced[0], traced[0])


def test_merge_tree_is_compared_with_skeletons(traced: tuple[str, str], tmp_path: Path):
    affinities = np.full((3, 4, 30, 100), 250, np.uint8)
    affinities[1, :, 10], affinities[2, :, :10, 45] = 20, 120
    save_volume(tmp_path / "affinities.zarr", affinities, voxel_size=(28, 11.24, 11.24))
    pipeline.build_region_graph(str(tmp_path / "affinities.zarr"), traced[0], str(tmp_path / "graph.h5"))
    pipeline.agglomerate(str(tmp_path / "graph.h5"), str(tmp_path / "tree.h5"), score="mean")
    curve = pipeline.evaluate_skeletons(*traced, merge_tree=str(tmp_path / "tree.h5"), thresholds=3)
    assert [row.threshold for row in curve] == [0, 0.5, 1]
    assert [(row.scores.splits, row.scores.merges) for row in curve] == [(1, 1), (1, 1), (0, 2)]


def test_snemi3d_stacks(tmp_path: Path):
    made = synthesize((20, 64, 64), voxel_size=(30, 6, 6))
    tifffile.imwrite(tmp_path / "train-input.tif", made.raw, photometric="minisblack")
    tifffile.imwrite(tmp_path / "train-labels.tif", made.labels.astype(np.uint16), photometric="minisblack")
    for name in ("input", "labels"):
        cli.main(["convert", f"{tmp_path}/train-{name}.tif", f"{tmp_path}/{name}.zarr", "--voxel-size", "30,6,6"])
    volume, voxel_size, _ = read_annotated(f"{tmp_path}/input.zarr,{tmp_path}/labels.zarr")
    assert voxel_size == (30, 6, 6)
    np.testing.assert_array_equal(volume.raw, made.raw)
    np.testing.assert_array_equal(volume.labels, made.labels)


@pytest.mark.parametrize("name", ["cremi", "snemi3d"])
def test_plan_of_a_data_set(name: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    voxel_size = {"cremi": (40, 4, 4), "snemi3d": (30, 6, 6)}[name]
    made = synthesize((20, 64, 160), voxel_size=voxel_size)
    save_volume(tmp_path / "raw.zarr", made.raw, voxel_size=voxel_size)
    save_volume(tmp_path / "labels.zarr", made.labels, voxel_size=voxel_size)
    item, output = f"{tmp_path}/raw.zarr,{tmp_path}/labels.zarr", tmp_path / "plan.toml"
    pipeline.plan([item], output=str(output), data_set=name, timing=False)
    for stage in (pipeline.train, pipeline.predict, pipeline.segment, pipeline.evaluate):
        options = options_in(output, stage)
        stage.record_of(**options)
    assert options_in(output, pipeline.train)["preset"] == ("cremi" if name == "cremi" else "small-anisotropic")
    assert ("recipe for GPUs" in capsys.readouterr().out) == (name == "cremi")
    with pytest.raises(InputError, match="voxels of fib-25 are 8×8×8 nm"):
        pipeline.plan([item], output=str(tmp_path / "b.toml"), data_set="fib-25", timing=False)
    assert not (tmp_path / "b.toml").exists()


def test_volumes_that_belong_together_have_one_voxel_size(tmp_path: Path):
    labels = np.ones((4, 6, 8), np.uint64)
    for name, size in (("truth", (8, 8, 8)), ("found", (8, 8, 9))):
        save_volume(tmp_path / f"{name}.zarr", labels, voxel_size=size)
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file["found"] = labels
    with pytest.raises(InputError, match="belong together need one"):
        pipeline.evaluate(f"{tmp_path}/found.zarr", f"{tmp_path}/truth.zarr")
    save_volume(tmp_path / "affinities.zarr", np.full((3, 4, 6, 8), 255, np.uint8), voxel_size=(8, 8, 8))
    with pytest.raises(InputError, match="belong together need one"):
        pipeline.build_region_graph(f"{tmp_path}/affinities.zarr", f"{tmp_path}/found.zarr", str(tmp_path / "graph.h5"))
    ((_, scores),) = pipeline.evaluate(f"{tmp_path}/bare.h5:found", f"{tmp_path}/truth.zarr")
    assert scores.voi_sum == 0
