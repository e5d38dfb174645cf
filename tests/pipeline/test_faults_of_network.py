"""Workers behind a network that is lost: they come back, or others do their work; the result is the same."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from clew.blockwise.ledger import Ledger
from clew.blockwise.trouble import why_nothing_moves
from pipeline.block_runs import PATIENCE, assert_same, at_work, wait_for

pytestmark = pytest.mark.compiled
HERE, THERE = "10.213.77.1", "10.213.77.2"
LINK = f"clew{os.getpid()}"
TIMEOUT = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}
"""After which a connection that is silent counts as dead; Dask's default is 30 s."""


@pytest.fixture(scope="module")
def there() -> Iterator[list[str]]:
    """Begin of a command that runs in another network, joined to this one by the link."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip("no unshare, nsenter or ip here, with which networks are made")
    holder = subprocess.Popen(["unshare", "--net", "sleep", "600"], stderr=subprocess.DEVNULL)
    inside = ["nsenter", "--net", "--target", str(holder.pid)]
    own = os.readlink("/proc/self/ns/net")
    try:
        wait_until(lambda: holder.poll() is not None or os.readlink(f"/proc/{holder.pid}/ns/net") != own)
        commands = [
            ["ip", "link", "add", LINK, "type", "veth", "peer", "name", f"{LINK}b", "netns", str(holder.pid)],
            ["ip", "address", "add", f"{HERE}/30", "dev", LINK],
            ["ip", "link", "set", LINK, "up"],
            [*inside, "ip", "address", "add", f"{THERE}/30", "dev", f"{LINK}b"],
            [*inside, "ip", "link", "set", f"{LINK}b", "up"],
            [*inside, "ip", "link", "set", "lo", "up"],
        ]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no second network can be made here: {done.stderr.strip()}")
        yield inside
    finally:
        subprocess.run(["ip", "link", "delete", LINK], capture_output=True)
        holder.kill()
        holder.wait()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "too slow"
        time.sleep(0.05)


@contextmanager
def dask(program: str, *arguments: str, inside: list[str] = []) -> Iterator[subprocess.Popen]:  # noqa: B006
    command = [*inside, sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments, "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process = subprocess.Popen(command, env=os.environ | TIMEOUT, **quiet)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def far_worker(folder: Path, there: list[str]) -> Iterator[str]:
    """A scheduler here, whose only worker is in the other network; its address."""
    file = folder / "scheduler.json"
    with dask("scheduler", "--host", HERE, "--port", "0", "--scheduler-file", str(file)):
        wait_until(file.exists)
        time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        with dask("worker", address, "--nthreads", "1", "--host", THERE, inside=there):
            yield address


def link(state: str) -> None:
    subprocess.run(["ip", "link", "set", LINK, state], check=True)


@pytest.fixture
def cut() -> Iterator[Callable[[], None]]:
    """Takes the link down; it is up again after the test."""
    yield lambda: link("down")
    link("up")


def test_a_network_that_comes_back_changes_nothing(
    affinities: Path, expected: Path, tmp_path: Path, there: list[str], cut: Callable[[], None]
):
    folder = tmp_path / "blocks"
    with far_worker(tmp_path, there) as address, at_work(affinities, folder, "--scheduler", address) as client:
        wait_for(folder, 10, client)
        cut()
        time.sleep(1)
        done = len(Ledger(folder).done())
        time.sleep(2)
        assert len(Ledger(folder).done()) == done, "works without the network"
        link("up")
        assert client.wait(PATIENCE) == 0
    assert_same(folder, expected)


def test_a_network_that_stays_lost_is_noticed_and_others_do_the_work(
    affinities: Path, expected: Path, tmp_path: Path, there: list[str], cut: Callable[[], None]
):
    folder = tmp_path / "blocks"
    with far_worker(tmp_path, there) as address, at_work(affinities, folder, "--scheduler", address) as client:
        wait_for(folder, 10, client)
        cut()
        with dask("worker", address, "--nthreads", "1", "--host", HERE):
            assert client.wait(PATIENCE) == 0
    assert_same(folder, expected)


def test_the_reason_why_no_task_runs_is_reported():
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        assert why_nothing_moves(client).startswith("no worker is left at")
        cluster.scale(1)
        client.wait_for_workers(1, timeout=PATIENCE)
        assert why_nothing_moves(client) == ""
        worker = next(iter(cluster.workers.values()))
        worker.status = type(worker.status).paused
        wait_until(lambda: "are paused by Dask" in why_nothing_moves(client))
    assert why_nothing_moves(client).endswith("does not answer: waiting for it")
