"""The file of edits: one SQLite table, to which rows are only added.

A row is on the disk before `append` returns. Undo and redo are rows, too. One process writes, under a lock that names its host and
process; others may read along. The journal is written ahead, but for a network file system, where SQLite cannot do that.
"""

import getpass
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from clew.errors import InputError
from clew.lock import locked

MERGE, SPLIT, UNDO, REDO = "merge", "split", "undo", "redo"
SEEN, DONE, NOT_DONE = "seen", "done", "not done"
"""Marks: they change no segment, and undo passes over them."""
LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs", "f2fs", "bcachefs")
"""File systems of this machine alone, on which a journal may be written ahead."""
TABLES = """
CREATE TABLE about (content TEXT NOT NULL);
CREATE TABLE edits (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, content TEXT NOT NULL, user TEXT NOT NULL, time TEXT NOT NULL,
                    comment TEXT NOT NULL);
CREATE TRIGGER no_update BEFORE UPDATE ON edits BEGIN SELECT RAISE(ABORT, 'edits are only added'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON edits BEGIN SELECT RAISE(ABORT, 'edits are only added'); END;
"""


class Row(NamedTuple):
    """One edit: its number, kind, content, and who made it when and why."""

    number: int
    kind: str
    content: dict[str, Any]
    user: str
    time: str
    comment: str


class EditLog:
    """An opened file of edits; it is made where there is none.

    Several threads may use it, one at a time.

    Parameters
    ----------
    path : path
    about : mapping
        What the edits are about; an InputError refuses a file that is about something else.
    user : str
        Who makes edits; by default the name of the account.
    read_only : bool
        Read along while another process may write.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], *, user: str = "", read_only: bool = False) -> None:
        self.path, self.user, self.read_only, self._held = path, user or getpass.getuser(), read_only, ExitStack()
        if read_only and not path.is_file():
            raise InputError(f"{path} is not there: there are no edits to read")
        try:
            if not read_only:
                self._held.enter_context(self._locked())
            self._database = sqlite3.connect(
                f"{path.absolute().as_uri()}{'?mode=ro' * read_only}", uri=True, check_same_thread=False
            )
            self._held.callback(self._database.close)
            self._begin(about, read_only)
        except sqlite3.DatabaseError as error:
            self.close()
            raise InputError(f"{path} cannot be used as a file of edits: {error}") from error
        except BaseException:
            self.close()
            raise

    def append(self, kind: str, content: Mapping[str, Any], comment: str = "") -> int:
        """Add an edit, which is on the disk when this returns its number."""
        if self.read_only:
            raise InputError(f"edits in {self.path.name} are only looked at here (--read-only, read_only=True): nothing was "
                             "changed; to edit, open them without")  # fmt: skip
        row = kind, json.dumps(content), self.user, datetime.now(UTC).isoformat(timespec="seconds"), comment
        try:
            with self._database:
                found = self._database.execute(
                    "INSERT INTO edits (kind, content, user, time, comment) VALUES (?, ?, ?, ?, ?)", row
                )
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: the edit was not kept: {error}") from error
        return int(found.lastrowid or 0)

    def rows(self, after: int = 0) -> list[Row]:
        """All rows after that of a number, in the order in which they were added."""
        found = self._database.execute(
            "SELECT number, kind, content, user, time, comment FROM edits WHERE number > ? ORDER BY number", (after,)
        )
        return [Row(number, kind, json.loads(content), *rest) for number, kind, content, *rest in found]

    def close(self) -> None:
        """Let the file and its lock go."""
        self._held.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only process that writes."""
        with ExitStack() as held:
            try:
                held.enter_context(locked(self.path.with_name(f"{self.path.name}.lock")))
            except InputError as error:
                raise InputError(f"{error}; or only look on (clew proofread --read-only, read_only=True)") from None
            yield

    def _begin(self, about: Mapping[str, Any], read_only: bool) -> None:
        if not read_only:
            self._database.execute(f"PRAGMA journal_mode={'WAL' if _is_local(self.path) else 'DELETE'}")
            self._database.execute("PRAGMA synchronous=FULL")
            if not self._database.execute("SELECT name FROM sqlite_master").fetchall():
                self._database.executescript(
                    f"BEGIN; {TABLES} INSERT INTO about VALUES ({_quoted(json.dumps(about))}); COMMIT;"
                )
        found = json.loads(self._database.execute("SELECT content FROM about").fetchone()[0])
        if found != json.loads(json.dumps(about)):
            raise InputError(f"{self.path} holds edits of other fragments: take the run that they were made on, or carry them over "
                             "(clew.Edits.carry)")  # fmt: skip


def stacks(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The edits that are done, and those that were taken back and can be done again."""
    done: list[Row] = []
    undone: list[Row] = []
    for row in rows:
        if row.kind == UNDO:
            undone.append(done.pop())
        elif row.kind == REDO:
            done.append(undone.pop())
        elif row.kind in (MERGE, SPLIT):
            done.append(row)
            undone.clear()
    return done, undone


def _is_local(path: Path) -> bool:
    """Whether a file lies on a file system that no other machine sees."""
    place, kind = path.absolute().parent.resolve(), ""
    with suppress(OSError):
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
        inside = [(len(at), name) for at, name in mounts if os.path.commonpath([at, place]) == at]
        kind = max(inside)[1]
    return kind in LOCAL


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
