"""Chunked arrays in folders, local or remote: zarr 2, zarr 3 and N5.

They are read and written by tensorstore.
"""

import itertools
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import psutil
import tensorstore

from clew.errors import InputError
from clew.volumes.attributes import Coarse, attribute_geometry, scale_and_finest
from clew.volumes.formats.bigdataviewer_n5 import size_beside
from clew.volumes.formats.chunk_files import NAMES, ChunkFiles, keys_that_lie
from clew.volumes.formats.codecs import known, reason
from clew.volumes.formats.nodes import LEVELS_ABOVE, Node, read_node, with_keys
from clew.volumes.formats.ome import is_plate, multiscale, multiscales, ome_geometry, own_transform, scale_names
from clew.volumes.formats.webknossos import magnifications, webknossos_geometry
from clew.volumes.geometry import Geometry
from clew.volumes.listing import DatasetRow, choose_dataset
from clew.volumes.location import context, is_remote, join, kvstore_spec, parent, subfolders
from clew.volumes.volume import Stored, first_line

DRIVERS = {"zarr 3": "zarr3", "zarr 2": "zarr", "N5": "n5"}
LISTING_DEPTH = 5
ALL_CHUNKS = "all_chunks_stored"
"""Attribute of an array: chunks of nothing but zeros are stored, too, so that one that is missing has been lost."""
STRICT = {"fill_missing_data_reads": False}
"""Option of every driver of tensorstore: a chunk that is missing is an error."""
MISSING = "NOT_FOUND"
"""How tensorstore begins to say that a chunk is missing."""


PATIENCE = 10.0
"""Seconds after which a read is looked into."""


class TensorStoreArray:
    """Boxes of a tensorstore as numpy arrays."""

    def __init__(self, store: Any):
        self.store = store
        self.shape: tuple[int, ...] = tuple(store.shape)
        self.dtype: np.dtype = np.dtype(store.dtype.numpy_dtype)
        self.files: ChunkFiles | None = None
        self.fill: float = 0 if store.fill_value is None else store.fill_value.item()

    def __getitem__(self, selection: tuple[slice, ...]) -> Any:
        return self._wait(self.store[selection].read())

    def _wait(self, future: Any) -> Any:
        """Wait for the result of a read.

        Where it takes long, pipes and sockets in the place of chunks are looked for: they would never end.
        """
        try:
            return future.result(timeout=PATIENCE)
        except TimeoutError:
            _refuse_pipes(str(self.store.kvstore.path))
            return future.result()

    def __setitem__(self, selection: tuple[slice, ...], block: Any) -> None:
        """Write chunk by chunk, and wait for all of them even when one fails.

        So none is written later.
        """
        unit = self.unit_of_writing
        parts = [list(_parts(chosen, step)) for chosen, step in zip(selection, unit, strict=True)]
        futures = []
        for pieces in itertools.product(*parts):
            place = tuple(target for target, _ in pieces)
            futures.append(self.store[place].write(block[tuple(source for _, source in pieces)]))
        errors = [error for error in (future.exception() for future in futures) if error is not None]
        if errors:
            raise errors[0]

    def discard(self, selection: tuple[slice, ...]) -> None:
        """Remove the stored chunks of zarr 3 that a box touches, whatever is in them."""
        unit = self.unit_of_writing
        numbers = (range(box.start // step, -(-box.stop // step)) for box, step in zip(selection, unit, strict=True))
        for place in itertools.product(*numbers):
            self.store.kvstore.write(chunk_key(place), None).result()

    @property
    def unit_of_writing(self) -> tuple[int, ...]:
        """Shape of what is stored in one file: the shard, or else the chunk."""
        return tuple(self.store.chunk_layout.write_chunk.shape)


class SparseArray(TensorStoreArray):
    """Boxes of an array whose missing chunks stand for its fill value.

    So is every chunk of an array that was moved away: after a read that missed one, it is opened again.
    """

    def __init__(self, store: Any, reopen: Callable[[], Any]):
        super().__init__(store)
        self._reopen = reopen
        self._filling: Any = None

    def __getitem__(self, selection: tuple[slice, ...]) -> Any:
        if self._filling is None:
            try:
                return super().__getitem__(selection)
            except ValueError as error:
                if not str(error).startswith(MISSING):
                    raise
            self._filling = self._reopen()
            if self.files is not None:
                self.files.refuse_elsewhere(selection)
        if self.files is not None:
            self.files.refuse_others(selection)
        block = self._wait(self._filling[selection].read())
        self._reopen()
        return block


def chunk_key(place: tuple[int, ...]) -> str:
    """Name of a chunk (or shard) in a zarr 3 array that clew made."""
    return "/".join(("c", *map(str, place)))


def _refuse_huge_chunks(store: Any, source: str) -> None:
    """tensorstore ends the process where it cannot have the memory for a chunk."""
    chunk = store.chunk_layout.read_chunk.shape
    needed, there = math.prod(chunk) * store.dtype.numpy_dtype.itemsize, psutil.virtual_memory().total
    if needed > there:
        raise InputError(
            f"{source}: a chunk {tuple(chunk)} needs {needed / 1e9:.3g} GB; this machine has {there / 1e9:.3g} GB"
        )


def _refuse_pipes(folder: str) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            mode = os.stat(os.path.join(place, name), follow_symlinks=True).st_mode
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                raise InputError(f"{place}/{name} is a pipe or a socket; wanted a file of voxels")


def _parts(chosen: slice, step: int) -> Iterator[tuple[slice, slice]]:
    """Cut a slice (of step 1) at multiples of the chunk.

    Each part is given as a slice of the array and a slice of the block.
    """
    start = chosen.start
    while start < chosen.stop:
        stop = min(chosen.stop, (start // step + 1) * step)
        yield slice(start, stop), slice(start - chosen.start, stop - chosen.start)
        start = stop


def open_chunked(folder: str, dataset: str) -> Stored:
    """Open an array in a folder: the one of the name or scale `dataset`, or the only."""
    node = read_node(folder)
    if dataset:
        node = _named_node(folder, node, dataset)
    if node is None or not node.is_array:
        node = _only_array(folder if node is None else node.folder, node)
    return _open_array(node)


def list_chunked(folder: str) -> list[DatasetRow]:
    """List the arrays below a folder.

    An image of several scales counts once, with the shape of its finest.
    """
    return list(_walk(folder, "", LISTING_DEPTH))


def scales(folder: str, node: Node | None) -> list[str]:
    """Names of the scales of an image group, finest first; none for anything else.

    They are those of OME multiscales, of WEBKNOSSOS, or N5's s0, s1, …
    """
    if node is not None and node.is_array:
        return []
    image = None if node is None else multiscale(node.attributes, folder)
    if image is not None:
        return scale_names(image)
    if found := magnifications(folder):
        return found
    names = [] if node is None or is_remote(folder) else subfolders(folder)
    if names and all(name[:1] == "s" and name[1:].isdigit() for name in names):
        return names
    return []


def _named_node(folder: str, node: Node | None, dataset: str) -> Node:
    found = read_node(join(folder, dataset)) if node is None or not node.is_array else None
    if found is not None:
        return found
    names = scales(folder, node)
    if dataset.isdigit() and int(dataset) < len(names):
        chosen = read_node(join(folder, names[int(dataset)]))
        if chosen is not None:
            return chosen
    if names:
        raise InputError(f"{folder} has no scale {dataset}; its scales are {', '.join(names)}")
    choose_dataset(folder, dataset, lambda: list_chunked(folder), exists=False)
    raise AssertionError("unreachable")


def _only_array(folder: str, node: Node | None) -> Node:
    names = scales(folder, node)
    if names:
        name = names[0]
    elif node is not None and is_plate(node.attributes) and len(list_chunked(folder)) != 1:
        raise InputError(f"{folder} is a plate of wells; name one image of it, such as {folder}/A/1/0")
    elif is_remote(folder):
        raise InputError(f"{folder} is no array or image with scales, or may not be read; name an array: {folder}/…")
    else:
        name = choose_dataset(folder, "", lambda: list_chunked(folder), exists=False)
    chosen = read_node(join(folder, name))
    if chosen is None:
        raise InputError(f"{folder} should hold the array {name}, which is missing")
    return chosen if chosen.is_array else _only_array(chosen.folder, chosen)


def _open_array(node: Node) -> Stored:
    array = _opened_array(node)
    above = list(_groups_above(node))
    geometry, depth = _geometry(node, above, array.shape)
    levels = [node.attributes, *(group.attributes for group, _ in above)]
    records = [level["clew"] for level in levels if isinstance(level.get("clew"), Mapping)]
    metadata: dict[str, Any] = {}
    for level in reversed(levels):
        metadata.update(level)
    written, read = array.store.chunk_layout.write_chunk.shape, array.store.chunk_layout.read_chunk.shape
    shards = (("shards", " × ".join(str(size) for size in written)),) if written != read else ()
    return Stored(
        array=array,
        geometry=geometry,
        format=f"OME-Zarr ({node.format})" if depth else node.format,
        source=node.folder,
        metadata=metadata,
        record=records[0] if records else {},
        chunks=tuple(read),
        notes=shards,
        pieces=None if is_remote(node.folder) else array.files,
    )


def _opened_array(node: Node) -> TensorStoreArray:
    """The array, with its codecs by the names that tensorstore knows.

    Its chunks are read where they lie.
    """
    document = known(node.document, node.format)
    array = _with_document(node, document)
    chunk = array.unit_of_writing
    kind = "chunks" if chunk == tuple(array.store.chunk_layout.read_chunk.shape) else "shards"
    files = ChunkFiles(node.folder, NAMES[node.keys], array.shape, chunk, kind, array.fill)
    keys = node.keys if is_remote(node.folder) else keys_that_lie(files, node.keys)
    if keys != node.keys:
        other = with_keys(replace(node, document=document), keys)
        if other is None:
            raise InputError(f"{node.folder} holds chunks named {keys}; those of {node.format} are named {node.keys}")
        array, files = _with_document(node, other), replace(files, name=NAMES[keys])
    array.files = files
    return array


def _with_document(node: Node, document: Mapping[str, Any]) -> TensorStoreArray:
    """Open an array as its metadata say, or as a document that differs says."""
    spec: dict[str, Any] = {"driver": DRIVERS[node.format], "kvstore": kvstore_spec(node.folder)}
    if node.consolidated or document != node.document:
        spec |= {"metadata": dict(document), "open": True, "assume_metadata": True}
    why = partial(reason, document=document, source=node.folder, form=node.format)
    return open_tensorstore(spec, node.folder, all_chunks=node.attributes.get(ALL_CHUNKS) is True, why=why)


def open_tensorstore(
    spec: dict[str, Any], source: str, *, all_chunks: bool = False, why: Callable[[str], str] = lambda _: ""
) -> TensorStoreArray:
    """Open for reading, from the origin on; whatever is wrong is one InputError.

    Where `all_chunks` are stored, one that is missing is an error when it is read. `why` puts messages into our words.
    """

    # the words read and open would let tensorstore look at the metadata that it is not to look at
    mode: dict[str, Any] = {} if spec.get("assume_metadata") else {"read": True, "open": True}

    def opened(options: Mapping[str, Any]) -> Any:
        try:
            store = tensorstore.open({**spec, **options}, context=context(), **mode).result()
        except (ValueError, OSError, RuntimeError, NotImplementedError) as error:
            raise InputError(f"{source} cannot be read: {why(str(error)) or first_line(error)}") from error
        if spec.get("assume_metadata") and read_node(source) is None:
            raise InputError(f"{source} is no longer there: it was moved or removed while it was read")
        _refuse_huge_chunks(store, source)
        return store[tensorstore.d[:].translate_to[0]]

    return TensorStoreArray(opened(STRICT)) if all_chunks else SparseArray(opened(STRICT), partial(opened, {}))


def _geometry(node: Node, above: list[tuple[Node, str]], shape: tuple[int, ...]) -> tuple[Geometry, bool]:
    """Geometry of an array, and whether it comes from multiscales of a group above.

    Else it comes from attributes.
    """
    levels = [node.attributes, *(group.attributes for group, _ in above)]
    for group, name in above:
        for image in multiscales(group.attributes, group.folder):
            found = ome_geometry(image, name, shape, node.folder)
            if found is None:
                levels[1:1] = [transform] if (transform := own_transform(image, name)) else []
                continue
            levels[0] = {**levels[0], "axis_names": found.axes}
            said = None if found.voxel_size else attribute_geometry(levels, shape, node.folder, coarse=_coarse(node))
            return (said, False) if said and said.voxel_size else (found, True)
    reverse, remote = node.format == "N5", is_remote(node.folder)
    described = None if remote else webknossos_geometry(node.folder, shape)
    if described is not None:
        return described, False
    if reverse and (size := size_beside(node.folder)):
        levels.insert(1, size)
    found = attribute_geometry(levels, shape, node.folder, reverse=reverse, coarse=_coarse(node))
    if remote and found.voxel_size is None:  # only then, because each look costs a request
        described = webknossos_geometry(node.folder, shape)
    return described or found, False


def _coarse(node: Node) -> Coarse | None:
    """What the finest scale says, for a coarser one."""
    up = parent(node.folder)
    found = scale_and_finest(up[1]) if up else None
    finest = read_node(join(up[0], found[1]), node.consolidated) if up and found else None
    return Coarse(found[0], finest.attributes, finest.shape) if found and finest and finest.is_array else None


def _groups_above(node: Node) -> Iterator[tuple[Node, str]]:
    """The groups that hold an array, nearest first, each with the array's path in it."""
    folder, path = node.folder, ""
    for _ in range(LEVELS_ABOVE):
        up = parent(folder)
        if up is None:
            return
        folder, path = up[0], f"{up[1]}/{path}".rstrip("/")
        group = read_node(folder, node.consolidated)
        if group is None or group.is_array:
            return
        yield group, path


def _walk(folder: str, name: str, depth: int) -> Iterator[DatasetRow]:
    node = read_node(folder)
    if node is not None and node.is_array:
        if 3 <= len(node.shape) <= 5:
            yield DatasetRow(name, node.shape, node.dtype)
        return
    names = scales(folder, node)
    finest = read_node(join(folder, names[0])) if names else None
    if finest is not None:
        yield DatasetRow(name, finest.shape, finest.dtype)
    elif depth and not is_remote(folder):
        below = max(depth - (2 if node is None else 1), 0)
        for child in subfolders(folder):
            yield from _walk(join(folder, child), f"{name}/{child}".lstrip("/"), below)
