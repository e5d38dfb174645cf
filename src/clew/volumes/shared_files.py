"""A folder of files, local or in object storage, that many processes write."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clew.errors import InputError
from clew.replace import written_whole
from clew.volumes.location import has_object, is_remote, join, remove_whole, write_bytes


class SharedFiles:
    """Files in the making; it can be pickled.

    Parameters
    ----------
    path : str
        What is removed by a restart: the folder, or a volume that it belongs to; local or in object storage.
    name : str
        Of the folder in it; "" for itself.
    lists : Path
        Folder of the run in which is noted what each task wrote.
    """

    def __init__(self, path: str, name: str, lists: Path) -> None:
        self.path, self.name, self.lists = path, name, lists

    @property
    def folder(self) -> str:
        """The folder of the files."""
        return join(self.path, self.name)

    @property
    def exists(self) -> bool:
        """Whether there is anything in its place."""
        if is_remote(self.path):
            return False  # to list a folder there may take minutes
        return os.path.lexists(self.path)

    def create(self) -> None:
        """Nothing has to be there before the first file."""

    def remove(self) -> None:
        """Remove the folder."""
        remove_whole(self.path)

    def put(self, number: int, files: Mapping[str, bytes]) -> None:
        """Write the files of a task, by name, and note their names."""
        for name, content in files.items():
            write_bytes(self.folder, name, content)
        self.note(number, list(files))

    def note(self, number: int, names: list[str]) -> None:
        """Note the names of the files that a task wrote."""
        with written_whole(self._list(number)) as partial:
            partial.write_text(json.dumps(names))

    def block(self, place: tuple[int, ...]) -> int:
        """The number of a task."""
        return place[0]

    def __getitem__(self, number: int) -> Any:
        """Look whether all files of a task are there.

        Raises
        ------
        OSError, ValueError
            For what is not.
        """
        names = json.loads(self._list(number).read_text())
        for name in names:
            if not has_object(self.folder, name):
                raise FileNotFoundError(f"NOT_FOUND: {self.folder}/{name} is missing")
        return names

    def _list(self, number: int) -> Path:
        return self.lists / f"{number}.json"


class SharedFolder(SharedFiles):
    """The same in a local folder, which has its name only when all files are there."""

    @property
    def folder(self) -> str:
        finished = os.path.lexists(self.path) and not os.path.lexists(self._unfinished)
        return self.path if finished else self._unfinished

    @property
    def exists(self) -> bool:
        return os.path.lexists(self.folder)

    def remove(self) -> None:
        """Remove the folder; it never has its name while files are missing."""
        remove_whole(self._unfinished)
        if os.path.lexists(self.path):
            os.rename(self.path, self._unfinished)
            remove_whole(self._unfinished)

    def put(self, number: int, files: Mapping[str, bytes]) -> None:
        os.makedirs(self.folder, exist_ok=True)
        super().put(number, files)

    def finish(self) -> None:
        """Give the folder its name.

        Raises
        ------
        InputError
            Where another has it, or nothing is there any more.
        """
        if os.path.lexists(self._unfinished):
            if os.path.lexists(self.path):
                raise InputError(f"{self.path} is not of this run: move it away, then give the same command again")
            os.rename(self._unfinished, self.path)
        elif not os.path.lexists(self.path):
            raise InputError(f"{self.path} is gone: clew retry {self.lists.parent.parent} makes it again")

    @property
    def _unfinished(self) -> str:
        return f"{self.path}.unfinished"
