"""`segment-blocks` on the command line: the same result as `segment`, whatever is killed on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from clew import pipeline
from clew.blockwise import batch
from clew.blockwise.engine import TasksFailedError
from clew.blockwise.ledger import Ledger
from clew.errors import InputError, UnfinishedError
from clew.volumes.open import open_volume
from pipeline.block_runs import OPTIONS, PATIENCE, assert_same, at_work, wait_for

pytestmark = pytest.mark.compiled


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(process.pid).children(recursive=True) if "spawn" in " ".join(child.cmdline())
    ]


def test_killed_workers_and_a_killed_client_change_nothing(affinities: Path, expected: Path, tmp_path: Path):
    folder = tmp_path / "blocks"
    with at_work(affinities, folder, "--workers", "2") as process:
        wait_for(folder, 5, process)
        workers_of(process)[-1].send_signal(signal.SIGKILL)
        wait_for(folder, 40, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (folder / "segmentation.zarr" / "zarr.json").exists()
    with pytest.raises(InputError):
        open_volume(folder / "segmentation.zarr")
    pipeline.retry(str(folder), workers=1)
    assert_same(folder, expected)


def test_a_killed_scheduler_changes_nothing(affinities: Path, expected: Path, tmp_path: Path):
    folder = tmp_path / "blocks"
    with scheduler(tmp_path) as (address, process), at_work(affinities, folder, "--scheduler", address) as client:
        wait_for(folder, 20, client)
        process.send_signal(signal.SIGKILL)
        client.wait(PATIENCE)
        assert client.returncode != 0
        assert client.stderr is not None
        assert b"clew: the Dask scheduler was lost" in client.stderr.read()
    pipeline.segment_blocks(str(affinities), str(folder), workers=1, **OPTIONS)
    assert_same(folder, expected)


def test_tasks_go_only_to_workers_with_the_resource(affinities: Path, tmp_path: Path):
    with scheduler(tmp_path) as (address, _):
        with pytest.raises(InputError, match=r'has the resource GPU: .* --resources "GPU=1"'):
            pipeline.segment_blocks(str(affinities), str(tmp_path / "b"), scheduler=address, resource="GPU", **OPTIONS)
        assert Ledger(tmp_path / "b").done() == set()


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """A Dask scheduler with one worker."""
    file = folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker"]
    started = subprocess.Popen(
        [*dask, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)], **quiet
    )
    helper = subprocess.Popen(
        [*worker, "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard", "--death-timeout", "5"], **quiet
    )
    try:
        end = time.monotonic() + PATIENCE
        while not file.exists() and time.monotonic() < end:
            time.sleep(0.05)

        time.sleep(0.1)
        yield json.loads(file.read_text())["address"], started
    finally:
        for process in (started, helper):
            process.kill()
            process.wait()


def test_a_damaged_chunk_is_named_and_mended(
    affinities: Path, expected: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    damaged, folder = tmp_path / "affinities.zarr", tmp_path / "blocks"
    shutil.copytree(affinities, damaged)
    chunk = max(
        (path for path in (damaged / "s0" / "c").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TasksFailedError, match="affinities.zarr"):
        pipeline.segment_blocks("affinities.zarr", "blocks", workers=1, **OPTIONS)
    pipeline.status(str(folder))
    said = capsys.readouterr().out
    assert "× InputError" in said
    assert "not at work" in said
    chunk.write_bytes(whole)
    monkeypatch.chdir("/")
    pipeline.retry(str(folder), workers=1)
    pipeline.status(str(folder))
    assert "finished" in capsys.readouterr().out
    assert_same(folder, expected)


def test_a_run_goes_on_after_a_full_disk(affinities: Path, expected: Path, tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        with pytest.raises(UnfinishedError, match="the disk is full"):
            pipeline.segment_blocks(str(affinities), str(disk / "blocks"), workers=1, **OPTIONS)
        subprocess.run(["mount", "-o", "remount,size=60m", disk], check=True)
        pipeline.segment_blocks(str(affinities), str(disk / "blocks"), workers=1, **OPTIONS)
        assert_same(disk / "blocks", expected)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_methods_that_are_not_exact_are_refused_before_anything_is_written(affinities: Path, tmp_path: Path):
    for options in ({"score": "mean_top_3"}, {"mask": str(affinities)}):
        with pytest.raises(InputError):
            pipeline.segment_blocks(str(affinities), str(tmp_path / "blocks"), **{**OPTIONS, **options})
    assert not (tmp_path / "blocks").exists()


def test_the_job_script_of_a_cluster(affinities: Path, tmp_path: Path, capsys):
    table = tmp_path / "cluster.toml"
    table.write_text('[cluster]\nsystem = "slurm"\nqueue = "short"\ncores = 2\nmemory = "4GB"\nwalltime = "00:20:00"\n')
    pipeline.segment_blocks(str(affinities), str(tmp_path / "blocks"), cluster=str(table), dry_run=True)
    said = capsys.readouterr().out
    assert "#SBATCH -p short" in said
    assert "#SBATCH -t 00:20:00" in said
    assert not (tmp_path / "blocks").exists()
    table.write_text('[cluster]\nsystem = "fax"\n')
    with pytest.raises(InputError, match="one of slurm, lsf, pbs, sge"):
        pipeline.segment_blocks(str(affinities), str(tmp_path / "blocks"), cluster=str(table), dry_run=True)


def test_jobs_of_a_cluster_do_the_work(affinities: Path, expected: Path, jobs: Path):
    Path("cluster.toml").write_text(f'{CLUSTER}jobs = 2\nworker_extra_args = ["--resources", "CPU=1"]\n')
    pipeline.segment_blocks(str(affinities), "blocks", cluster="cluster.toml", resource="CPU", **OPTIONS)
    assert_same(Path("blocks"), expected)
    scripts = [script.read_text() for script in jobs.parent.glob("job-*.sh")]
    assert len(jobs.read_text().split()) == len(scripts) == 2
    assert all("--protocol tls://" in script and "--no-dashboard" in script for script in scripts)
    end = time.monotonic() + PATIENCE
    while any(map(psutil.pid_exists, map(int, jobs.read_text().split()))):
        assert time.monotonic() < end, "jobs go on after the run"
        time.sleep(0.1)
    assert not [*Path().glob(".*"), *Path().glob("tmp.*")], "keys or scratch folders are left"


@pytest.mark.parametrize("processes", [1, 2])
def test_a_cluster_job_that_ends_is_followed_by_another(
    affinities: Path, expected: Path, jobs: Path, monkeypatch: pytest.MonkeyPatch, processes: int
):
    monkeypatch.setattr(batch, "LOST", 2.0)
    Path("cluster.toml").write_text(f"{CLUSTER}jobs = 1\nprocesses = {processes}\n")

    def end_the_job() -> None:
        while not jobs.exists() or len(Ledger(Path("blocks")).done()) < 5:
            time.sleep(0.02)
        os.killpg(int(jobs.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=end_the_job, daemon=True)
    killer.start()
    pipeline.segment_blocks(str(affinities), "blocks", cluster="cluster.toml", **OPTIONS)
    killer.join(PATIENCE)
    assert len(jobs.read_text().split()) == 2
    assert_same(Path("blocks"), expected)


CLUSTER = '[cluster]\nsystem = "slurm"\ncores = 2\nmemory = "2GB"\ninterface = "lo"\n'
