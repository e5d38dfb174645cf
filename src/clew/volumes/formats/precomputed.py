"""Neuroglancer precomputed volumes, local or remote, through tensorstore.

They are stored x, y, z, channel.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from clew.documents import expect
from clew.errors import InputError
from clew.space import triple
from clew.volumes.formats.chunk_files import ChunkFiles, Place, first_files, refuse_strays
from clew.volumes.formats.chunked import SparseArray, TensorStoreArray, open_tensorstore
from clew.volumes.formats.codecs import reason
from clew.volumes.geometry import Geometry, check_offset, check_voxel_size
from clew.volumes.location import is_remote, join, kvstore_spec, read_json
from clew.volumes.outside import refuse_upwards
from clew.volumes.volume import Stored

AXES = ("x", "y", "z", "c")
COMPRESSED = (".gz", ".br", ".zst", ".zstd", ".xz")


def open_precomputed(folder: str, dataset: str) -> Stored:
    """Open scale 0, or the scale of that number or key."""
    info = read_json(folder, "info")
    if info is None:
        raise InputError(f"{folder} is no neuroglancer precomputed volume: it holds no file info")
    scales = expect(info, "scales", "a list of objects", join(folder, "info"), ())
    if not scales:
        raise InputError(f"{folder} is {info.get('@type', 'precomputed data')} without scales, not a volume")
    index = _scale_index(folder, [str(scale.get("key")) for scale in scales], dataset)
    scale, source = scales[index], f"{folder}:{index}" if index else folder
    refuse_upwards(folder, str(scale.get("key")))
    _refuse_hidden_chunks(folder, str(scale.get("key")))
    why = partial(reason, document=scale, source=source, form="precomputed")
    array = open_tensorstore(precomputed_spec(folder, index), source, why=why)
    files = _files(folder, scale, array)
    if isinstance(array, SparseArray):
        array.files = files
    if files is not None and os.path.isdir(files.folder):
        refuse_strays(files, list(first_files(files.folder)))
    keys = ", ".join(str(scale.get("key")) for scale in scales)
    return Stored(
        array=array,
        geometry=_geometry(scale, scales[0], source),
        format=f"neuroglancer precomputed ({info.get('type', 'image')}, {scale.get('encoding', 'raw')})",
        source=source,
        metadata=info,
        record=info["clew"] if isinstance(info.get("clew"), Mapping) else {},
        chunks=tuple(array.store.chunk_layout.read_chunk.shape),
        notes=(("scales", keys),) if len(scales) > 1 else (),
        pieces=files,
    )


def _files(folder: str, scale: Mapping[str, Any], array: TensorStoreArray) -> ChunkFiles | None:
    """The files of the chunks of a scale.

    None where they are far away, or shards by a hash.
    """
    chunk = tuple(array.store.chunk_layout.read_chunk.shape)
    sharding = scale.get("sharding")
    if is_remote(folder) or (sharding and sharding.get("hash") != "identity"):
        return None
    first = scale.get("voxel_offset", (0, 0, 0))

    def name(place: Place) -> str:
        edges = zip(place, chunk, array.shape, first, strict=False)
        return "_".join(f"{low + n * size}-{low + min((n + 1) * size, end)}" for n, size, end, low in edges)

    files = ChunkFiles(join(folder, str(scale["key"])), name, array.shape, chunk)
    return replace(files, name=partial(shard_name, grid=files.grid[:3], sharding=sharding)) if sharding else files


def shard_name(place: Sequence[int], grid: Sequence[int], sharding: Mapping[str, Any]) -> str:
    """Name of the file of the shard that holds a chunk.

    Its number is a part of the Morton code of the chunk.

    Parameters
    ----------
    place, grid : (x, y, z) ints
        Of the chunk, and how many there are.
    sharding : mapping
        As in `info`.
    """
    code, at = 0, 0
    for bit in range(max(grid).bit_length()):
        for n, count in zip(place, grid, strict=False):
            if 1 << bit < count:
                code |= (n >> bit & 1) << at
                at += 1
    bits = int(sharding["shard_bits"])
    inner = int(sharding.get("preshift_bits", 0)) + int(sharding["minishard_bits"])
    number = (code >> inner) & ((1 << bits) - 1)
    return f"{number:0{-(-bits // 4)}x}.shard"


def precomputed_spec(folder: str, scale_index: int) -> dict[str, Any]:
    """tensorstore's specification of a scale."""
    return {"driver": "neuroglancer_precomputed", "kvstore": kvstore_spec(folder), "scale_index": scale_index}


def _scale_index(folder: str, keys: Sequence[str], dataset: str) -> int:
    if not dataset:
        return 0
    if dataset in keys:
        return keys.index(dataset)
    if dataset.isdigit() and int(dataset) < len(keys):
        return int(dataset)
    raise InputError(f"{folder} has no scale {dataset}; its scales are {', '.join(keys)}, or 0 to {len(keys) - 1}")


def _geometry(scale: Mapping[str, Any], finest: Mapping[str, Any], source: str) -> Geometry:
    """Scales have one corner; the middle of a larger voxel lies further in."""
    voxel_size, fine = (
        check_voxel_size(expect(each, "resolution", "a list of numbers", source)[::-1], source)
        for each in (scale, finest)
    )
    steps = check_offset(expect(scale, "voxel_offset", "a list of numbers", source, (0, 0, 0))[::-1], source)
    inwards = ((1 - small / large) / 2 for small, large in zip(fine, voxel_size, strict=True))
    middle = triple(step + more for step, more in zip(steps, inwards, strict=True))
    return Geometry(AXES, voxel_size, None, "resolution (x, y, z) in info", middle)


def _refuse_hidden_chunks(folder: str, key: str) -> None:
    """Refuse local chunk files with a suffix such as .gz.

    cloud-volume makes them; they would be read as zeros without a word.
    """
    place = join(folder, key)
    if is_remote(folder) or not os.path.isdir(place):
        return
    with os.scandir(place) as entries:
        hidden = [entry.name for entry in islice(entries, 100) if entry.name.endswith(COMPRESSED)]
    if hidden:
        raise InputError(
            f"{folder}: its chunks are compressed files such as {key}/{hidden[0]}, which cannot be read from a local "
            "folder; write them without compression, or unpack them (gunzip)"
        )
