"""Write volumes: OME-Zarr 0.5 (zarr 3) and HDF5.

They are written beside their name, and renamed when whole.
"""

import datetime
import itertools
import json
import os
import resource
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from clew import __version__
from clew.errors import InputError
from clew.replace import disk_is_full, refuse_existing, written_beside
from clew.volumes.geometry import check_offset, check_voxel_size
from clew.volumes.location import HDF5_SUFFIXES, is_remote, normal_path
from clew.volumes.volume import Layout, Volume, box_slices, first_line

DTYPES = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32")
BLOCK_BYTES = 64 << 20
KIBIBYTE = 1024
OWN = ("version", "created", "id", "seconds", "peak_memory")
"""Names of what a record holds that no other output has."""
_BEGUN: ContextVar[float] = ContextVar("_BEGUN")


@contextmanager
def stage_begun() -> Iterator[None]:
    """Note the time: what is written until the block ends records how long it took."""
    token = _BEGUN.set(time.perf_counter())
    try:
        yield
    finally:
        _BEGUN.reset(token)


def _spent() -> dict[str, Any]:
    """Seconds since the stage began, and the largest resident memory so far in bytes.

    Nothing outside of a stage.
    """
    begun = _BEGUN.get(None)
    if begun is None:
        return {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE
    return {"seconds": round(time.perf_counter() - begun, 2), "peak_memory": peak}


class WritableVolume:
    """A volume that is being written: `volume[selection] = block`.

    It is renamed when its `with` block ends.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    axes : str
        "zyx" or "czyx".
    chunks : tuple of int
        The unit of writing; blocks aligned to it are written once.
    attributes : dict
        What will be recorded; may be filled until the end.
    """

    def __init__(self, array: Any, layout: Layout, unit: tuple[int, ...], name: str, record: dict[str, Any]):
        self._array = array
        self._name = name
        self.shape = layout.shape
        self.dtype = layout.dtype
        self.axes = layout.axes
        self.chunks = unit
        self.attributes = record

    def __setitem__(self, selection: Any, block: Any) -> None:
        block = np.asarray(block)
        slices, dropped = box_slices(selection, self.shape, self._name)
        if any(part.step != 1 for part in slices):
            raise InputError(f"{self._name} is written in boxes; the selection {selection} has steps")
        wanted = tuple(len(range(part.start, part.stop)) for part in slices)
        kept = tuple(size for axis, size in enumerate(wanted) if axis not in dropped)
        if block.shape != kept:
            raise InputError(f"{self._name}: a block of shape {block.shape} does not fit the selection of shape {kept}")
        if not np.can_cast(block.dtype, self.dtype, "safe"):
            raise InputError(f"{self._name} holds {self.dtype}; a block of {block.dtype} would not keep its values")
        if block.size:
            try:
                self._array[slices] = block.reshape(wanted).astype(self.dtype, copy=False)
            except (OSError, ValueError, RuntimeError) as error:
                if disk_is_full(error):
                    raise
                raise InputError(f"{self._name} cannot be written: {first_line(error)}") from error


def save_volume(
    path: str | os.PathLike[str],
    data: Any,
    *,
    voxel_size: Sequence[float],
    offset: Sequence[float] = (0.0, 0.0, 0.0),
    axes: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write an array or an opened volume.

    It is written block by block, and never whole in memory.

    Parameters
    ----------
    path : str or Path
        `name.zarr` (OME-Zarr 0.5, also at s3:// and gs://) or `name.h5:dataset`.
    data : (z, y, x) or (c, z, y, x) bool, integers or float32
    voxel_size : (z, y, x) floats
        In nm.
    offset : (z, y, x) floats
        Position of the first voxel in nm.
    axes : str, optional
        "zyx" or "czyx"; from the number of axes where not given.
    attributes : mapping, optional
        What to record (stage, parameters, inputs, offsets, …); read again as `Volume.attributes`.
    overwrite : bool
        Replace an existing output, at the end.

    Raises
    ------
    InputError
        Existing output, unwritable folder or bucket, unsupported dtype, full disk. Nothing half-written is left.

    Examples
    --------
    >>> labels = np.ones((4, 8, 8), np.uint64)
    >>> clew.save_volume("labels.zarr", labels, voxel_size=(8, 8, 8), attributes={"source": "an example"})
    >>> clew.open_volume("labels.zarr").attributes["source"]
    'an example'
    """
    data = data if isinstance(data, Volume) else np.asarray(data)
    with create_volume(
        path,
        shape=data.shape,
        dtype=data.dtype,
        voxel_size=voxel_size,
        offset=offset,
        axes=axes,
        attributes=attributes,
        overwrite=overwrite,
    ) as volume:
        for box in boxes(volume.shape, volume.chunks, volume.dtype.itemsize):
            volume[box] = data[box]


@contextmanager
def create_volume(
    path: str | os.PathLike[str],
    *,
    shape: Sequence[int],
    dtype: Any,
    voxel_size: Sequence[float],
    offset: Sequence[float] = (0.0, 0.0, 0.0),
    axes: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Iterator[WritableVolume]:
    """Give a volume to write to, which gets its name when the `with` block ends well.

    When it does not, nothing is left.

    Parameters as in `save_volume`. What is not assigned is 0. Threads may assign different blocks at a time.
    """
    if is_remote(os.fspath(path)):
        from clew.volumes.remote import created_remote, remote_target

        url, record = remote_target(os.fspath(path)), record_of(attributes)
        layout = _layout(url, shape, dtype, axes, voxel_size, offset)
        with created_remote(url, layout, record, overwrite) as (array, unit):
            yield WritableVolume(array, layout, unit, url, record)
            record |= _spent()
        return
    target, dataset = output_target(path)
    name = f"{target}:{dataset}" if dataset else str(target)
    layout = _layout(name, shape, dtype, axes, voxel_size, offset)
    is_hdf5 = target.suffix.lower() in HDF5_SUFFIXES
    adding = is_hdf5 and bool(dataset) and target.exists()
    if adding:
        from clew.volumes.formats.hdf5 import check_dataset_free

        check_dataset_free(target, dataset, overwrite)
    else:
        _check_replaceable(target, is_hdf5, overwrite)
    with written_beside(target, overwrite or adding) as partial:
        if adding:
            shutil.copyfile(target, partial)
        record = record_of(attributes)
        with _created(partial, dataset or "data", layout, record, target, is_hdf5) as (array, unit):
            yield WritableVolume(array, layout, unit, name, record)
            record |= _spent()


def output_target(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """Local file or folder to write, and the dataset in it.

    An InputError refuses a name of no format that we write.
    """
    text = normal_path(path)
    parts = Path(text.replace(".zarr:", ".zarr/", 1)).parts
    for place, part in enumerate(parts):
        head, colon, tail = part.partition(":")
        is_folder = place + 1 < len(parts) and os.path.isdir(Path(*parts[: place + 1]))
        if Path(head).suffix.lower() in HDF5_SUFFIXES and not is_folder:
            inner = "/".join([*([tail] if colon and tail else []), *parts[place + 1 :]])
            return Path(*parts[:place], head), inner.strip("/")
    if any(Path(part).suffix == ".zarr" for part in parts):
        return Path(*parts), ""
    raise InputError(f"{text}: an output must end in .zarr (OME-Zarr) or be .h5:dataset (HDF5)")


def refuse_output(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuse, before any work, an output that exists or cannot be written."""
    if is_remote(os.fspath(path)):
        from clew.volumes.remote import refuse_remote, remote_target

        refuse_remote(remote_target(os.fspath(path)), overwrite)
        return
    target, dataset = output_target(path)
    if not dataset or not target.exists():
        refuse_existing(target, overwrite)


def boxes(shape: Sequence[int], unit: Sequence[int], itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Boxes that cover a shape, of moderate size.

    Each is a multiple of the unit of writing.
    """
    steps = [min(a, b) for a, b in zip(unit, shape, strict=True)]
    for axis in reversed(range(len(steps))):
        while steps[axis] < shape[axis] and 2 * int(np.prod(steps)) * itemsize <= BLOCK_BYTES:
            steps[axis] *= 2
    ranges = [range(0, size, step) for size, step in zip(shape, steps, strict=True)]
    for starts in itertools.product(*ranges):
        yield tuple(slice(a, min(a + b, size)) for a, b, size in zip(starts, steps, shape, strict=True))


@contextmanager
def _created(
    partial: Path, dataset: str, layout: Layout, record: dict[str, Any], target: Path, is_hdf5: bool
) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """The array of the format and its unit of writing.

    Attributes are written when the block ends well.
    """
    if is_hdf5:
        from clew.volumes.formats.hdf5 import created_hdf5

        with created_hdf5(partial, dataset, layout, record) as array:
            yield array, layout.chunks
    else:
        from clew.volumes.formats.ome_zarr import create_array, group_metadata

        scale = create_array(partial / "s0", layout)
        yield scale, scale.unit
        scale.complete()
        (partial / "zarr.json").write_text(group_metadata(target.stem, {"s0": layout}, record))


def chunk_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Chunks of 64³ voxels, one channel each."""
    sizes = [min(64, size) for size in shape]
    return tuple([1, *sizes[1:]] if len(sizes) == 4 else sizes)


def _layout(
    name: str, shape: Sequence[int], dtype: Any, axes: str | None, voxel_size: Sequence[float], offset: Sequence[float]
) -> Layout:
    """Check what is to be written."""
    sizes, kind = tuple(int(size) for size in shape), np.dtype(dtype).newbyteorder("=")
    if kind.name not in DTYPES:
        mend = "; clew convert --dtype uint8 scales an image to grey values" if kind.kind == "f" else ""
        raise InputError(f"{name}: cannot write {kind}; wanted one of {', '.join(DTYPES)}{mend}")
    order = axes or {3: "zyx", 4: "czyx"}.get(len(sizes), "")
    if order not in ("zyx", "czyx") or len(order) != len(sizes):
        raise InputError(f"{name}: wanted an array (z, y, x) or (c, z, y, x), not axes {axes!r} of shape {sizes}")
    if min(sizes) < 1:
        raise InputError(f"{name}: the volume is empty: its shape is {sizes}")
    lengths, start = check_voxel_size(voxel_size, name), check_offset(offset, name)
    return Layout(sizes, kind, order, lengths, start, chunk_shape(sizes))


def _check_replaceable(target: Path, is_hdf5: bool, overwrite: bool) -> None:
    """Refuse what exists; never replace something that is not of the format to write."""
    refuse_existing(target, overwrite)
    if not target.exists():
        return
    marks = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
    same = target.is_file() if is_hdf5 else any((target / mark).is_file() for mark in marks)
    if not same:
        kind = "file" if is_hdf5 else "zarr"
        raise InputError(f"{target} exists and is not a {kind}, so it is not replaced: move it away first")


def record_of(attributes: Mapping[str, Any] | None, identity: str = "") -> dict[str, Any]:
    """What to record with an output, as plain JSON values.

    The version, the time of writing and an id that no other output has are added, and inside of a stage how long it took and the
    largest memory of the process.

    These are never taken from `attributes`, which may come from another output.
    """
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    own = {"version": __version__, "created": created, "id": identity or uuid.uuid4().hex}
    given = {name: value for name, value in dict(attributes or {}).items() if name not in OWN}
    return own | json.loads(json.dumps(given, default=plain)) | _spent()


def plain(value: Any) -> Any:
    """JSON for numpy values and paths."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
