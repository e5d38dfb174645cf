"""A lock file: one run at a time writes in a folder.

It works on a network file system and among containers, too.

The file is written beside and linked, so that of many who want it at the same moment one gets it. Its owner touches it every
`HEARTBEAT`. Whether that one lives is asked of the system where it can be: by process number and time of start, in the same
process namespace since the same boot. Else the file is watched for `SILENCE`: no clock is compared with another.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from clew.errors import InputError, UnfinishedError
from clew.replace import this_machine

HEARTBEAT = 10.0
"""Seconds between signs of life."""
SILENCE = 60.0
"""Seconds without one, while somebody watches, after which an owner counts as dead that cannot be seen from here."""
GLANCE = 0.2
"""Seconds between two looks at a lock that is watched."""
LARGEST_PROCESS = 1 << 31
"""Process numbers are below."""
STATE, START = 0, 19
"""Columns of /proc/PROCESS/stat after the name: state, and ticks from the boot to the start."""


class LostLockError(UnfinishedError):
    """Another run has taken the folder over; nothing more may be written."""


class Seen(NamedTuple):
    """A lock file at a moment.

    It says what its owner wrote (None where it is damaged), and when it was last touched.
    """

    owner: dict[str, Any] | None
    touched: int


@contextlib.contextmanager
def locked(file: Path, waiting: Callable[[str], None] = lambda words: None) -> Iterator[str]:
    """Hold a lock as long as the block lasts.

    The context gives the token by which `check_lock` knows it again.

    Parameters
    ----------
    file : Path
        The lock; its folder is made.
    waiting : callable
        Called with a message when an owner has to be watched, which takes up to `SILENCE`.

    Raises
    ------
    InputError
        While another run holds it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    token, ended = uuid.uuid4().hex, threading.Event()
    _take(file, token, waiting)
    beats = threading.Thread(target=_beat, args=(file, token, ended), daemon=True)
    beats.start()
    try:
        yield token
    finally:
        ended.set()
        beats.join()
        with contextlib.suppress(OSError, LostLockError):
            check_lock(file, token)
            file.unlink()


def check_lock(file: Path, token: str) -> None:
    """Refuse to go on after another run has taken the lock over."""
    seen = _look(file)
    if seen is None or seen.owner is None or seen.owner["token"] != token:
        raise LostLockError(f"another run has taken {file.parent} over")


def is_held(file: Path) -> bool:
    """Tell whether a run seems to hold a lock.

    Of a run that cannot be seen from here, the clocks decide, without waiting.
    """
    seen = _look(file)
    if seen is None:
        return False
    lives = _lives(seen.owner)
    return time.time() - seen.touched / 1e9 < SILENCE if lives is None else lives


def _take(file: Path, token: str, waiting: Callable[[str], None]) -> None:
    mine = file.with_name(f".{file.name}.{token[:8]}")
    mine.write_text(json.dumps(_owner(token)) + "\n")
    try:
        while not _link(mine, file):
            seen = _look(file)
            if seen is None:
                continue
            if not _is_dead(file, seen, waiting):
                if file.exists():
                    raise InputError(
                        f"another run is at work in {file.parent} ({_whose(seen)}): wait for it, or stop it"
                    )
                continue
            with _claimed(file, token, waiting):
                if _look(file) == seen:
                    mine.replace(file)
                    return
    finally:
        mine.unlink(missing_ok=True)


@contextlib.contextmanager
def _claimed(file: Path, token: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Be the only one who takes the lock of a dead run over, by a lock on the lock."""
    claim = file.with_name(f"{file.name}.takeover")
    _take(claim, token, waiting)
    try:
        yield
    finally:
        claim.unlink(missing_ok=True)


def _link(mine: Path, file: Path) -> bool:
    """Whether the name of the lock could be had."""
    try:
        os.link(mine, file)
    except FileExistsError:
        return mine.stat().st_nlink > 1  # NFS may do what is asked, lose the answer, and ask again
    except OSError:  # a file system without links: others may see the file half written, and then watch it
        try:
            with file.open("x") as lock:
                lock.write(mine.read_text())
        except FileExistsError:
            return False
    return True


def _beat(file: Path, token: str, ended: threading.Event) -> None:
    """Touch the lock now and then, until it is let go or lost."""
    while not ended.wait(HEARTBEAT):
        with contextlib.suppress(OSError):
            try:
                check_lock(file, token)
            except LostLockError:
                return
            os.utime(file)


def _look(file: Path) -> Seen | None:
    try:
        with file.open("rb") as lock:
            return Seen(_parsed(lock.read()), os.fstat(lock.fileno()).st_mtime_ns)
    except FileNotFoundError:
        return None


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        owner = json.loads(content)
        whole = (
            all(isinstance(owner[name], str) for name in ("token", "started", "namespace", "host"))
            and isinstance(owner["process"], int)
            and 0 < owner["process"] < LARGEST_PROCESS
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return owner if whole else None


def _is_dead(file: Path, seen: Seen, waiting: Callable[[str], None]) -> bool:
    lives = _lives(seen.owner)
    if lives is not None:
        return not lives
    waiting(f"{file.parent} is locked ({_whose(seen)}): watching for {SILENCE:.0f} s whether that run still lives")
    end = time.monotonic() + SILENCE
    while time.monotonic() < end:
        time.sleep(GLANCE)
        if _look(file) != seen:
            return False
    return True


def _lives(owner: dict[str, Any] | None) -> bool | None:
    """Whether the owner of a lock lives; None where that cannot be seen from here."""
    if owner is None or not owner["started"] or owner["namespace"] != _namespace():
        return None
    try:
        os.kill(owner["process"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    started = _started(owner["process"])
    return None if started is None else started == owner["started"]


def _owner(token: str) -> dict[str, Any]:
    process = os.getpid()
    return {
        "token": token, "process": process, "started": _started(process) or "", "namespace": _namespace(),
        "host": socket.gethostname(), "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }  # fmt: skip


def _whose(seen: Seen) -> str:
    owner = seen.owner
    if owner is None:
        return "its lock is damaged"
    since = f" since {owner['since']}" if isinstance(owner.get("since"), str) else ""  # earlier versions wrote none
    return f"process {owner['process']} on {owner['host']}{since}"


def _started(process: int) -> str | None:
    """When a process was started: no other process has its id and this time.

    None where the system does not say it, "" for a dead process.
    """
    try:
        columns = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if columns[STATE] in "ZX" else columns[START]


def _namespace() -> str:
    """Where ids of processes mean the same: on this machine since its boot.

    They also must be in the same container.
    """
    try:
        return f"{this_machine()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return this_machine()
