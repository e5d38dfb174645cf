"""What identifies an input, and what has changed since an output was made.

clew's own outputs carry an id in their record, other files are known by size, content and time of modification. Paths do not
count: a folder that was moved with all that is in it is the same.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from clew.documents import regular_file
from clew.errors import InputError
from clew.pipeline._files import FILE_NAMES
from clew.volumes.location import HDF5_SUFFIXES, find_location
from clew.volumes.open import IMAGE_SUFFIXES, open_volume
from clew.volumes.save import boxes
from clew.volumes.tables import table_record
from clew.volumes.volume import Volume

Identity = dict[str, Any]
SMALL = 256 << 20
"""Bytes up to which files are compared by content, larger ones by time; reading and hashing so many takes 0.5 s of CPU."""
MANY = 10_000
"""Files of a folder that are looked at, in the order of their names; so many take 0.5 s of CPU."""


def identify(given: str | Iterable[str]) -> list[Identity]:
    """What identifies an input, or each file of training data.

    Training data are `RAW,LABELS,MASK`, or a list of such.

    Parameters
    ----------
    given
        Path of a volume, table, checkpoint, text file or folder of `segment-blocks`, or the name of a bundled network.

    Returns
    -------
    list of identities, equal for equal inputs: `id` of an output of clew (`created` of one of a version that gave no ids),
    else a digest. Empty for what is not there or cannot be opened: the stage that reads it says so.
    """
    return [_identity(path) for path in paths_in(given)]


def paths_in(given: str | Iterable[str]) -> list[str]:
    """The paths that an option names."""
    items = [given] if isinstance(given, str) else list(given)
    return [path for item in items for path in ([item] if os.path.exists(item) else item.split(","))]


def changed_inputs(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of the options whose inputs are not those that a record names.

    None where it names none.
    """
    known = before.get("inputs") or {}
    return [name for name, found in now.get("inputs", {}).items() if name in known and known[name] != found]


def changed_parameters(before: Mapping[str, Any], now: Mapping[str, Any], places: Iterable[str] = ()) -> list[str]:
    """List the options that differ between two records, as text.

    The place of an input that the record identifies does not count, nor do the options in `places`; options that an earlier
    version of clew did not have count as given as they are now.
    """
    old, new = before.get("parameters", {}), now["parameters"]
    known = before.get("inputs") or {}
    left_out = {name for name in now.get("inputs", {}) if name in known} | set(places)
    return [
        f"{name} was {old.get(name)}, is {new[name]}"
        for name in new
        if name not in left_out and old.get(name, new[name]) != new[name]
    ]


def record_in(path: str) -> dict[str, Any]:
    """What clew recorded in a volume or table.

    Nothing for files of others, and for what cannot be opened.
    """
    suffix = Path(path).suffix.lower()
    with suppress(InputError):
        if Path(path).is_file() and suffix in HDF5_SUFFIXES:
            found = table_record(path)
            if found is not None:
                return found
        elif Path(path).is_file() and suffix not in IMAGE_SUFFIXES:
            return {}
        with _opened(path) as volume:
            return volume.attributes
    return {}


def _identity(path: str) -> Identity:
    with suppress(InputError, OSError):
        path = _file_of(path)
        record = record_in(path)
        if record.get("id"):
            return {"id": record["id"]}
        return {"created": record["created"]} if record.get("created") else _foreign(path)
    return {}


def _file_of(path: str) -> str:
    """The file that holds the record of an input.

    The file of a bundled network, or the merge tree of a folder of segment-blocks.
    """
    tree = Path(path) / FILE_NAMES["merge_tree"]
    if tree.is_file():
        return str(tree)
    if os.sep in path or os.path.exists(path):
        return path
    from clew.network.bundled import WEIGHTS  # imports torch

    bundled = WEIGHTS / f"{path}.pt"
    return str(bundled) if bundled.is_file() else path


def _opened(path: str) -> Volume:
    return open_volume(path, voxel_size=(1, 1, 1))  # a volume that does not say its voxel size is known again, too


def _foreign(path: str) -> Identity:
    location = find_location(path)
    if location.remote:
        with _opened(path) as volume:
            return {"metadata": _digest([_described(volume)])}
    place = Path(location.container)
    if place.is_file() and location.dataset:
        with _opened(path) as volume:
            if volume.nbytes <= SMALL:  # by itself: other datasets may be added to the file
                parts = (volume[box].tobytes() for box in boxes(volume.shape, volume.shape, volume.dtype.itemsize))
                return {"values": _digest([_described(volume), *parts])}
    inner = place / location.dataset
    return _of_files(inner if inner.is_dir() else place)


def _described(volume: Volume) -> bytes:
    return json.dumps([volume.shape, str(volume.dtype), volume.metadata], sort_keys=True, default=str).encode()


def _of_files(place: Path) -> Identity:
    """What identifies files: names, sizes, and content.

    Where the content is large, the time of the last change takes its place.
    """
    found = [(name, file, file.stat()) for name, file in islice(_files(place), MANY)]
    size = sum(state.st_size for _, _, state in found)
    small = size <= SMALL
    kept = [f"{name} {state.st_size} {'' if small else int(state.st_mtime)}".encode() for name, _, state in found]
    contents = (regular_file(file).read_bytes() for _, file, _ in found) if small else ()
    return {"bytes": size, "content" if small else "modified": _digest([*kept, *contents])}


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder in the order of their names, or a file by itself.

    Hidden files count only where zarr means them.
    """
    if place.is_file():
        yield "", place
    for top, folders, names in os.walk(place):
        folders[:] = sorted(folder for folder in folders if folder[0] != ".")
        for name in sorted(names):
            if name[0] != "." or name.startswith(".z"):
                yield str((Path(top) / name).relative_to(place)), Path(top) / name


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(len(part).to_bytes(8))
        found.update(part)
    return found.hexdigest()
