"""The files in which chunked formats store an array.

Formats let a file be left out, for a chunk of nothing but the fill value; so does whoever loses one.
"""

import itertools
import math
import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clew.documents import regular_file
from clew.volumes.volume import Missing

LOOKED_AT = 20_000
"""Files that are looked for at most, which takes 0.1 s on a local disk; of more, as many are drawn by chance."""

Place = tuple[int, ...]


@dataclass(frozen=True)
class ChunkFiles:
    """The local files of the chunks (or shards) of an array.

    Parameters
    ----------
    folder : str
        Where the names begin.
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
        numbers = (
            range(part.start // size, -(-part.stop // size)) for part, size in zip(selection, self.chunk, strict=True)
        )
        for place in itertools.product(*numbers):
            if os.path.lexists(self.path(place)):
                regular_file(self.path(place))

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


def zarr3_name(document: Mapping[str, Any]) -> Callable[[Place], str]:
    """How an array of zarr 3 names its chunks."""
    encoding = document.get("chunk_key_encoding") or {}
    inner = encoding.get("configuration") or {}
    if encoding.get("name") == "v2":
        return zarr2_name(inner.get("separator") or ".")
    separator = inner.get("separator") or "/"
    return lambda place: separator.join(("c", *map(str, place)))


def zarr2_name(separator: str) -> Callable[[Place], str]:
    """How an array of zarr 2 names its chunks."""
    return lambda place: separator.join(map(str, place))


def nested_name(place: Place) -> str:
    """How an array of N5 names its chunks."""
    return "/".join(map(str, place))
