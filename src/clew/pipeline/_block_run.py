"""Runs in blocks, in a folder that says how far they are.

They are begun, continued, checked and tried again.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from clew.blockwise.batch import job_script
from clew.blockwise.engine import Work, run_by_ledger
from clew.blockwise.ledger import MARKS, PLAN, Ledger, remove
from clew.blockwise.tasks import Task, stages_of
from clew.blockwise.worker_options import Workers
from clew.blockwise.workers import started
from clew.errors import InputError
from clew.network.bundled import bundled_names
from clew.pipeline._declare import Record
from clew.pipeline._identity import changed_inputs, paths_in
from clew.pipeline._options import BlockRun
from clew.pipeline._progress import counted_stages, say, timed
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._stages import words_of
from clew.pipeline.run import PATHS
from clew.replace import refuse_unwritable
from clew.volumes.location import is_remote, normal_path, remove_bytes, split_format
from clew.volumes.run_store import FileStore
from clew.volumes.save import record_of
from clew.volumes.shared import what_is_lost
from clew.volumes.volume import Volume

State = Literal["finished", "damaged", "at work", "stopped"]
"""What a run in blocks is."""
NOT_DECIDING = ("folder", *(option.name for option in fields(BlockRun)))
"""Options that do not change the result."""
STAGE, INPUTS, TASKS, MEASURED = "stage", "inputs", "tasks", "measured"
"""Names in the plan beside those of the options."""
LATEST = 50
"""Finished tasks from which the time left is estimated."""


@dataclass(frozen=True)
class BlockWork:
    """All that a run in blocks is made of.

    Parameters
    ----------
    folder
        Where the state of the run is kept; absolute.
    store, tasks
        What is read and written, and the work.
    inputs
        The volumes by which runs of earlier versions of clew know their inputs.
    voxels
        Of the result.
    bytes_of_a_worker
        Memory that a task needs at most.
    finish
        Makes the outputs volumes and tables that others read; called with what is to be recorded.
    tables
        Names of the files that `finish` leaves in the folder, or where they lie elsewhere.
    most_workers
        Processes that make sense on one machine; None for as many as there are cores.
    warm_up
        Done by one worker before the others start.
    expected
        Said before the work.
    """

    folder: Path
    store: FileStore
    tasks: list[Task]
    inputs: tuple[Volume, ...]
    voxels: int
    bytes_of_a_worker: int
    finish: Callable[[Record], None]
    tables: tuple[str, ...] = ()
    most_workers: int | None = None
    warm_up: Callable[[], None] | None = None
    expected: str = ""


def run_in_blocks(lay_out: Callable[[], BlockWork], record: Record, options: BlockRun) -> None:
    """Lay a run out, do what is left to do of it, and finish the outputs.

    With `dry_run` only show what would be submitted.
    """
    if options.dry_run:
        say_job(options)
        return
    _refuse_remote_state(record["parameters"])
    refuse_unwritable(Path(record["parameters"]["folder"]))
    run = lay_out()
    ledger = Ledger(run.folder)
    record["parameters"]["folder"] = str(run.folder)
    _refuse_inputs_among_outputs(run, record)
    with ledger.held(say):
        _begin(run, ledger, record, restart=options.restart)
        work = Work()
        with timed(record["stage"], run.voxels):
            if len(ledger.done()) < len(run.tasks):
                work = _work(run, ledger, options)
        run.finish(Record(ledger.finish(record_of(record), _lasting_outputs(run))))
    if work.whole:
        say(f"{work.whole} finished tasks were checked: what they wrote is whole")
    if work.tasks:
        say(f"{work.tasks} tasks on {len(work.peaks)} workers, of at most {max(work.peaks.values()) / 1e9:.2f} GB each")


def show_status(folder: Path) -> State:
    """Tasks done, failed and to do of each stage, distinct errors, and the time left.

    Returns what the run is.
    """
    ledger = Ledger(folder)
    stages, left = _plan(ledger)[TASKS], 0
    done, failed = ledger.counts()
    say(f"{'stage':<14} {'done':>8} {'failed':>8} {'to do':>8}")
    for stage, total in stages.items():
        to_do = total - done[stage] - failed[stage]
        say(f"{stage:<14} {done[stage]:>8} {failed[stage]:>8} {to_do:>8}  {words_of(stage)}".rstrip())
        left += total - done[stage]
    for failure in ledger.failures():
        say(f"{len(failure.tasks)} × {failure.error} (for example {failure.tasks[0]})")
    rate = _rate(folder)
    if left and rate:
        say(f"{left} tasks left, about {left / rate / 60:.1f} minutes at the latest pace")
    if left:
        at_work = ledger.in_use()
        say("at work" if at_work else "not at work: give the same command again, or clew retry")
        return "at work" if at_work else "stopped"
    outputs = (ledger.finished() or {"outputs": ()})["outputs"]
    lost = {what_is_lost(name if is_remote(name) else str(ledger.folder / name)) for name in outputs} - {""}
    for words in sorted(lost):
        say(words)
    say(f"damaged since it was finished: clew retry {folder}" if lost else "finished")
    return "damaged" if lost else "finished"


def check_again(folder: Path) -> None:
    """Let the next run check all that is done.

    It does again what was lost or damaged since.
    """
    ledger = Ledger(folder)
    with ledger.held(say):
        ledger.doubt()


def begun_with(folder: Path) -> tuple[str, dict[str, Any]]:
    """The command with which a run was begun, and the keywords of its function."""
    plan = _plan(Ledger(folder))
    stage = plan.pop(STAGE)
    return stage, {name: value for name, value in plan.items() if name not in (INPUTS, TASKS, MEASURED)} | {
        "folder": str(folder)
    }


def plan_of(folder: Path, record: Record) -> dict[str, Any]:
    """The plan of a run of the same command in the folder, empty without one."""
    ledger = Ledger(folder)
    plan = ledger.plan() if ledger.begun else {}
    return plan if plan.get(STAGE) == record["stage"] else {}


def say_job(workers: Workers) -> None:
    """Show what would be submitted."""
    if workers.cluster is None:
        raise InputError("--dry-run shows the job script of a cluster: give --cluster FILE.toml")
    say(job_script(workers.cluster))


def absolute(path: str) -> str:
    """The path for workers that have another working folder; addresses stay."""
    format, rest = split_format(path)
    return path if is_remote(rest) else f"{format}{'://' if format else ''}{os.path.abspath(normal_path(rest))}"


def volumes_folder(folder: Path, volumes: str | None) -> str:
    """Where the volumes of a run are written: its folder, or the given place.

    Raises
    ------
    InputError
        For an address that can only be read.
    """
    if volumes is not None and volumes.startswith(("http://", "https://")):
        raise InputError(f"{volumes} can only be read: give --volumes a folder, or an address with s3:// or gs://")
    return str(folder) if volumes is None else absolute(volumes)


def _begin(run: BlockWork, ledger: Ledger, record: Record, *, restart: bool) -> None:
    """Note the plan, and make the outputs; what others made is never written to."""
    parameters = {
        name: absolute(value) if name in PATHS and value is not None and value not in bundled_names() else value
        for name, value in record["parameters"].items()
        if name not in NOT_DECIDING
    }
    plan = {STAGE: record["stage"]} | parameters
    plan |= {INPUTS: record[INPUTS], TASKS: stages_of(run.tasks)}
    plan |= {MEASURED: record[MEASURED]} if record.get(MEASURED) else {}
    known = _known_inputs(run, ledger, record) if ledger.begun and not restart else {}
    outputs = run.store.outputs.values()
    _refuse_foreign(run, ledger, plan)
    ledger.begin(plan | known, restart=restart, discard=lambda: _discard(run))
    if known:  # inputs may have moved: retry reads where they are
        ledger.replace_plan(plan)
    ledger.forget_failures()
    for volume in outputs:
        volume.create()


def _refuse_remote_state(parameters: Mapping[str, Any]) -> None:
    """Refuse an address for the state of a run."""
    folder = parameters["folder"]
    if is_remote(folder):
        instead = f", and --volumes {folder} for what is written" if "volumes" in parameters else ""
        raise InputError(f"{folder} cannot keep the state of the run: give a folder of this machine{instead}")


def _refuse_inputs_among_outputs(run: BlockWork, record: Record) -> None:
    named = (record["parameters"].get(name) for name in ("checkpoint", "merge_tree", "blocks"))
    made = {volume.path for volume in run.store.outputs.values()}
    made |= {_place(run, name) for name in (PLAN, *MARKS, run.store.folder.name, *run.tables)}
    refuse_overlap([*run.store.inputs.values(), *named], made)


def _refuse_foreign(run: BlockWork, ledger: Ledger, plan: Mapping[str, Any]) -> None:
    """Refuse a folder of another command, and outputs that are not of this run."""
    earlier = ledger.plan() if ledger.begun else {}
    if earlier and earlier.get(STAGE) != plan[STAGE]:
        raise InputError(f"{run.folder} holds a run of {earlier.get(STAGE)}, not of {plan[STAGE]}: give another folder")
    own = bool(earlier) and earlier.get("volumes") == plan.get("volumes")
    foreign = [] if own else [volume.path for volume in run.store.outputs.values() if volume.exists]
    if foreign:
        raise InputError(f"{foreign[0]} exists and does not belong to a run in {run.folder}: move it away first")


def _discard(run: BlockWork) -> None:
    """Remove what an earlier run made, first that by which it is opened."""
    for name in run.tables:
        remove_bytes(*_place(run, name).rsplit("/", 1))
    for volume in run.store.outputs.values():
        volume.remove()
    remove(run.store.folder)


def _place(run: BlockWork, name: str) -> str:
    """Where a file of a run lies."""
    return name if is_remote(name) else str(run.folder / name)


def _plan(ledger: Ledger) -> dict[str, Any]:
    """The plan of a run of one of our commands."""
    plan = ledger.plan()
    counts = plan.get(TASKS)
    whole = isinstance(plan.get(STAGE), str) and isinstance(counts, dict)
    if not (whole and all(isinstance(count, int) for count in counts.values())):  # type: ignore[union-attr]
        raise InputError(f"{ledger.folder}/plan.json is not that of a run in blocks: give the folder of such a run")
    return plan


def _work(run: BlockWork, ledger: Ledger, workers: Workers) -> Work:
    _say_if_any(run.expected)
    if workers.cluster:
        say("waiting for the first job to start")
    with started(workers, run.bytes_of_a_worker, most=run.most_workers, warm_up=run.warm_up) as pool:
        if pool.dashboard:
            say(f"dashboard: {pool.dashboard}")
        with counted_stages(stages_of(run.tasks)) as progress:
            return run_by_ledger(
                run.tasks, run.store, ledger, pool.executor, wave=pool.wave, progress=progress,
                watch=lambda: _say_if_any(pool.trouble()),
            )  # fmt: skip


def _lasting_outputs(run: BlockWork) -> list[str]:
    """Folders of the arrays that the run leaves.

    They are relative to the folder of the run where they lie in it; those that may be deleted are left out.
    """
    passing = {key[0] for task in run.tasks for key, _ in task.instead}
    kept = [
        volume.folder
        for name, volume in run.store.outputs.items()
        if name not in passing and hasattr(volume, "discard")
    ]
    return [folder.removeprefix(f"{run.folder}/") for folder in kept]


def _say_if_any(message: str) -> None:
    if message:
        say(message)


def _known_inputs(run: BlockWork, ledger: Ledger, record: Record) -> dict[str, Any]:
    """What the plan of a run says of its inputs.

    An InputError where they have changed since.
    """
    planned = ledger.plan()
    before = planned.get(INPUTS)
    if isinstance(before, list):  # of a version of clew that knew shapes and the time in the record only
        same = before == _plain([_shape_and_time(volume) for volume in run.inputs])
        names = [] if same else ["input"]
    else:
        names = changed_inputs(planned, _plain({INPUTS: record[INPUTS]}))
    if names:
        paths = paths_in(record["parameters"].get(names[0]) or [volume.source for volume in run.inputs])
        raise InputError(
            f"{run.folder} was begun with another {names[0]} than {', '.join(paths)} is now: "
            "restore it to go on, or give another folder"
        )
    return {name: planned[name] for name in (INPUTS, *record[INPUTS], *run.store.inputs) if name in planned}


def _plain(value: Any) -> Any:
    """Turn values into what JSON can hold."""
    return json.loads(json.dumps(value))


def _shape_and_time(source: Volume) -> dict[str, Any]:
    return {"shape": source.shape, "dtype": str(source.dtype), "written": source.attributes.get("created")}


def _rate(folder: Path) -> float:
    """Tasks a second, of the latest ones."""
    times = sorted(path.stat().st_mtime for path in (folder / "done").glob("*/*"))[-LATEST:]
    return len(times) / max(time.time() - times[0], 1e-3) if times else 0.0
