"""The measurements of scale run, on volumes far too small to measure; real blocks are identical."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import scale, scale_figure, scale_files, scale_model, task_memory, tissue, verify_large
from benchmarks.noted import FIRST, STAGES
from PIL import Image

from clew.errors import InputError
from clew.pipeline._tables import save_merge_tree
from clew.segmentation.agglomeration import MergeTree
from clew.volumes.save import save_volume

pytestmark = pytest.mark.compiled
SIZE = 24


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("base")))
        return tissue.make_base(None, SIZE)


def test_tissue_does_not_depend_on_the_box(base: Path):
    affinities = tissue.Tissue(base, (50, 60, 70))
    whole = affinities[:, :, :]
    assert whole.shape == (3, 50, 60, 70)
    part = affinities[:, 20:31, 5:40, 47:49]
    np.testing.assert_array_equal(part, whole[:, 20:31, 5:40, 47:49])


def test_tissue_is_the_mirrored_base_but_for_the_noise(base: Path):
    whole = tissue.Tissue(base, (2 * SIZE, SIZE, SIZE))[:, :, :].astype(int)
    expected = np.load(base).astype(int)
    for axis in range(3):
        expected[axis][(slice(None),) * axis + (0,)] = expected[axis][(slice(None),) * axis + (1,)]
    inner = (expected > 40) & (expected < 215)
    assert abs((whole[:, :SIZE] - expected)[inner]).mean() < 10
    mirrored = whole[1, SIZE:][::-1] - whole[1, :SIZE]
    assert 0 < abs(mirrored[inner[1]]).mean() < 20
    pairs = whole[0, SIZE + 1 :][::-1] - whole[0, 1:SIZE]
    assert abs(pairs[inner[0, 1:]]).mean() < 20


def test_a_run_is_measured_and_compared(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(scale, "make_base", lambda data, size: base)
    monkeypatch.setitem(scale.SHAPES, 8, (30, 40, 44))
    target = tmp_path / "runs.json"
    block_shape = ["--block-shape", "20", "20", "44"]
    scale.main(["--sizes", "8", *block_shape, "--workers", "2", "--folder", str(tmp_path), "--json", str(target)])
    one, two = json.loads(target.read_text())
    assert (one["workers"], two["workers"]) == (1, 2)
    assert one["passed"] == two["passed"]
    assert len(one["notes"]) == len(two["notes"]) > 10
    assert one["whole"]["stage"] == "whole"
    assert all(note["peak"] > 0 for note in one["notes"])
    assert "blocks beside the whole" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [target], "volumes are removed"


def test_memory_of_tasks_is_measured_and_drawn(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(task_memory, "make_base", lambda data, size: base)
    monkeypatch.setitem(scale.SHAPES, 8, (30, 40, 44))
    memory, time, image = (tmp_path / name for name in ("memory.json", "time.json", "curves.png"))
    given = ["--sizes", "8", "--block-shape", "30", "40", "22", "--minimum-size", "20", "--folder", str(tmp_path)]
    found = task_memory.main([*given, "--json", str(memory)])
    most = {held.stage: held.anonymous for held in found[8]}
    assert {FIRST["forest"], FIRST["dust"], STAGES["dust"], STAGES["joined"]} <= most.keys()
    assert f"| {STAGES['dust']}, level 1 |" in capsys.readouterr().out
    notes = [
        {"stage": FIRST["forest"], "level": 0, "seconds": 2.0},
        {"stage": STAGES["segmentation"], "level": 0, "seconds": 1.0},
    ]
    time.write_text(json.dumps([{"shape": (100, 100, 100), "workers": 1, "notes": notes}]))
    curves = scale_figure.times(json.loads(time.read_text()))
    assert curves["all"] == ([1.0], [3.0])
    assert curves["relabelling"] == ([1.0], [1.0])
    scale_figure.main(["--time", str(time), "--memory", str(memory), "--image", str(image)])
    assert Image.open(image).width > 500


FOREST, GRAPH = scale_model.LEVELS
MODEL = scale_model.Model(
    (8, 8, 8),
    block={FIRST["forest"]: 4.0, FIRST["graph"]: 1.0, STAGES["fragments"]: 0.5, STAGES["segmentation"]: 0.25},
    face=0.125,
    whole={STAGES["tree_fragments"]: 2**-19},
    row={FOREST: 2**-10, GRAPH: 2**-12},
    up={FOREST: 0.25, GRAPH: 0.125},
    falls={FOREST: 0.25, GRAPH: 0.5},
    size={FOREST: 40.0, GRAPH: 50.0},
    peak=1,
)


def test_model_agrees_with_the_simulation_and_its_bounds():
    grid = scale_model._grid((64, 64, 64), MODEL.block_shape)
    cost = scale_model.predict(MODEL, 64.0**3)
    alone = scale_model.simulate(MODEL, grid, 1)
    assert cost["seconds"] == pytest.approx(alone, rel=0.03)
    many = scale_model.simulate(MODEL, grid, 10_000)
    assert cost["path"] <= many <= cost["path"] + 1
    for workers in (4, 32, 256):
        wall = scale_model.simulate(MODEL, grid, workers)
        assert max(many, alone / workers) <= wall <= scale_model.wall_seconds(cost, workers)


def test_model_is_fitted_to_a_run():
    shape, blocks = (32, 32, 32), 64
    voxels = float(np.prod(shape))
    notes = [(stage, 0, seconds) for stage, seconds in MODEL.block.items() for _ in range(blocks)]
    notes += [(STAGES["face"], 0, MODEL.face)] * 144
    for stage, rate in MODEL.whole.items():
        notes += [(stage, 1, rate * voxels / 8)] * 8 + [(stage, 0, rate * voxels)]
    passed = []
    for level, count in enumerate((64, 8, 1)):
        rows = {stage: MODEL.rows(stage, level) * count * (0.75, 0.5, 0)[level] for stage in (FOREST, GRAPH)}
        sizes = {stage: rows[stage] * MODEL.size[stage] for stage in rows}
        passed.append(
            {"pairs": rows[FOREST], "edges": rows[GRAPH], "forest_bytes": sizes[FOREST], "graph_bytes": sizes[GRAPH]}
        )
    for level in (1, 2):
        notes += [(FOREST, level, MODEL.row[FOREST] * passed[level - 1]["pairs"])]
        notes += [(GRAPH, level, MODEL.row[GRAPH] * passed[level - 1]["edges"])]
    keyed = [{"stage": stage, "level": level, "seconds": seconds, "peak": 1} for stage, level, seconds in notes]
    found = scale_model.fit({"shape": shape, "block_shape": (8, 8, 8), "notes": keyed, "passed": passed})
    for name, expected in vars(MODEL).items():
        assert getattr(found, name) == pytest.approx(expected), name


def test_too_small_a_disk_is_reported_before_the_run(tmp_path: Path, base: Path):
    shape = (2**16, 2**16, 2**16)
    with pytest.raises(InputError, match="GB are needed in"):
        scale.measure(tissue.Tissue(base, shape), (1024, 1024, 1024), 1, None, tmp_path, whole=False)
    assert not list(tmp_path.iterdir())


def test_real_blocks_are_identical(tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    if not (real_data / verify_large.RAW).exists():
        pytest.skip(f"{verify_large.RAW} is not in {real_data}")
    given = ["--data", str(real_data), "--folder", str(tmp_path), "--box", "100:132,100:164,200:264", "--workers", "1"]
    verify_large.main([*given, "--block-shapes", "20,30,40", "32,64,17"])
    said = capsys.readouterr().out
    assert "identical: fragments, merge tree, segmentation" in said
    assert [path.name for path in tmp_path.iterdir()] == ["prediction"]
    monkeypatch.setattr(verify_large, "compare", lambda one, other: ["the fragments differ"])
    with pytest.raises(SystemExit):
        verify_large.main([*given, "--block-shapes", "20,30,40", "32,64,17"])
    assert capsys.readouterr().out.count("tasks on") == said.count("tasks on") - 1, "predicted once"


def test_results_that_differ_are_named(tmp_path: Path):
    for name, value in (("a", 1), ("b", 2)):
        for volume, voxel in (("fragments", value), ("segmentation", 0)):
            save_volume(tmp_path / name / f"{volume}.zarr", np.full((2, 2, 2), voxel, np.uint64), voxel_size=(1, 1, 1))
        names = np.array([1, 2], np.uint64)
        tree = MergeTree(names, np.full(2, 4), names[None], np.array([0.5 * value], np.float32), "mean")
        save_merge_tree(str(tmp_path / name / "merge_tree.h5"), tree, {}, overwrite=False)
    assert verify_large.compare(tmp_path / "a", tmp_path / "b") == [
        "the fragments of a and b differ in 8 voxels", "the scores of the merge trees of a and b differ"
    ]  # fmt: skip


def test_commands_with_files_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given = [
        "--shape",
        "24,24,24",
        "--base",
        str(SIZE),
        "--block-shape",
        "16,16,16",
        "--workers",
        "1",
        "--repeats",
        "1",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path))
        found = scale_files.main([*given, "--folder", str(tmp_path)])
    assert found.keys() == {"whole", "blocks, 1 workers"}
    assert min(map(sum, found.values())) > 0
    assert "× its CPU seconds" in capsys.readouterr().out
