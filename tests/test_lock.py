"""A lock: of many who want it at one moment one gets it, and the dead hold none, whatever their process number."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clew import lock
from clew.errors import InputError
from clew.lock import LostLockError, check_lock, is_held, locked

TAKERS = 6


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is a long silence."""
    monkeypatch.setattr(lock, "SILENCE", 0.5)
    monkeypatch.setattr(lock, "HEARTBEAT", 0.05)
    monkeypatch.setattr(lock, "GLANCE", 0.01)


def owner(**changes: object) -> str:
    return json.dumps(lock._owner("old") | changes)


def of_the_dead() -> str:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return owner(process=ended.pid)


def take(file: Path, start: object, got: object, all_tried: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    try:
        with locked(file):
            got.put(os.getpid())  # type: ignore[attr-defined]
            all_tried.wait()  # type: ignore[attr-defined]
    except InputError:
        all_tried.wait()  # type: ignore[attr-defined]


@pytest.mark.parametrize("left", ["", "dead"], ids=["free", "of a dead run"])
def test_only_one_of_many_processes_gets_the_lock(tmp_path: Path, left: str):
    context = multiprocessing.get_context("fork")
    for number in range(4):
        file = tmp_path / str(number) / "lock.json"
        file.parent.mkdir()
        if left:
            file.write_text(of_the_dead())
        start, all_tried, got = context.Barrier(TAKERS), context.Barrier(TAKERS), context.SimpleQueue()
        takers = [context.Process(target=take, args=(file, start, got, all_tried)) for _ in range(TAKERS)]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join()
        got.get()
        assert got.empty()
        assert list(file.parent.iterdir()) == []


def test_only_one_of_many_threads_takes_over_the_lock_of_a_dead_run(tmp_path: Path):
    file, start, all_tried = tmp_path / "lock.json", threading.Barrier(TAKERS), threading.Barrier(TAKERS)

    def one(_: int) -> bool:
        start.wait()
        try:
            with locked(file) as token:
                all_tried.wait()
                check_lock(file, token)
                return True
        except InputError:
            all_tried.wait()
            return False

    with ThreadPoolExecutor(TAKERS) as pool:
        for _ in range(30):
            file.write_text(of_the_dead() if _ % 10 == 0 else owner(started="1"))
            assert sum(pool.map(one, range(TAKERS))) == 1


def test_a_run_that_was_killed_with_our_process_number_is_dead(tmp_path: Path):
    """In a container every run may be process 1."""
    file = tmp_path / "lock.json"
    file.write_text(owner(started="1"))
    assert not is_held(file)
    with locked(file) as token:
        assert is_held(file)
        check_lock(file, token)
    assert not file.exists()


@pytest.mark.parametrize("where", ["another namespace 4026531836", ""], ids=["of another machine", "of nowhere"])
@pytest.mark.usefixtures("hasty")
def test_an_owner_that_cannot_be_seen_is_watched(tmp_path: Path, where: str):
    file, told = tmp_path / "lock.json", []
    file.write_text(owner(namespace=where))
    with locked(file, told.append):
        assert "watching" in told[0]


@pytest.mark.parametrize("ahead", [-1e6, 0, 1e6], ids=["clock behind", "clock right", "clock ahead"])
@pytest.mark.usefixtures("hasty")
def test_an_owner_that_gives_signs_of_life_is_alive_whatever_its_clock(tmp_path: Path, ahead: float):
    file, ended = tmp_path / "lock.json", threading.Event()
    file.write_text(owner(namespace="far"))

    def live() -> None:
        while not ended.wait(0.05):
            os.utime(file, (time.time() + ahead, time.time() + ahead))

    living = threading.Thread(target=live)
    living.start()
    try:
        with pytest.raises(InputError, match="another run is at work"), locked(file):
            pass
    finally:
        ended.set()
        living.join()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", "[" * 9000, '{"token": "a"}', owner(process="x"), owner(process=-1)]
)
@pytest.mark.usefixtures("hasty")
def test_a_damaged_lock_is_watched_and_taken(tmp_path: Path, content: str):
    file = tmp_path / "lock.json"
    file.write_text(content)
    with locked(file) as token:
        check_lock(file, token)


@pytest.mark.usefixtures("hasty")
def test_a_holder_gives_signs_of_life_while_it_does_something_else(tmp_path: Path):
    file = tmp_path / "lock.json"
    with locked(file):
        before = file.stat().st_mtime_ns
        time.sleep(0.3)
        assert file.stat().st_mtime_ns > before


def test_only_one_gets_the_lock_where_hard_links_are_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refused)
    file, refusal = tmp_path / "lock.json", pytest.raises(InputError, match="another run is at work")
    with locked(file), refusal, locked(file):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_lost_the_lock_leaves_it_to_its_new_owner(tmp_path: Path):
    file = tmp_path / "lock.json"
    with locked(file) as token:
        file.write_text(owner(token="new"))
        with pytest.raises(LostLockError):
            check_lock(file, token)
    assert json.loads(file.read_text())["token"] == "new"
