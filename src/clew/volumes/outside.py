"""What a file may take from other files: only those of its own folder.

The user may ask for more.

A file of somebody else could otherwise show, as voxels, what only you may read.
"""

import os
import posixpath
from pathlib import Path

from clew.errors import InputError

FOLLOW = "CLEW_FOLLOW_LINKS"
"""Variable by which the user asks for more: set to 1, files are followed wherever they lead."""


def all_followed() -> bool:
    """Whether the user asked to follow files wherever they lead."""
    return os.environ.get(FOLLOW, "0") not in ("", "0")


def refuse_outside(source: str | Path, other: str | Path) -> None:
    """Refuse a file that another one names but that lies outside of its folder.

    Folders below are inside. Links are resolved.
    """
    folders = (Path(source).absolute().parent.resolve(), Path(source).resolve().parent)
    if not all_followed() and not any(Path(other).resolve().is_relative_to(folder) for folder in folders):
        raise _outside(source, other)


def refuse_upwards(folder: str, name: str) -> None:
    """Refuse the name of a folder, in metadata of another one, that leads out of it."""
    if not all_followed() and posixpath.normpath(name).split("/")[0] == "..":
        raise _outside(folder, name)


def _outside(source: str | Path, other: str | Path) -> InputError:
    return InputError(
        f"{source} takes data from {other}, which is outside of its folder and is not followed; "
        f"set {FOLLOW}=1 if you trust the person who made it"
    )
