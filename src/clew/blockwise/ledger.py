"""What has been done: a folder that lists the tasks of a run that are finished.

It also says which failed and why, and which run is at work.

`plan.json` holds what decides the result, `spent.json` what each stage took; `done/STAGE/TASK` is there when all that the
task writes is; `failed/STAGE/TASK` holds an error; `doubted/STAGE/TASK` was done, and what it wrote is to be looked at again;
`finished.json` holds what is recorded with the outputs; `lock.json` names the run that may write. Everything is written beside and
renamed.
"""

import contextlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clew.blockwise.store import task_name
from clew.blockwise.tasks import Task
from clew.errors import InputError
from clew.lock import check_lock, is_held, locked
from clew.replace import written_whole

LOCK, PLAN = "lock.json", "plan.json"
SPENT = "spent.json"
MARKS = ("finished.json", SPENT, "done", "doubted", "failed")
"""What says how far a run is; a restart removes it first, so that nothing counts as done that is removed after."""


@dataclass(frozen=True)
class Failure:
    """An error and the tasks that it stopped."""

    error: str
    tasks: tuple[str, ...]


class Spent(NamedTuple):
    """What the tasks of a stage took.

    Parameters
    ----------
    tasks : int
        That were done.
    seconds : float
        Of all of them together, whichever worker did them.
    memory : int
        Largest resident memory of a worker that did one, in bytes.
    """

    tasks: int = 0
    seconds: float = 0.0
    memory: int = 0

    def and_then(self, more: "Spent") -> "Spent":
        """What both took."""
        return Spent(self.tasks + more.tasks, self.seconds + more.seconds, max(self.memory, more.memory))


class Ledger:
    """The ledger in a folder; it can be pickled and sent to workers.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = ""

    def begin(self, plan: Mapping[str, Any], *, restart: bool, discard: Callable[[], None] = lambda: None) -> None:
        """Note the plan of a new run, or check that a run goes on with the same plan.

        With `restart`, what an earlier run of the folder left is forgotten, and `discard` called to remove what it wrote.

        Raises
        ------
        InputError
            Where the folder holds something else, or a run with another plan; nothing is removed then.
        """
        plan = json.loads(json.dumps(plan, default=str))
        if not self.begun:
            self._refuse_others()
        elif not restart:
            self._refuse_change(plan)
            return
        else:
            self._forget()
            discard()
        _write(self.folder / PLAN, plan)

    @property
    def begun(self) -> bool:
        """Whether the folder holds a run."""
        return (self.folder / PLAN).exists()

    def plan(self) -> dict[str, Any]:
        """The plan of the run in the folder."""
        file = self.folder / PLAN
        if not file.exists():
            raise InputError(f"there is no run in {self.folder} (it has no {PLAN})")
        found = _read(file)
        if not isinstance(found, dict):
            raise InputError(f"{file} is damaged, so the run cannot go on: give another folder")
        return found

    def replace_plan(self, plan: Mapping[str, Any]) -> None:
        """Note another plan for the run in the folder.

        For example where its inputs lie now.
        """
        _write(self.folder / PLAN, json.loads(json.dumps(plan, default=str)))

    @contextlib.contextmanager
    def held(self, waiting: Callable[[str], None] = lambda words: None) -> Iterator["Ledger"]:
        """Keep other runs out of the folder, as long as the block lasts.

        Parameters
        ----------
        waiting : callable
            Called with a message when it takes a while to find out whether another run is alive.

        Raises
        ------
        InputError
            While another run is alive in it.
        """
        with locked(self.folder / LOCK, waiting) as self.token:
            yield self

    def check(self) -> None:
        """Refuse to go on after another run has taken the folder over."""
        check_lock(self.folder / LOCK, self.token)

    def done(self) -> set[str]:
        """Names of the finished tasks."""
        return self._names("done")

    def mark(self, task: Task) -> None:
        """Note that all that a task writes is there."""
        path = self._place("done", task)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        for kind in ("failed", "doubted"):
            self._place(kind, task).unlink(missing_ok=True)

    def unmark(self, task: Task) -> None:
        """Let a finished task be done again by the next run."""
        self._place("done", task).unlink(missing_ok=True)

    def doubt(self) -> None:
        """Let the next run look at what all finished tasks wrote.

        It does those again of which something is not whole.
        """
        for name in self.done():
            place = self.folder / "doubted" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "done" / name).replace(place)

    def doubted(self) -> set[str]:
        """Names of the tasks whose outputs are to be looked at."""
        return self._names("doubted")

    def finish(self, record: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        """Note what is recorded with the outputs, and the folders of their arrays.

        Returns what was recorded the first time.
        """
        found = self.finished()
        if found is None:
            found = json.loads(json.dumps({"record": record, "outputs": outputs}, default=str))
            _write(self.folder / "finished.json", found)
        return dict(found["record"])

    def finished(self) -> dict[str, Any] | None:
        """The record and the outputs of a finished run, None of any other."""
        found = _read(self.folder / "finished.json")
        return found if isinstance(found, dict) and found.keys() == {"record", "outputs"} else None

    def add_spent(self, stages: Mapping[str, Spent]) -> None:
        """Add what stages took to what they took before."""
        before = self.spent()
        added = {stage: before.get(stage, Spent()).and_then(more)._asdict() for stage, more in stages.items()}
        if added:
            _write(self.folder / SPENT, {stage: spent._asdict() for stage, spent in before.items()} | added)

    def spent(self) -> dict[str, Spent]:
        """What each stage took, in the order of their beginning, where it was noted."""
        found = _read(self.folder / SPENT)
        rows = found.items() if isinstance(found, dict) else ()
        return {
            stage: Spent(**row) for stage, row in rows if isinstance(row, dict) and row.keys() == set(Spent._fields)
        }

    def note_failure(self, task: Task, error: str) -> None:
        """Keep the error of a task."""
        _write(self._place("failed", task), {"error": error, "time": time.time()})

    def forget_failures(self) -> None:
        """Let failed tasks be tried again."""
        shutil.rmtree(self.folder / "failed", ignore_errors=True)

    def failures(self) -> list[Failure]:
        """Distinct errors, the most frequent first, with the tasks they stopped."""
        found: dict[str, list[str]] = {}
        for path in sorted((self.folder / "failed").glob("*/*.json")):
            content = _read(path)
            if isinstance(content, dict) and "error" in content:
                found.setdefault(str(content["error"]), []).append(f"{path.parent.name}/{path.stem}")
        failures = [Failure(error, tuple(tasks)) for error, tasks in found.items()]
        return sorted(failures, key=lambda failure: -len(failure.tasks))

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """How many tasks of each stage are done, and have failed."""
        done, failed = (Counter(name.partition("/")[0] for name in self._names(kind)) for kind in ("done", "failed"))
        return done, failed

    def in_use(self) -> bool:
        """Whether a run is alive in the folder."""
        return is_held(self.folder / LOCK)

    def _names(self, kind: str) -> set[str]:
        stages = (self.folder / kind).glob("*")
        return {f"{stage.name}/{path.name.removesuffix('.json')}" for stage in stages for path in stage.iterdir()}

    def _place(self, kind: str, task: Task) -> Path:
        path = self.folder / kind / task_name(task.writes[0])
        return path.with_name(f"{path.name}.json") if kind == "failed" else path

    def _refuse_others(self) -> None:
        if any(not path.name.lstrip(".").startswith(LOCK) for path in self.folder.iterdir()):
            raise InputError(f"{self.folder} holds other files: give a new folder, or one of an earlier run")

    def _refuse_change(self, plan: Mapping[str, Any]) -> None:
        differences = _differences(self.plan(), plan)
        if differences:
            raise InputError(
                f"{self.folder} was begun with other {differences}: "
                "give the same values again, another folder, or --restart to begin anew"
            )

    def _forget(self) -> None:
        for name in MARKS:
            remove(self.folder / name)


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _differences(earlier: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """What differs, as text.

    An option that an earlier version of clew did not have counts as given as it is now.
    """
    earlier = {**plan, **earlier}
    names = [name for name in earlier if earlier[name] != plan.get(name)]
    return ", ".join(f"{name} ({earlier.get(name)}, now {plan.get(name)})" for name in names)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def _write(path: Path, content: Any) -> None:
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")
