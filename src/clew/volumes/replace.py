"""Outputs are written beside and renamed when whole."""

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from clew.errors import InputError


@contextlib.contextmanager
def written_beside(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a path in the same folder to write to; rename it to `path` when the block ends well, else remove it.

    Missing parent folders are made, and removed again on failure. An existing `path` is refused unless `overwrite`
    and replaced only at the end. A full disk becomes an InputError.
    """
    path = Path(os.path.realpath(path))
    refuse_existing(path, overwrite)
    made = _make_parents(path)
    partial = path.with_name(f".{path.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        yield partial
        _rename(partial, path, overwrite)
    except BaseException as error:
        _remove(partial)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if disk_is_full(error):
            raise InputError(f"the disk is full: {path} could not be written whole, nothing of it was left") from error
        if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.EIO, errno.EROFS):
            raise InputError(
                f"{path} could not be written, nothing of it was left: {error.strerror or error}"
            ) from error
        raise


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse an output that exists, unless `overwrite`."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another name or give --overwrite")


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
    """Make the missing parents, deepest first in the result; an unwritable folder is an InputError."""
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial = path.with_name(f".{path.name}.trial-{uuid.uuid4().hex[:8]}")
        trial.touch()
        trial.unlink()
    except OSError as error:
        if disk_is_full(error):
            raise InputError(f"the disk is full: {path} cannot be written") from error
        raise InputError(f"cannot write in the folder {path.parent}: {error.strerror or error}") from error
    return missing


def _rename(partial: Path, path: Path, overwrite: bool) -> None:
    refuse_existing(path, overwrite)
    if not path.is_dir():
        os.replace(partial, path)
        return
    old = path.with_name(f".{path.name}.old-{uuid.uuid4().hex[:8]}")
    os.rename(path, old)
    try:
        os.rename(partial, path)
    except OSError:
        os.rename(old, path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    """Remove a file or folder; a folder again while writes that were under way add to it."""
    if path.is_dir():
        for _ in range(20):
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                return
            time.sleep(0.1)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
