"""A volume that is opened but not yet read.

It has a shape, a voxel size and an offset; boxes of it are read as numpy arrays.
"""

import math
import os
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.memory import refuse_beyond_memory
from clew.space import Lengths
from clew.volumes.geometry import Geometry, axis_order, check_offset, check_voxel_size

Selection = Any
UNCHECKED = 256 << 20
"""Bytes that are read without a look at the free memory, which takes 3 ms."""
PLACED = "placed"
"""Attribute of what clew made of a volume that does not say its offset: false."""
LOSSY = "lossy"
"""Attribute of images whose compression changed values, and of what clew made of them: its name."""
EXBIBYTE = 1 << 60
"""More than any volume holds, in bytes; from there on numbers of voxels do not fit where they are kept."""
_INSIDES = re.compile(r" \[(?:tensorstore_spec|source locations)=")
"""Where tensorstore begins to describe itself in a message; source locations until 0.1.85."""
_DAMAGED = re.compile(r'^[A-Z_]+: (?:Error opening "\w+" driver: )?(?:Error reading [^"]*local file "([^"]+)": )+')
"""How tensorstore begins to say that it cannot make sense of a file."""


class StoredArray(Protocol):
    """What a format hands in: boxes in the order of the file."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def __getitem__(self, selection: tuple[slice, ...], /) -> Any: ...


class Missing(NamedTuple):
    """Files that a format could hold and that are not there.

    Parameters
    ----------
    lost, looked_at, all : int
        Files that are missing, that were looked for, and that there would be.
    kind : str
        What people call them, as "chunks".
    fill : number
        What they are read as.
    """

    lost: int
    looked_at: int
    all: int
    kind: str
    fill: float


class Pieces(Protocol):
    """The files of a format that lets some be left out."""

    def missing(self) -> Missing:
        """Count those that are not there, without reading."""

    def stored(self) -> tuple[slice, ...] | None:
        """A box, in the order of the file, that is stored; None where none is found."""


@dataclass(frozen=True)
class Stored:
    """An array as its format found it.

    Parameters
    ----------
    array : StoredArray
        Gives boxes in the order of the file.
    geometry : Geometry
        What its metadata say.
    format, source : str
        For people.
    metadata : mapping
        Attributes as stored.
    record : mapping
        What clew recorded when it wrote the array; for a foreign file only `LOSSY`, where it is so.
    chunks : tuple of int, optional
        In stored order, None where not chunked.
    notes : tuple of (str, str)
        Further facts for `describe`.
    warnings : tuple of str
        What a person should know before using it, a sentence each.
    pieces : Pieces, optional
        The files of it, where the format lets some be left out.
    look : callable, optional
        Looks at what is quickly seen of all its files, and raises InputError where one does not fit; for `Volume.probe`.
    close : callable, optional
        Closes the file.
    """

    array: StoredArray
    geometry: Geometry
    format: str
    source: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    chunks: tuple[int, ...] | None = None
    notes: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    pieces: Pieces | None = None
    look: Callable[[], None] | None = None
    close: Callable[[], None] | None = None


@dataclass(frozen=True)
class Layout:
    """An array to create.

    Parameters
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    axes : str
        "zyx" or "czyx".
    voxel_size, offset : (z, y, x) floats
        In nm.
    chunks : tuple of int
        Shape of a chunk.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    axes: str
    voxel_size: Lengths
    offset: Lengths
    chunks: tuple[int, ...]


class Volume:
    """An array (z, y, x) or (c, z, y, x) in a file, read a box at a time.

    Parameters
    ----------
    stored : Stored
        The array as its format found it.
    voxel_size, offset : (z, y, x) floats, optional
        In nm, instead of what the metadata say.

    Attributes
    ----------
    shape, dtype, ndim, nbytes : as of a numpy array
        In our order of axes.
    axes : str
        "zyx" or "czyx".
    voxel_size : (z, y, x) floats
        In nm.
    offset : (z, y, x) floats
        Position of the first voxel in nm.
    placed : bool
        Whether anything says the offset; it is 0 where nothing does.
    attributes : dict
        What clew recorded when it wrote the array ({} for a foreign file).
    metadata : dict
        All attributes as stored.
    source : str
        Path or URL, with the dataset.
    format : str
        For people.
    chunks : tuple of int, optional
        In our order of axes, None where not chunked.
    noticed : tuple of str
        What its format noticed; `volume_warnings` has all there is to say.
    pieces : Pieces, optional
        Its files, where the format lets some be left out.

    Raises
    ------
    InputError
        If the volume is empty, has axes that are not understood, or does not say its voxel size.
    """

    def __init__(
        self, stored: Stored, voxel_size: Sequence[float] | None = None, offset: Sequence[float] | None = None
    ):
        self._stored = stored
        self._array = stored.array
        self.source = stored.source
        self.format = stored.format
        self.attributes: dict[str, Any] = dict(stored.record)
        self.metadata: dict[str, Any] = dict(stored.metadata)
        self.noticed, self.pieces = (*stored.warnings, *stored.geometry.warnings), stored.pieces
        order = axis_order(stored.geometry.axes, stored.array.shape, self.source)
        self.axes = order.axes
        self._order = order.stored
        self.shape = tuple(int(stored.array.shape[axis]) for axis in self._order)
        self.chunks = None if stored.chunks is None else tuple(int(stored.chunks[axis]) for axis in self._order)
        self.dtype = _native_dtype(stored.array.dtype, self.source)
        self.voxel_size, self.voxel_size_source = self._find_voxel_size(voxel_size)
        geometry = stored.geometry
        if offset is None and geometry.unclear_offset:
            raise InputError(
                f"{self.source}: {geometry.unclear_offset}; give it in nm with clew convert --offset z,y,x"
            )
        given = offset if offset is not None else geometry.offset_with(self.voxel_size)
        self.offset: Lengths = check_offset(given, self.source)
        said = not (geometry.offset is None and geometry.offset_voxels is None) and self.attributes.get(PLACED, True)
        self.placed = offset is not None or bool(said)
        if 0 in self.shape:
            raise InputError(f"{self.source} is empty: its shape is {self.shape}")
        if self.nbytes >= EXBIBYTE:
            raise InputError(
                f"{self.source} says its shape is {self.shape}: no volume is that large; its metadata are damaged"
            )

    def _find_voxel_size(self, given: Sequence[float] | None) -> tuple[Lengths, str]:
        if given is not None:
            return check_voxel_size(given, self.source), "given by the user"
        found = self._stored.geometry.voxel_size
        if found is None:
            reason = self._stored.geometry.source
            raise InputError(
                f"{self.source} (shape {self.shape}) does not say its voxel size{reason and ': '}{reason}; "
                "give it as --voxel-size z,y,x in nm, for example --voxel-size 8,8,8"
            )
        return check_voxel_size(found, self.source), self._stored.geometry.source

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def read(self, selection: Selection = ...) -> NDArray[Any]:
        """Read a box of the volume.

        It is selected as in numpy, by integers, slices with positive steps and Ellipsis.

        Only the chunks (or sections) that the box touches are read. The result is a new C-ordered array.
        """
        slices, dropped = box_slices(selection, self.shape, self.source)
        size = math.prod(len(range(s.start, s.stop, s.step)) for s in slices) * self.dtype.itemsize
        if size > UNCHECKED:
            refuse_beyond_memory(size, f"to read {self.source}", "cut out a part of it with clew convert --box")
        stored = [slice(0, 1)] * len(self._array.shape)
        for axis, chosen in zip(self._order, slices, strict=True):
            stored[axis] = chosen
        if any(chosen.start >= chosen.stop for chosen in slices):
            block = np.zeros([len(range(s.start, s.stop, s.step)) for s in slices], self.dtype)
        else:
            block = self._read_stored(tuple(stored))
        return np.squeeze(block, dropped) if dropped else block

    def probe(self) -> None:
        """Read one voxel that is stored, to see that the volume can be read.

        Raises
        ------
        InputError
            As `read`.
        """
        middle = tuple(slice(size // 2, size // 2 + 1) for size in self._array.shape)
        found = None if self.pieces is None else self.pieces.stored()
        self._read_stored(found or middle)
        if self._stored.look is not None:
            self._stored.look()

    def _read_stored(self, stored: tuple[slice, ...]) -> NDArray[Any]:
        try:
            block = self._array[stored]
            # a copy of what is mapped into memory: the file may be cut off or vanish later
            block = np.array(block) if isinstance(block, np.memmap) else np.asarray(block)
        except InputError:
            raise
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            again = made_again(self.attributes)
            raise InputError(f"{self.source} cannot be read: {first_line(error)}{again}") from error
        rest = [axis for axis in range(block.ndim) if axis not in self._order]
        block = block.transpose(*rest, *self._order)
        block = block.reshape(block.shape[len(rest) :])
        return np.ascontiguousarray(block, dtype=self.dtype)

    def __getitem__(self, selection: Selection) -> NDArray[Any]:
        return self.read(selection)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.read().astype(dtype or self.dtype, copy=False)

    def __len__(self) -> int:
        return self.shape[0]

    def close(self) -> None:
        """Close the file."""
        if self._stored.close is not None:
            self._stored.close()

    def __enter__(self) -> "Volume":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Volume {self.source} {self.axes} {self.shape} {self.dtype} {self.voxel_size} nm>"

    def rows(self) -> list[tuple[str, str]]:
        """What was understood, as (name, value) rows for `clew info`."""
        from clew.volumes.describe import describe_rows

        return describe_rows(self, self._stored.notes)

    def describe(self) -> str:
        """The rows as plain text."""
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def box_slices(selection: Selection, shape: Sequence[int], source: str) -> tuple[tuple[slice, ...], tuple[int, ...]]:
    """A numpy selection as one slice inside the shape for each axis.

    Followed by the axes that integers drop.
    """
    parts = list(selection) if isinstance(selection, tuple) else [selection]
    dots = [index for index, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1 or len(parts) - len(dots) > len(shape):
        raise InputError(f"{source} has {len(shape)} axes; the selection {selection} does not fit")
    first = dots[0] if dots else len(parts)
    missing = len(shape) - (len(parts) - len(dots))
    parts[first : first + len(dots)] = [slice(None)] * missing
    slices, dropped = [], []
    for axis, (part, size) in enumerate(zip(parts, shape, strict=True)):
        if isinstance(part, slice):
            start, stop, step = part.indices(size)
            if step < 1:
                raise InputError(f"{source}: a selection must have positive steps, not {part}")
            slices.append(slice(start, max(start, stop), step))
            continue
        index = int(part)
        if not -size <= index < size:
            raise InputError(f"{source}: index {index} is outside axis {axis} of size {size}")
        slices.append(slice(index % size, index % size + 1, 1))
        dropped.append(axis)
    return tuple(slices), tuple(dropped)


def made_again(record: Mapping[str, Any]) -> str:
    """What to type where a volume with this record is damaged.

    Nothing for a volume that no command of clew made.
    """
    stage, parameters = record.get("stage"), record.get("parameters")
    if not isinstance(stage, str) or not isinstance(parameters, Mapping):
        return ""
    if stage.endswith("-blocks"):
        return f"; clew retry {parameters.get('folder')} makes it again"
    return f"; bring it back, or make the volume again: clew {stage} with --overwrite"


def first_line(error: BaseException) -> str:
    """The first line of a library's message.

    What tensorstore says of its own insides is left out.
    """
    text = str(error).strip() or type(error).__name__
    line = _INSIDES.split(text.splitlines()[0])[0]
    return _DAMAGED.sub(lambda found: f"{found[1]} is {_damage(found[1])}: ", line)[:300]


def _damage(path: str) -> str:
    empty = os.path.isfile(path) and not os.path.getsize(path)
    return "empty (0 bytes), it was cut off" if empty else "damaged or not understood"


def _native_dtype(dtype: Any, source: str) -> np.dtype:
    native = np.dtype(dtype).newbyteorder("=")
    if native.kind not in "buif":
        raise InputError(f"{source} holds {dtype}; wanted bool, integers or floats")
    return native
