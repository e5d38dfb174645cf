"""The files in which chunked formats store an array.

Formats let a file be left out, for a chunk of nothing but the fill value; so does whoever loses one.
"""

import itertools
import math
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clew.documents import regular_file
from clew.errors import InputError
from clew.volumes.location import is_remote, read_bytes
from clew.volumes.volume import Missing

MOST_NAMES = 64
"""Names in a folder that are looked at, to see how chunks are named."""
MOST_FOLDERS = 4
"""Folders in it of which a file is looked at."""
LOOKED_AT = 20_000
"""Files that are looked for at most, which takes 0.1 s on a local disk; of more, as many are drawn by chance."""

Place = tuple[int, ...]


@dataclass(frozen=True)
class ChunkFiles:
    """The files of the chunks (or shards) of an array.

    Parameters
    ----------
    folder : str
        Where the names begin; missing and stored ones are looked for in local folders only.
    name : callable
        Name of the file of the chunk at a place in the grid, in stored order.
    shape, chunk : tuple of int
        Of the array and of what is stored in one file, in stored order.
    kind : str
        What people call them, as "chunks".
    fill : number
        What the format reads where a file is missing.
    """

    folder: str
    name: Callable[[Place], str]
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    kind: str = "chunks"
    fill: float = 0

    def missing(self) -> Missing:
        """Count the files that are not there."""
        places = list(self._places())
        lost = sum(not os.path.lexists(self.path(place)) for place in places)
        return Missing(lost, len(places), math.prod(self.grid), self.kind, self.fill)

    def stored(self) -> tuple[slice, ...] | None:
        """A voxel that is stored, near the middle if that is; None where none is found."""
        middle = tuple(count // 2 for count in self.grid)
        for place in (middle, *self._places()):
            if os.path.lexists(self.path(place)):
                return tuple(slice(n * size, n * size + 1) for n, size in zip(place, self.chunk, strict=True))
        return None

    def refuse_others(self, selection: tuple[slice, ...]) -> None:
        """Refuse folders and pipes in the place of files.

        tensorstore takes them for missing ones.
        """
        for place in self._touched(selection):
            if not is_remote(self.folder) and os.path.lexists(self.path(place)):
                regular_file(self.path(place))

    def refuse_elsewhere(self, selection: tuple[slice, ...]) -> None:
        """Refuse chunks in object storage that are named otherwise than the metadata say."""
        place = next(self._touched(selection))
        for name in {naming(place) for naming in NAMES.values()} - {self.name(place)}:
            if is_remote(self.folder) and read_bytes(self.folder, name) is not None:
                raise InputError(
                    f"{self.folder} holds the chunk {name}, where its metadata name {self.name(place)}: "
                    "mend the dimension_separator or chunk_key_encoding in them"
                )

    def _touched(self, selection: tuple[slice, ...]) -> Iterator[Place]:
        sides = zip(selection, self.chunk, strict=True)
        return itertools.product(*(range(part.start // size, -(-part.stop // size)) for part, size in sides))

    @property
    def grid(self) -> Place:
        """Number of files along each axis."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunk, strict=True))

    def path(self, place: Place) -> str:
        """The file of a chunk."""
        return os.path.join(self.folder, self.name(place))

    def _places(self) -> Iterator[Place]:
        """All places in the grid, or the same sample of them each time."""
        count = math.prod(self.grid)
        for number in range(count) if count <= LOOKED_AT else random.Random(0).sample(range(count), LOOKED_AT):
            place = []
            for size in reversed(self.grid):
                number, step = divmod(number, size)
                place.append(step)
            yield tuple(reversed(place))


NAMES: dict[str, Callable[[Place], str]] = {
    "0.0.0": lambda place: ".".join(map(str, place)),
    "0/0/0": lambda place: "/".join(map(str, place)),
    "c.0.0.0": lambda place: ".".join(("c", *map(str, place))),
    "c/0/0/0": lambda place: "/".join(("c", *map(str, place))),
}
"""How zarr and N5 name the files of chunks, by the name of the first of three axes."""


def keys_that_lie(files: ChunkFiles, keys: str) -> str:
    """How the files of chunks are named: as the metadata say, or otherwise.

    Old programs wrote chunks into nested folders and did not say so.

    Parameters
    ----------
    files : ChunkFiles
        As the metadata say.
    keys : str
        The naming that the metadata say, of `NAMES`.

    Returns
    -------
    str
        The naming of the files that are there.

    Raises
    ------
    InputError
        If they are named in two ways, or none of them is one of the array.
    """
    found = list(first_files(files.folder))
    lying = {key for key in NAMES if any(_is_chunk(name, NAMES[key], files.grid) for name in found)}
    if len(lying) > 1:
        raise InputError(
            f"{files.folder} holds chunks in two ways, {' and '.join(sorted(lying))}; its metadata say {keys}: "
            "move those away that are not of this array"
        )
    if not lying:
        refuse_strays(files, found)
    return lying.pop() if lying else keys


def refuse_strays(files: ChunkFiles, found: Sequence[str]) -> None:
    """Refuse an array of which nothing is stored, in a folder where other files lie."""
    if found and files.stored() is None:
        raise InputError(
            f"{files.folder} holds none of the {math.prod(files.grid):,} {files.kind} that its metadata name, such as "
            f"{files.name((0,) * len(files.grid))}; it holds {found[0]}: the metadata are of another array, or files were moved"
        )


def first_files(folder: str) -> Iterator[str]:
    """Some files below a folder, those of metadata left out, by their names there."""
    folders = 0
    if not os.path.isdir(folder):
        return
    for entry in _first_entries(folder, MOST_NAMES):
        name = entry.name
        if entry.is_dir():
            folders += 1
        while folders <= MOST_FOLDERS and os.path.isdir(os.path.join(folder, name)):
            inner = next(iter(_first_entries(os.path.join(folder, name), 1)), None)
            if inner is None:
                break
            name = f"{name}/{inner.name}"
        if not os.path.isdir(os.path.join(folder, name)):
            yield name


def _first_entries(folder: str, most: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(itertools.islice((entry for entry in entries if _may_be_chunk(entry.name)), most))


def _may_be_chunk(name: str) -> bool:
    return name[0] != "." and name not in ("zarr.json", "attributes.json", "info", "provenance")


def _is_chunk(name: str, naming: Callable[[Place], str], grid: Place) -> bool:
    """Whether a file is that of a chunk inside a grid."""
    place = tuple(int(part) for part in re.findall(r"\d+", name))
    inside = len(place) == len(grid) and all(n < count for n, count in zip(place, grid, strict=True))
    return inside and naming(place) == name
