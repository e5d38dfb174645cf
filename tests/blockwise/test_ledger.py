"""The ledger: what is done is not done again, what differs is refused, and two runs cannot mix."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from clew.blockwise.engine import SAME_ERRORS, TasksFailedError, run_by_ledger
from clew.blockwise.ledger import Ledger
from clew.blockwise.store import TableFolder
from clew.blockwise.tasks import Task
from clew.errors import InputError
from clew.lock import LostLockError


def _copy(store, *, number, broken=()):
    if number in broken:
        raise ValueError(f"chunk {number if len(broken) == 1 else ''} is unreadable")
    before = store.load(("number", number - 1))["value"] if number else np.zeros(1)
    store.save(("number", number), {"value": before + 1})


def chain(count, broken=()):
    reads = [() if number == 0 else (("number", number - 1),) for number in range(count)]
    return [
        Task(partial(_copy, number=number, broken=broken), reads[number], (("number", number),))
        for number in range(count)
    ]


def separate(count, broken):
    return [Task(partial(_free, number=number, broken=broken), (), (("free", number),)) for number in range(count)]


def _free(store, *, number, broken):
    if number in broken:
        raise ValueError("the chunk is unreadable")
    store.save(("free", number), {"value": np.array([number])})


def run(folder, tasks, plan, *, restart=False, wave=2):

    ledger = Ledger(folder)
    with ledger.held(), ThreadPoolExecutor(2) as pool:
        ledger.begin(plan, restart=restart)
        return run_by_ledger(tasks, TableFolder(folder / "tables"), ledger, pool, wave=wave)


def test_a_run_of_a_version_without_an_option_goes_on(tmp_path: Path):
    run(tmp_path / "run", chain(2), {"size": 1})
    assert run(tmp_path / "run", chain(2), {"size": 1, "new": None}).tasks == 0
    with pytest.raises(InputError, match=r"begun with other size \(1, now 2\)"):
        run(tmp_path / "run", chain(2), {"size": 2, "new": None})


def test_a_second_run_does_only_what_is_left(tmp_path: Path):
    with pytest.raises(TasksFailedError, match="1 of the tasks failed and 2 wait for them"):
        run(tmp_path / "run", chain(6, broken=(3,)), {"size": 1})
    ledger = Ledger(tmp_path / "run")
    assert sorted(ledger.done()) == ["number/0", "number/1", "number/2"]
    (failure,) = ledger.failures()
    assert failure.error == "ValueError: chunk 3 is unreadable"
    assert failure.tasks == ("number/3",)
    assert run(tmp_path / "run", chain(6), {"size": 1}).tasks == 3
    assert TableFolder(tmp_path / "run/tables").load(("number", 5))["value"] == 6
    assert ledger.failures() == []
    assert run(tmp_path / "run", chain(6), {"size": 1}).tasks == 0


def test_what_stages_take_is_added_up_over_the_runs(tmp_path: Path):
    with pytest.raises(TasksFailedError):
        run(tmp_path / "run", chain(6, broken=(3,)), {"size": 1})
    ledger = Ledger(tmp_path / "run")
    first = ledger.spent()["number"]
    assert first.tasks == 3
    run(tmp_path / "run", chain(6), {"size": 1})
    whole = ledger.spent()["number"]
    assert whole.tasks == 6
    assert whole.seconds > first.seconds > 0
    assert whole.memory >= first.memory > 1 << 20
    run(tmp_path / "run", chain(6), {"size": 1})
    assert ledger.spent()["number"] == whole, "nothing was done"
    run(tmp_path / "run", chain(2), {"size": 2}, restart=True)
    assert ledger.spent()["number"].tasks == 2
    (tmp_path / "run" / "spent.json").write_text("{")
    assert ledger.spent() == {}


def test_tasks_that_do_not_need_a_failed_one_are_done(tmp_path: Path):
    with pytest.raises(TasksFailedError, match="1 of the tasks failed and 0 wait"):
        run(tmp_path / "run", separate(9, broken=(2,)), {})
    done, failed = Ledger(tmp_path / "run").counts()
    assert (done["free"], failed["free"]) == (8, 1)


def test_repeated_errors_of_one_kind_stop_the_run(tmp_path: Path):
    with pytest.raises(TasksFailedError, match=f"stopped after {SAME_ERRORS} tasks failed in the same way: ValueError"):
        run(tmp_path / "run", separate(100, broken=range(100)), {})
    _, failed = Ledger(tmp_path / "run").counts()
    assert SAME_ERRORS <= failed["free"] <= SAME_ERRORS + 2


def test_another_plan_is_refused_and_restart_discards(tmp_path: Path):
    run(tmp_path / "run", chain(2), {"size": 1, "score": "mean"})
    with pytest.raises(InputError, match=r"begun with other size \(1, now 2\): .* --restart"):
        run(tmp_path / "run", chain(2), {"size": 2, "score": "mean"})
    assert run(tmp_path / "run", chain(2), {"size": 2, "score": "mean"}, restart=True).tasks == 2
    assert Ledger(tmp_path / "run").plan() == {"size": 2, "score": "mean"}


def test_a_folder_with_other_files_is_refused(tmp_path: Path):
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(InputError, match="holds other files"):
        run(tmp_path, chain(2), {})
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_two_runs_cannot_hold_a_folder(tmp_path: Path):
    with Ledger(tmp_path / "run").held(), pytest.raises(InputError, match="another run is at work"):
        run(tmp_path / "run", chain(2), {})
    assert run(tmp_path / "run", chain(2), {}).tasks == 2


def test_a_run_that_lost_its_folder_writes_no_mark(tmp_path: Path):
    ledger = Ledger(tmp_path)
    with ledger.held(), ThreadPoolExecutor(1) as pool:
        ledger.begin({}, restart=False)
        (tmp_path / "tables").mkdir()
        owner = json.loads((tmp_path / "lock.json").read_text())
        (tmp_path / "lock.json").write_text(json.dumps(owner | {"token": "new"}))
        with pytest.raises(LostLockError):
            run_by_ledger(chain(2), TableFolder(tmp_path / "tables"), ledger, pool, wave=1)
    assert ledger.done() == set()
    assert json.loads((tmp_path / "lock.json").read_text())["token"] == "new"


@pytest.mark.parametrize("content", ["", "{", "[1]", "7", "null", "[" * 9000])
def test_a_damaged_plan_is_reported_in_one_line_and_nothing_is_removed(tmp_path: Path, content: str):
    run(tmp_path, chain(2), {"size": 1})
    (tmp_path / "plan.json").write_text(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"plan.json is damaged"):
        run(tmp_path, chain(2), {"size": 1})
    assert sorted(tmp_path.rglob("*")) == before
