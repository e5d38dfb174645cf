"""Outputs are written beside their place and renamed when whole.

What a killed command left of one is removed by the next.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from clew.errors import InputError
from clew.signals import signals_held

LOCK, REPLACED = "lock", "replaced"
"""Names in a hidden folder: of a file that its writer holds locked, and of the output that is being replaced."""
SILENCE = 7 * 24 * 3600.0
"""Seconds without a change after which a hidden folder counts as dead whose writer cannot be seen from this machine."""


@contextlib.contextmanager
def written_beside(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it to `path` at the end.

    It is renamed when the block ends well, else removed.

    It has the same name, in a hidden folder `.NAME.partial-MACHINE-…`. Missing parent folders are made, and removed again
    on failure. An existing `path` is refused unless `overwrite` and replaced only at the end. A full disk becomes an
    InputError. What killed writers of the same name left is removed, and what they had moved away is put back.
    """
    path = Path(os.path.realpath(path))
    _remove_dead(path)
    refuse_existing(path, overwrite)
    made = _make_parents(path)
    try:
        with _hidden_folder(path) as hidden:
            yield hidden / path.name
            _rename(hidden / path.name, path, overwrite)
    except BaseException as error:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if disk_is_full(error):
            raise InputError(
                f"the disk is full: {path} could not be written whole, and nothing of it is left"
            ) from error
        if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.EIO, errno.EROFS):
            raise InputError(
                f"{path} could not be written, and nothing of it is left: {error.strerror or error}"
            ) from error
        raise


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path to write to, and rename it to `path` at the end.

    It is renamed when the block ends well, else removed. Missing folders are made.

    For the many small files in the folder of a run: an earlier file is replaced, errors are handed on as they are, and what
    a killed process left of one stays, as to look for it takes 11 ms in a folder of 20 000 files, and the rest 0.2 ms.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse an output that exists, unless `overwrite`."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another name or give --overwrite")


def refuse_unwritable(path: Path) -> None:
    """Refuse, before any work, an output whose folder cannot be written or made."""
    place = Path(os.path.realpath(path))
    above = next(folder for folder in place.parents if os.path.exists(folder))
    if not above.is_dir():
        raise InputError(f"{path} cannot be written: {above} is a file, not a folder")
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise _unwritable(above / place.name, error) from error
    try:
        os.lstat(place.with_name(f".{place.name}.partial-{this_machine()}-{'0' * 8}"))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{path} cannot be written: its name is too long") from error


def disk_is_full(error: BaseException) -> bool:
    """Does the error, or one that it came from, say that there is no space left?"""
    seen: BaseException | None = error
    while seen is not None:
        full = isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left on device" in str(seen) or "Disk quota exceeded" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _make_parents(path: Path) -> list[Path]:
    """Make the missing parents and return them, deepest first.

    A folder that cannot be written is an InputError.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    return missing


@contextlib.contextmanager
def _hidden_folder(path: Path) -> Iterator[Path]:
    """A new hidden folder beside `path`, removed at the end.

    Its lock shows others that its writer lives.
    """
    folder, lock = _lock_new_folder(path)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _lock_new_folder(path: Path) -> tuple[Path, int]:
    """A new folder and its open lock.

    It is made anew where somebody took it for a dead one before it was locked.
    """
    while True:
        folder = path.with_name(f".{path.name}.partial-{this_machine()}-{uuid.uuid4().hex[:8]}")
        try:
            folder.mkdir()
            with contextlib.suppress(FileNotFoundError):
                lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
                if _lock(lock) is not False and (folder / LOCK).exists():
                    return folder, lock
                os.close(lock)
        except OSError as error:
            _remove(folder)
            raise _unwritable(path, error) from error


def _lock(file: int) -> bool | None:
    """Lock a file: whether it worked, or None where there are no locks.

    Some file systems have none. The system frees the locks of the dead.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_dead(path: Path) -> None:
    """Remove hidden folders of `path` whose writer is surely dead.

    What the writer had moved away is put back.

    A writer of this machine is dead when its lock is free, whatever process numbers say. One that another machine wrote, or
    this one before it was started anew, counts as dead when nothing in its folder changed for a week.
    """
    start = f".{path.name}.partial-"
    with contextlib.suppress(OSError):
        for entry in os.scandir(path.parent):
            if entry.name.startswith(start):
                _remove_if_dead(Path(entry.path), path, here=entry.name.startswith(f"{start}{this_machine()}-"))


def _remove_if_dead(folder: Path, path: Path, *, here: bool) -> None:
    with contextlib.suppress(OSError):
        if not here and time.time() - _last_change(folder) < SILENCE:
            return
        try:
            lock = os.open(folder / LOCK, os.O_RDWR)
        except FileNotFoundError:
            folder.rmdir()  # fails where it is not empty
            return
        try:
            if _lock(lock):
                if (folder / REPLACED).exists() and not path.exists():
                    os.rename(folder / REPLACED, path)
                _remove(folder)
        finally:
            os.close(lock)


def _last_change(folder: Path) -> float:
    places = [folder, *(Path(top, name) for top, _, files in os.walk(folder) for name in files)]
    return max(place.stat().st_mtime for place in places)


def this_machine() -> str:
    """This machine since it was last started.

    It is the same in all its containers, which share its locks.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return uuid.uuid5(uuid.NAMESPACE_DNS, socket.gethostname()).hex[:8]


def _rename(partial: Path, path: Path, overwrite: bool) -> None:
    refuse_existing(path, overwrite)
    if not path.is_dir():
        os.replace(partial, path)
        return
    old = partial.with_name(REPLACED)
    with signals_held():  # between the two renames nothing is at `path`
        os.rename(path, old)
        try:
            os.rename(partial, path)
        except OSError:
            os.rename(old, path)
            raise


def _unwritable(path: Path, error: OSError) -> InputError:
    if disk_is_full(error):
        return InputError(f"the disk is full: {path} cannot be written")
    return InputError(f"cannot write in the folder {path.parent}: {error.strerror or error}")


def _remove(folder: Path) -> None:
    """Remove a folder, its lock last.

    Try again while writes that were under way add to it.
    """
    for _ in range(20):
        with contextlib.suppress(OSError):
            for entry in folder.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry.name != LOCK:
                    entry.unlink()
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
        if not folder.exists():
            return
        time.sleep(0.1)
