"""The benchmarks run, on volumes far too small to time."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import against, child, exports, fragments, malis_speed, measure, peers, proofreading, same_arrays, start
from benchmarks.__main__ import main
from benchmarks.__main__ import measure as measure_concern
from benchmarks.workload import Workload, load_workload, mirror

from clew.synthetic.volume import synthesize
from clew.training.malis import malis_weights
from clew.volumes.save import save_volume
from clew.volumes.tables import save_table

pytestmark = pytest.mark.compiled
SIZE = 32


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return load_workload(SIZE, cache=tmp_path_factory.mktemp("cache"))


def test_workload_is_affinities_of_its_labels(work: Workload):
    assert work.affinities.shape == work.levels.shape == (3, SIZE, SIZE, SIZE)
    assert work.affinities.min() >= 0
    assert work.affinities.max() <= 1
    for axis, channel in enumerate(work.affinities):
        assert (np.take(channel, 0, axis) == 0).all()
        same = np.diff(work.labels, axis=axis) == 0
        inner = np.delete(channel, 0, axis)
        assert inner[same].mean() > inner[~same].mean() + 0.3


def test_workload_is_kept(work: Workload):
    again = load_workload(SIZE, cache=work.files.parent)
    np.testing.assert_array_equal(again.affinities, work.affinities)
    np.testing.assert_array_equal(again.labels, work.labels)


def test_mirror_continues_without_a_step():
    labels = np.arange(24, dtype=np.uint64).reshape(2, 3, 4)
    larger = mirror(labels, 9)
    assert larger.shape == (9, 9, 9)
    np.testing.assert_array_equal(larger[:2, :3, :4], labels)
    np.testing.assert_array_equal(larger[2:4, :3, :4], labels[::-1])
    np.testing.assert_array_equal(larger[4:6, :3, :4], labels)


@pytest.mark.parametrize("concern", ["fragments", "graph", "malis"])
def test_every_concern_gives_positive_figures(work: Workload, concern: str):
    for table in measure_concern(concern, work, repeats=1):
        assert all(row.figure is not None and row.figure > 0 for row in table.rows)
        assert table.markdown().count("\n") == len(table.rows) + 4


def test_malis_pair_by_pair_gives_the_same_weights(work: Workload):
    affinities, labels = malis_speed._crop(work, 8)
    for slow, fast in zip(
        malis_speed.weights_pair_by_pair(affinities, labels), malis_weights(affinities, labels), strict=True
    ):
        np.testing.assert_allclose(slow, fast, rtol=1e-6)
        assert slow.any()


def test_training_is_timed_with_and_without_malis(work: Workload):
    small = dataclasses.replace(work, labels=work.labels[:16, :16, :16])
    (table,) = measure_concern("training", small, repeats=1)
    figures = {row.job: row.figure for row in table.rows}
    assert figures["squared error"] > 0
    assert figures["squared error and MALIS"] > 0
    assert 0 < figures["share of a step waiting for MALIS"] < 100


def test_a_chain_cuts_its_tree_ten_times(work: Workload):
    assert peers.count_segmentations(peers.CHAINS["clew quantile"](work.affinities)) == 10


def test_peer_finds_about_as_many_segments(work: Workload):
    pytest.importorskip("waterz", reason="waterz is a dependency of development only")
    ours, theirs = (
        len(np.unique(list(peers.CHAINS[name](work.affinities))[-1])) for name in ("clew mean", "waterz mean")
    )
    assert 0.5 < ours / theirs < 2


def test_a_child_process_measures_itself(work: Workload):
    spent = child.measure_child("affinity watershed", work.files)
    assert spent.count == SIZE**3
    assert spent.peak >= 0


def test_a_job_that_fails_is_not_timed():
    with pytest.raises(start.subprocess.CalledProcessError):
        start._run(["-c", "raise SystemExit(3)"])


def test_rows_say_whether_the_target_is_met():
    assert measure.Row("a", 1.0, "s", 2.0).verdict == "✓"
    assert measure.Row("a", 3.0, "s", 2.0).verdict == "✗"
    assert measure.Row("a", 3.0, "s").verdict == measure.Row("a", None, "s", 2.0).verdict == ""
    assert "| not available |" in measure.Table("t", [measure.Row("a", None, "")]).markdown()


def test_command_writes_tables_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "figures.json"
    main(["--size", "16", "--repeats", "1", "--only", "malis", "--json", str(target)])
    assert "ns/voxel" in capsys.readouterr().out
    assert json.loads(target.read_text())[0]["rows"][0]["unit"] == "ns/voxel"


def test_comparison_of_fragments_finds_the_truth(work: Workload):
    lines = list(fragments.compare(work.levels, work.labels, fragments.ways(50), slice(None)))
    assert len(lines) == len(fragments.ways(50)) * len(fragments.SCORES)
    assert min(line.scores.voi_sum for line in lines) < 1
    assert fragments.markdown(lines).count("**") == 2 * sum(
        line.scores.voi_sum == min(other.scores.voi_sum for other in lines) for line in lines
    )


def test_results_that_differ_in_one_voxel_are_told_apart(tmp_path: Path):
    found = []
    for value in (0, 0, 1):
        folder = tmp_path / str(len(found))
        labels = np.zeros((4, 4, 4), np.uint64)
        labels[3, 3, 3] = value
        save_volume(folder / "segmentation.zarr", labels, voxel_size=(8, 8, 8), attributes={"run": len(found)})
        save_table(folder / "merge_tree.h5", {"scores": np.full(2, value)})
        found.append(same_arrays.hashes_in(folder))
    assert same_arrays.compare(found[0], found[1]) == []
    names = ("segmentation.zarr/s0", "merge_tree.h5:scores")
    assert same_arrays.compare(found[0], found[2]) == [f"different: {name}" for name in names]
    assert same_arrays.compare(found[0], {}) == [f"missing: {name}" for name in found[0]]


def test_intervals_tell_a_slower_job_from_noise():
    rng = np.random.default_rng(0)
    before = 0.1 * np.exp(rng.normal(0, 0.05, 40))
    ratio, low, high = against.interval(list(before), list(1.1 * before * np.exp(rng.normal(0, 0.02, 40))))
    assert low < ratio < high
    assert against.SLOWER < low < 1.1 < high < 1.13
    assert against.interval(list(before), list(before))[1] <= against.SLOWER


def test_each_export_has_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_volume(f"{tmp_path}/a.h5:{exports.DATASET}", synthesize((16, 24, 24)).labels, voxel_size=exports.SIZE)
    exports.main(["--data", f"{tmp_path}/a.h5", "--shape", "16", "24", "24", "--repeats", "1"])
    rows = [line.split("|")[1:4] for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert len(rows) == 13
    assert all(float(seconds) > 0 and float(kilobytes) > 0 for _, seconds, kilobytes in rows[1:])


def test_proofreading_is_measured_on_its_own_tables(tmp_path: Path):
    proofreading.write_tables(tmp_path, 4)
    table = proofreading.measure(tmp_path, 4)
    assert table.title == "Proofreading 64 fragments, 144 contacts"
    assert [row.job for row in table.rows][-2:] == ["second J", "a chunk"]
