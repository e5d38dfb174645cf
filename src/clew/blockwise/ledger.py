"""What has been done: a folder that says which tasks of a run are finished, which failed and why, and who is at work.

`plan.json` holds what decides the result; `done/STAGE/TASK` is there when all that the task writes is; `failed/STAGE/TASK`
holds an error; `doubted/STAGE/TASK` was done, and what it wrote is to be looked at again; `finished.json` holds what is
recorded with the outputs; `lock.json` names the run that may write. Everything is written beside and renamed.
"""

import contextlib
import json
import os
import shutil
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clew.blockwise.executor import Task
from clew.blockwise.store import Key
from clew.errors import InputError, UnfinishedError

HEARTBEAT = 10.0
"""Seconds between signs of life of a run."""
SILENCE = 60.0
"""Seconds without one after which a run on another machine counts as dead."""


class LostLockError(UnfinishedError):
    """Another run has taken the folder over; nothing more may be written."""


@dataclass(frozen=True)
class Failure:
    """An error and the tasks that it stopped."""

    error: str
    tasks: tuple[str, ...]


class Ledger:
    """The ledger in a folder; can be pickled and sent to workers.

    Parameters
    ----------
    folder
        Folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = ""

    def begin(self, plan: Mapping[str, Any], *, restart: bool) -> None:
        """Note the plan of a new run, or check that a run that is to go on has the same one.

        Raises
        ------
        InputError
            Where the folder holds something else, or a run with another plan.
        """
        plan = json.loads(json.dumps(plan, default=str))
        file = self.folder / "plan.json"
        if self.folder.exists() and any(self.folder.iterdir()) and not file.exists() and not self._locked():
            raise InputError(f"{self.folder} holds other files: give a folder that is new, or of an earlier run")
        with contextlib.suppress(FileNotFoundError):
            earlier = json.loads(file.read_text())
            if earlier != plan and not restart:
                raise InputError(
                    f"{self.folder} was begun with other {_differences(earlier, plan)}: "
                    "give the same again, another folder, or --restart to discard what is there"
                )
        if restart:
            self._discard()
        if not file.exists():
            _write(file, plan)

    @property
    def begun(self) -> bool:
        """Whether the folder holds a run."""
        return (self.folder / "plan.json").exists()

    def plan(self) -> dict[str, Any]:
        """The plan of the run in the folder."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "plan.json").read_text())
        except FileNotFoundError:
            raise InputError(f"there is no run in {self.folder} (it has no plan.json)") from None
        return found

    @contextlib.contextmanager
    def held(self) -> Iterator["Ledger"]:
        """Keep other runs out of the folder, as long as the block lasts.

        Raises
        ------
        InputError
            While another run is alive in it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.token = uuid.uuid4().hex
        self._take()
        try:
            yield self
        finally:
            with contextlib.suppress(OSError, LostLockError):
                self.check()
                (self.folder / "lock.json").unlink()

    def beat(self) -> None:
        """Give a sign of life."""
        self.check()
        _write(self.folder / "lock.json", self._owner())

    def check(self) -> None:
        """Refuse to go on after another run has taken the folder over."""
        found = _read(self.folder / "lock.json")
        if found is None or found["token"] != self.token:
            raise LostLockError(f"another run has taken {self.folder} over")

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
        """Let the next run look at what all finished tasks wrote, and do those again of which something is not whole."""
        for name in self.done():
            place = self.folder / "doubted" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "done" / name).replace(place)

    def doubted(self) -> set[str]:
        """Names of the tasks whose outputs are to be looked at."""
        return self._names("doubted")

    def finish(self, record: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        """Note what is recorded with the outputs, and the folders of their arrays; gives what was recorded the first time."""
        found = self.finished()
        if found is None:
            found = json.loads(json.dumps({"record": record, "outputs": outputs}, default=str))
            _write(self.folder / "finished.json", found)
        return dict(found["record"])

    def finished(self) -> dict[str, Any] | None:
        """The record and the outputs of a finished run; None of one that is not."""
        found = _read(self.folder / "finished.json")
        return found if isinstance(found, dict) and found.keys() == {"record", "outputs"} else None

    def note_failure(self, task: Task, error: str) -> None:
        """Keep the error of a task."""
        _write(self._place("failed", task), {"error": error, "time": time.time()})

    def forget_failures(self) -> None:
        """Let failed tasks be tried again."""
        shutil.rmtree(self.folder / "failed", ignore_errors=True)

    def failures(self) -> list[Failure]:
        """Distinct errors, the most frequent first, with the tasks that they stopped."""
        found: dict[str, list[str]] = {}
        for path in sorted((self.folder / "failed").glob("*/*.json")):
            content = _read(path)
            if content is not None:
                found.setdefault(content["error"], []).append(f"{path.parent.name}/{path.stem}")
        failures = [Failure(error, tuple(tasks)) for error, tasks in found.items()]
        return sorted(failures, key=lambda failure: -len(failure.tasks))

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """How many tasks of each stage are done, and have failed."""
        done, failed = (Counter(name.partition("/")[0] for name in self._names(kind)) for kind in ("done", "failed"))
        return done, failed

    def in_use(self) -> bool:
        """Whether a run is alive in the folder."""
        owner = _read(self.folder / "lock.json")
        return owner is not None and _alive(owner)

    def _names(self, kind: str) -> set[str]:
        stages = (self.folder / kind).glob("*")
        return {f"{stage.name}/{path.name.removesuffix('.json')}" for stage in stages for path in stage.iterdir()}

    def _place(self, kind: str, task: Task) -> Path:
        path = self.folder / kind / task_name(task.writes[0])
        return path.with_name(f"{path.name}.json") if kind == "failed" else path

    def _take(self) -> None:
        lock = self.folder / "lock.json"
        try:
            with lock.open("x") as file:
                json.dump(self._owner(), file)
            return
        except FileExistsError:
            owner = _read(lock)
        if owner is not None and _alive(owner):
            at = f"process {owner['process']} on {owner['host']}"
            raise InputError(f"another run is at work in {self.folder} ({at}): wait for it, or stop it")
        _write(lock, self._owner())
        self.check()

    def _locked(self) -> bool:
        return [path.name for path in self.folder.iterdir()] == ["lock.json"]

    def _owner(self) -> dict[str, Any]:
        return {"token": self.token, "process": os.getpid(), "host": socket.gethostname(), "time": time.time()}

    def _discard(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "lock.json":
                path.unlink()


def task_name(key: Key) -> str:
    """Name of a task by the first key that it writes: its stage, then the rest."""
    return f"{key[0]}/{'-'.join(map(str, key[1:])) or 'all'}"


def _alive(owner: Mapping[str, Any]) -> bool:
    if owner["host"] != socket.gethostname():
        return bool(time.time() - owner["time"] < SILENCE)
    try:
        os.kill(owner["process"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _differences(earlier: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    names = [name for name in {**earlier, **plan} if earlier.get(name) != plan.get(name)]
    return ", ".join(f"{name} ({earlier.get(name)}, now {plan.get(name)})" for name in names)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    beside.replace(path)
