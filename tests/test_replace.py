"""Outputs that are written beside their name: signals, kills, and what they leave."""

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import clew
from clew.errors import InputError
from clew.replace import SILENCE, written_beside, written_whole

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from clew.replace import written_beside
with written_beside(Path(sys.argv[1]), overwrite=True) as partial:
    partial.mkdir()
    (partial / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED_WHILE_REPLACING = """
import os, signal, sys
from pathlib import Path
from clew import replace
rename, calls = os.rename, []
def killed(one, other):
    rename(one, other)
    os.kill(os.getpid(), signal.SIGKILL)
os.rename = killed
with replace.written_beside(Path(sys.argv[1]), overwrite=True) as partial:
    partial.mkdir()
"""
INTERRUPTED_AT_EACH_WRITE = """
import itertools, signal, sys
import numpy as np
from clew.volumes.formats.hdf5 import OutputFile
from clew.volumes import save_table, save_volume

write, left = OutputFile.write, 0

def interrupted(self, content):
    global left
    left -= 1
    if left == 0:
        signal.raise_signal(signal.SIGINT)
    return write(self, content)

OutputFile.write = interrupted
data = np.random.default_rng(0).integers(0, 255, (130, 70, 70), np.uint8)
for number in itertools.count(1):
    left = number
    try:
        if sys.argv[2] == "volume":
            save_volume(sys.argv[1], data, voxel_size=(8, 8, 8))
        else:
            save_table(sys.argv[1], {"one": np.arange(5000), "other": np.arange(3)}, {"stage": "none"})
    except KeyboardInterrupt:
        continue
    break
print(number)
"""


def script(text: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("what", ["volume", "table"])
def test_signals_take_effect_between_the_calls_of_hdf5(tmp_path, what):
    done = script(INTERRUPTED_AT_EACH_WRITE, tmp_path / "a.h5", what)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 4, "no write was interrupted"
    assert names(tmp_path) == ["a.h5"]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "a.zarr"
    assert script(KILLED_WHILE_WRITING, path).returncode == -signal.SIGKILL
    assert script(KILLED_WHILE_WRITING, tmp_path / "other.zarr").returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    with written_beside(path) as partial:
        partial.mkdir()
    left = names(tmp_path)
    assert left[1:] == ["a.zarr"]
    assert left[0].startswith(".other.zarr.partial-")


def test_what_a_live_writer_is_writing_stays(tmp_path):
    path = tmp_path / "a.txt"
    with written_beside(path, overwrite=True) as mine:
        mine.write_text("mine")
        with written_beside(path) as other:
            other.write_text("other")
        assert mine.read_text() == "mine"
        assert path.read_text() == "other"
    assert path.read_text() == "mine"
    assert names(tmp_path) == ["a.txt"]


def test_an_output_that_a_killed_writer_moved_away_is_put_back(tmp_path):
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "zarr.json").write_text("old")
    assert script(KILLED_WHILE_REPLACING, path).returncode == -signal.SIGKILL
    assert not path.exists()
    with pytest.raises(InputError, match="exists already"), written_beside(path):
        pass
    assert (path / "zarr.json").read_text() == "old"
    assert names(tmp_path) == ["a.zarr"]


def test_what_another_machine_left_is_removed_only_after_long_silence(tmp_path):
    path, long_ago = tmp_path / "a.txt", time.time() - SILENCE - 1
    young, old, fed = (tmp_path / f".a.txt.partial-another0-{number}" for number in range(3))
    for folder in (young, old, fed):
        folder.mkdir()
        (folder / "lock").touch()
        (folder / "a.txt").write_text("half")
    for folder in (old, fed):
        os.utime(folder / "a.txt", (long_ago, long_ago))
        os.utime(folder / "lock", (long_ago, long_ago))
        os.utime(folder, (long_ago, long_ago))
    (fed / "a.txt").write_text("three quarters")
    with written_beside(path) as partial:
        partial.write_text("whole")
    assert names(tmp_path) == [young.name, fed.name, "a.txt"]


def test_an_empty_hidden_folder_is_removed(tmp_path):
    """A writer killed between making its folder and its lock, or between removing them."""
    with written_beside(tmp_path / "a.txt") as partial:
        partial.write_text("whole")
        empty = partial.parent.with_name(f"{partial.parent.name[:-8]}00000000")
        empty.mkdir()
    with written_beside(tmp_path / "a.txt", overwrite=True) as partial:
        partial.write_text("again")
    assert names(tmp_path) == ["a.txt"]


def test_a_file_of_a_run_is_whole_or_the_earlier_one(tmp_path):
    path = tmp_path / "tables" / "0-0-0.npz"
    for text in ("first", "second"):
        with written_whole(path) as partial:
            partial.write_text(text)
            assert not path.exists() or path.read_text() == "first"
    with pytest.raises(OSError, match="disk"), written_whole(path) as partial:
        partial.write_text("third")
        raise OSError("disk")
    assert path.read_text() == "second"
    assert names(path.parent) == ["0-0-0.npz"]


def test_many_may_write_one_file_of_a_run_at_once(tmp_path):
    with written_whole(tmp_path / "a.json") as mine, written_whole(tmp_path / "a.json") as other:
        mine.write_text("mine")
        other.write_text("other")
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "mine"


STOPPED = """
import signal, sys
from clew import cli
from clew.volumes.formats.chunked import TensorStoreArray
from clew.volumes.formats.hdf5 import WrittenDataset
number = getattr(signal, sys.argv[1])
# under nohup, or in the background of a shell, a signal may be ignored, and stays so
signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
for kind in (TensorStoreArray, WrittenDataset):
    kind.__setitem__ = lambda self, selection, block: signal.raise_signal(number)
cli.main(["synthesize", sys.argv[2], sys.argv[2].replace("raw", "labels"), "--shape", "20,20,20"])
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("output", ["raw.zarr", "raw.h5:volume"])
def test_a_stopped_command_says_so_in_one_line_and_leaves_nothing(tmp_path, name, output):
    done = script(STOPPED, name, tmp_path / output)
    said = "interrupted" if name == "SIGINT" else f"stopped by {name}"
    assert (done.returncode, done.stderr) == (128 + getattr(signal, name), f"clew: {said}\n")
    assert names(tmp_path) == []


WRITES_UNDER_A_LIMIT = """
import json, resource, signal, sys
from pathlib import Path
import numpy as np
from clew.errors import InputError
from clew.evaluation.scores import evaluate
from clew.pipeline._curve import Measured, save_scores
from clew.pipeline.plan import write_run_file
from clew.pipeline._declare import Record
from clew.pipeline._run_folder import RunFolder
from clew.view.figures import save_figure, threshold_figure
from clew.view.report import Report, write_report
from clew.planning.choices import Cost, Plan

folder = Path(sys.argv[1])
curve = [(0.5, evaluate(np.ones((2, 2, 2), np.uint64), np.ones((2, 2, 2), np.uint64)))]
figure = threshold_figure([0, 1], [1, 2], [2, 1])
run = RunFolder(folder / "network.pt", {"parameters": {}}, overwrite=False, tensorboard=False)
plan = Plan({"train": {}, "predict": {}, "evaluate": {}}, Cost(1, 1.0, 1, 1, 1))
writers = {
    "scores.json": lambda path: save_scores(Measured(curve, None), path, Record()),
    "plot.png": lambda path: save_figure(figure, path),
    "report.html": lambda path: write_report(path, Report("a", {})),
    "plan.toml": lambda path: write_run_file(path, plan, ["raw.h5,labels.h5"], None),
    "network.training": lambda path: run.begin(),
}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
for name, write in writers.items():
    try:
        write(folder / name)
        print(name, "was written")
    except InputError:
        pass
"""


def test_no_text_or_picture_is_left_half_written(tmp_path):
    done = script(WRITES_UNDER_A_LIMIT, tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


WRITING = {"write_text", "write_bytes", "savefig"}
BY_THEMSELVES = {"lock.py", "hdf5.py", "batch.py"}
"""Modules that write beside the name in a way of their own, or no output: the keys of a run."""


def written_in_place(tree: ast.AST, beside: bool = False) -> Iterator[str]:
    """Calls that write a file outside of a `with written_beside(...)` or `written_whole(...)` block."""
    if isinstance(tree, ast.With):
        beside = beside or any(ast.unparse(item.context_expr).startswith("written_") for item in tree.items)
    if isinstance(tree, ast.Call) and not beside:
        method, text = getattr(tree.func, "attr", ""), ast.unparse(tree)
        opens = ast.unparse(tree.func).endswith("open") and any(
            repr(mode) in text for mode in ("w", "wb", "x", "xb", "w+b")
        )
        if opens or (method in WRITING and "partial" not in text and "(buffer" not in text):
            yield text
    for child in ast.iter_child_nodes(tree):
        yield from written_in_place(child, beside)


def test_every_output_is_written_beside_its_name():
    found = {
        f"{path.name}: {call}"
        for path in Path(clew.__file__).parent.rglob("*.py")
        if path.name not in BY_THEMSELVES
        for call in written_in_place(ast.parse(path.read_text()))
    }
    assert found == set()
