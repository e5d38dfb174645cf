"""`clew.Edits`: the file forgets nothing, whatever happens to the process; edits come back at any threshold and place."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import clew
from clew.errors import InputError
from clew.pipeline import _edit_log
from clew.pipeline._edit_log import EditLog


@pytest.fixture
def run():
    """Six fragments in a row, the middle contact weak."""
    affinities = np.full((3, 1, 1, 12), 230, np.uint8)
    affinities[2, 0, 0, 6] = 150
    fragments = np.repeat(np.arange(1, 7, dtype=np.uint64), 2).reshape(1, 1, 12)
    graph = clew.build_region_graph(affinities, fragments)
    return graph, clew.agglomerate(graph), fragments


def at(x: int) -> tuple[int, int, int]:
    return 0, 0, x


def test_edits_undo_redo_and_come_back(run, tmp_path: Path):
    with clew.Edits(tmp_path / "e.sqlite", *run, user="ada") as edits:
        assert edits.apply().lookup.tolist() == [1] * 6
        edits.split([at(0), at(2)], [at(11)], comment="two neurites")
        assert edits.apply().lookup.tolist() == [1, 1, 1, 4, 4, 4]
        edits.merge(at(0), at(11))
        assert edits.apply().broken == (1,)
        assert edits.undo() == 2
        assert edits.undo() == 1
        assert edits.apply().lookup.tolist() == [1] * 6
        assert edits.redo() == 1
    with clew.Edits(tmp_path / "e.sqlite", *run) as again:
        assert again.apply().lookup.tolist() == [1, 1, 1, 4, 4, 4]
        assert again.apply(0.0).lookup.tolist() == [1, 1, 3, 4, 5, 6]
        again.merge(at(8), at(0))
        with pytest.raises(InputError, match="nothing to redo"):
            again.redo()
        again.export(tmp_path / "history.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["split", "merge", "undo", "undo", "redo", "merge"]
    assert (lines[0]["user"], lines[0]["comment"], lines[0]["content"]["cut"]) == ("ada", "two neurites", [[3, 4]])
    assert all(line["time"].endswith("+00:00") for line in lines)


def test_nothing_can_be_changed_or_deleted(run, tmp_path: Path):
    with clew.Edits(tmp_path / "e.sqlite", *run) as edits:
        edits.merge(at(0), at(11))
    database = sqlite3.connect(tmp_path / "e.sqlite")
    for statement in ("UPDATE edits SET user = 'x'", "DELETE FROM edits"):
        with pytest.raises(sqlite3.IntegrityError, match="only added"):
            database.execute(statement)


def test_one_writes_and_others_read_along(run, tmp_path: Path):
    with clew.Edits(tmp_path / "e.sqlite", *run) as edits:
        with pytest.raises(InputError, match=r"process \d+ on .* since 20.*--read-only"):
            clew.Edits(tmp_path / "e.sqlite", *run)
        with clew.Edits(tmp_path / "e.sqlite", *run, read_only=True) as reader:
            edits.split([at(0)], [at(11)])
            assert reader.apply().lookup.tolist() == [1, 1, 1, 4, 4, 4]
            with pytest.raises(InputError, match="only looked at here.*nothing was changed"):
                reader.merge(at(0), at(11))
    with pytest.raises(InputError, match="not there"):
        clew.Edits(tmp_path / "none.sqlite", *run, read_only=True)


def test_marks_are_kept_and_a_changed_segment_is_not_done(run, tmp_path: Path):
    with clew.Edits(tmp_path / "e.sqlite", *run) as edits:
        edits.split([at(0)], [at(11)])
        edits.mark_done(at(3))
        edits.mark_seen(at(7), at(5))
        assert (edits.done(), edits.seen()) == ({1}, {(3, 4)})
        edits.merge(at(0), at(11))
        assert edits.done() == set(), "it is another segment now"
        assert edits.undo() == 4, "undo passes over marks"
    with clew.Edits(tmp_path / "e.sqlite", *run) as again:
        assert (again.done(), again.seen()) == ({1}, {(3, 4)})
        again.mark_done(at(0), done=False)
        assert again.done() == set()
        assert again.undo() == 1
        assert again.apply().lookup.tolist() == [1] * 6


@pytest.mark.parametrize("voxel", [at(12), at(-1), (0, 0), (0, 0, 0.5), "here"])
def test_voxels_that_are_none_are_refused(run, tmp_path: Path, voxel):
    with clew.Edits(tmp_path / "e.sqlite", *run) as edits:
        with pytest.raises(InputError, match="voxel"):
            edits.merge(at(0), voxel)
        assert edits.history() == []


def test_a_file_of_others_is_refused(run, tmp_path: Path):
    fragments = run[2]
    clew.Edits(tmp_path / "e.sqlite", *run).close()
    other = clew.build_region_graph(np.full((3, 1, 1, 12), 230, np.uint8), fragments + np.uint64(1))
    with pytest.raises(InputError, match="other fragments"):
        clew.Edits(tmp_path / "e.sqlite", other, clew.agglomerate(other), fragments + np.uint64(1))
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one" * 99)
    with pytest.raises(InputError, match="cannot be used"):
        clew.Edits(tmp_path / "text", *run)


def test_edits_are_carried_by_place(run, tmp_path: Path):
    """The other run has one fragment where edit 2 cuts, and none where edit 3 clicks."""
    affinities = np.full((3, 1, 1, 12), 230, np.uint8)
    others = np.array([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 0], np.uint64).reshape(1, 1, 12)
    graph = clew.build_region_graph(affinities, others)
    with (
        clew.Edits(tmp_path / "old.sqlite", *run) as old,
        clew.Edits(tmp_path / "new.sqlite", graph, clew.agglomerate(graph), others) as new,
    ):
        old.split([at(4)], [at(6)])
        old.split([at(0)], [at(2)])
        old.merge(at(0), at(11))
        missed = new.carry(old)
        assert [number for number, _ in missed] == [2, 3]
        assert new.apply().lookup.tolist() == [1, 1, 3, 3]


def test_edits_constrain_the_next_run(run, tmp_path: Path):
    graph, _, fragments = run
    with clew.Edits(tmp_path / "e.sqlite", *run) as edits:
        edits.split([at(0)], [at(11)])
        edits.split([at(6)], [at(8)])
        edits.merge(at(0), at(8))
        expected, points = edits.apply(), edits.constraints()
    tree = clew.agglomerate(graph, constraints=clew.find_constraints(fragments, points=points))
    lookup = clew.segment_lookup(tree, 1.0)
    for number, split in ((1, (0, 5)), (2, (3, 4))):
        assert (lookup[split[0]] != lookup[split[1]]) == (number not in expected.broken)
    assert lookup[0] == lookup[4]


@pytest.fixture
def dumbbell():
    """Two balls of 255 with a thin bridge, one fragment; a fragment around it, which hangs together with both."""
    z, y, x = np.indices((9, 9, 22))
    balls = [(z - 4) ** 2 + (y - 4) ** 2 + (x - centre) ** 2 <= 12 for centre in (4, 17)]
    inside = balls[0] | balls[1] | ((z == 4) & (y == 4) & (x >= 4) & (x <= 17))
    fragments = np.where(inside, 1 + np.flatnonzero(inside)[0], 1).astype(np.uint64)
    affinities = np.full((3, *inside.shape), 255, np.uint8)
    graph = clew.build_region_graph(affinities, fragments)
    return (graph, clew.agglomerate(graph), fragments), affinities


def test_two_points_divide_a_fragment(dumbbell, tmp_path: Path):
    run, affinities = dumbbell
    one, other, fragment = (4, 4, 4), (4, 4, 17), int(run[2][4, 4, 4])
    with clew.Edits(tmp_path / "e.sqlite", *run) as edits, pytest.raises(InputError, match="with the affinities"):
        edits.split([one], [other])
    with clew.Edits(tmp_path / "e.sqlite", *run, affinities=affinities) as edits:
        edits.split([one], [other], comment="two cells")
        shown, found = edits.read_fragments(), edits.apply()
        pieces = np.unique(shown[run[2] == fragment], return_counts=True)
        assert pieces[0].tolist() == [1 + np.flatnonzero(shown == piece)[0] for piece in pieces[0]]
        assert abs(int(pieces[1][0]) - int(pieces[1][1])) <= 1
        segmentation = clew.relabel(shown, found.fragments, found.lookup)
        assert segmentation[one] != segmentation[other]
        edits.merge(one, other)
        assert edits.apply().broken == (1,)
        edits.undo()
        edits.undo()
        assert edits.apply().fragments.tolist() == run[1].fragments.tolist()
        edits.redo()
    with clew.Edits(tmp_path / "e.sqlite", *run) as again:  # what was divided needs no affinities
        np.testing.assert_array_equal(again.read_fragments(), shown)
        for threshold in (0.0, 0.5, 1.0):
            segment = dict(zip(found.fragments.tolist(), again.apply(threshold).lookup.tolist(), strict=True))
            assert segment[int(shown[one])] != segment[int(shown[other])]


def test_earlier_edits_follow_the_pieces(dumbbell, tmp_path: Path):
    """What was joined with a fragment by place stays joined with the piece there, and a piece can be divided again."""
    run, affinities = dumbbell
    left, right, beside, further = (4, 4, 4), (4, 4, 17), (0, 0, 0), (4, 4, 20)
    with clew.Edits(tmp_path / "e.sqlite", *run, affinities=affinities, threshold=0.0) as edits:
        edits.merge(left, beside)
        edits.split([left], [right])
        edits.split([right], [further])
        found, shown = edits.apply(), edits.read_fragments()
        segment = dict(zip(found.fragments.tolist(), found.lookup.tolist(), strict=True))
        ids = [segment[int(shown[voxel])] for voxel in (left, beside, right, further)]
        assert found.broken == ()
        assert ids[0] == ids[1]
        assert len(set(ids)) == 3


def test_parts_of_a_fragment_that_do_not_touch_are_told_apart(tmp_path: Path):
    fragments = np.array([[[3, 3, 0, 3, 3]]], np.uint64)
    affinities = np.full((3, 1, 1, 5), 255, np.uint8)
    graph = clew.build_region_graph(affinities, fragments)
    with clew.Edits(tmp_path / "e.sqlite", graph, clew.agglomerate(graph), fragments, affinities=affinities) as edits:
        edits.split([at(0)], [at(4)])
        assert edits.apply().lookup.tolist() == [1, 4]
        assert edits.done() == set()


def test_a_done_segment_that_is_divided_is_not_done(dumbbell, tmp_path: Path):
    run, affinities = dumbbell
    with clew.Edits(tmp_path / "e.sqlite", *run, affinities=affinities, threshold=0.0) as edits:
        edits.mark_done((4, 4, 4))
        assert edits.done() == {int(run[2][4, 4, 4])}
        edits.split([(4, 4, 4)], [(4, 4, 17)])
        assert edits.done() == set()
        edits.mark_done((4, 4, 17))
        assert edits.done() == {int(edits.read_fragments()[4, 4, 17])}


def test_a_division_is_carried_to_other_fragments(dumbbell, tmp_path: Path):
    run, affinities = dumbbell
    others = np.where(run[2] == 1, 1, 2).astype(np.uint64)
    graph = clew.build_region_graph(affinities, others)
    with (
        clew.Edits(tmp_path / "old.sqlite", *run, affinities=affinities) as old,
        clew.Edits(tmp_path / "new.sqlite", graph, clew.agglomerate(graph), others, affinities=affinities) as new,
    ):
        old.split([(4, 4, 4)], [(4, 4, 17)])
        assert new.carry(old) == []
        pieces = new.read_fragments()
        np.testing.assert_array_equal(pieces[others == 2], old.read_fragments()[others == 2])


def test_a_network_file_system_gets_a_rollback_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for local, journal in ((True, "wal"), (False, "delete")):
        monkeypatch.setattr(_edit_log, "_is_local", lambda path, local=local: local)
        log = EditLog(tmp_path / f"{journal}.sqlite", {})
        assert log._database.execute("PRAGMA journal_mode").fetchone() == (journal,)
        assert log._database.execute("PRAGMA synchronous").fetchone() == (2,)
        log.close()


WRITER = """
import sys
from pathlib import Path
from clew.pipeline._edit_log import EditLog
log = EditLog(Path(sys.argv[1]), {}, user="writer")
while True:
    print(log.append("merge", {"sources": [[1, 0, 0, 0]] * 200}), flush=True)
"""


@pytest.mark.parametrize("local", [True, False])
def test_what_was_acknowledged_outlives_any_kill(tmp_path: Path, local: bool):
    path, rng, kept = tmp_path / "e.sqlite", np.random.default_rng(int(local)), 0
    code = f"from clew.pipeline import _edit_log\n_edit_log._is_local = lambda path: {local}\n{WRITER}"
    for _ in range(8):
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(float(rng.random()) / 20)
        os.kill(writer.pid, signal.SIGKILL)
        said = [first, *writer.stdout.read().splitlines(keepends=True)]
        writer.wait()
        acknowledged = max(int(line) for line in said if line.endswith("\n"))
        assert acknowledged > kept
        log = EditLog(path, {})
        rows = log.rows()
        assert log._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        log.close()
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))
        assert len(rows) >= acknowledged
        assert all(len(row.content["sources"]) == 200 for row in rows)
        kept = len(rows)
