"""The datasets of a container, and the choice of one of them."""

import difflib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clew.errors import InputError
from clew.volumes.location import is_remote, subfolders
from clew.volumes.recognition import what_is


@dataclass(frozen=True)
class DatasetRow:
    """A dataset of a file or group: its name there, shape and dtype as stored.

    Or the problem: why it cannot be read.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    problem: str = ""

    @property
    def content(self) -> str:
        """What it holds, for people."""
        return self.problem or f"{self.shape} {self.dtype}"

    def __str__(self) -> str:
        return f"{self.name or '.'} {self.content}"


def choose_dataset(container: str, name: str, rows: Callable[[], Sequence[DatasetRow]], exists: bool) -> str:
    """The dataset `name` if it exists, or the only one where none is named.

    Anything else is refused by an InputError that lists the datasets.
    """
    if exists:
        return name
    found = rows()
    if not name and len(found) == 1:
        return found[0].name
    if not found:
        lost = f" and no dataset {name!r}" if name else ""
        raise InputError(f"{container} holds no array with 3 to 5 axes{lost}{_instead(container)}")
    listed = "; ".join(str(row) for row in found[:20]) + (f"; and {len(found) - 20} more" if len(found) > 20 else "")
    if not name:
        example = f"{container}:{found[0].name}"
        raise InputError(f"{container} holds {len(found)} datasets, choose one (as {example}): {listed}")
    names = [row.name for row in found]
    inside = [inner for inner in names if inner.startswith(f"{name.strip('/')}/")]
    near = inside or difflib.get_close_matches(name, names, n=1, cutoff=0.3)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InputError(f"{container} holds no dataset {name!r}{hint}; it holds: {listed}")


def _instead(container: str) -> str:
    """What a folder without an array holds: nothing, or a file and what it is."""
    if is_remote(container) or not os.path.isdir(container):
        return ""
    inner = subfolders(container)
    if inner:
        return (
            f"; if one of its folders does, name it: {', '.join(os.path.join(container, name) for name in inner[:3])}"
        )
    files = [entry for entry in Path(container).iterdir() if entry.name[0] != "." and entry.is_file()]
    if not files:
        return ": it is an empty folder"
    common, _ = Counter(file.suffix for file in files).most_common(1)[0]
    example = min(file for file in files if file.suffix == common)
    return f"; it holds {example.name}, which is {what_is(example)}"
