"""Outputs in object storage, s3:// and gs://.

Nothing can be renamed there, so the metadata of the group are written last.
"""

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from clew.documents import expect
from clew.errors import InputError
from clew.volumes.formats.chunked import TensorStoreArray
from clew.volumes.formats.ome import multiscale, scale_names
from clew.volumes.formats.ome_zarr import create_array, group_metadata
from clew.volumes.location import join, kvstore_spec, read_bytes, read_json, remove_remote, write_bytes
from clew.volumes.volume import Layout, first_line

SCHEMES = ("s3://", "gs://")
_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", "attributes.json", "info")
_FAILURES = (OSError, ValueError, RuntimeError)


def remote_target(url: str) -> str:
    """The URL of an OME-Zarr to write, refused where nothing can be written."""
    url = url.rstrip("/")
    if not url.startswith(SCHEMES):
        raise InputError(f"{url} cannot be written: outputs are local, or in s3:// or gs://")
    if not url.endswith(".zarr"):
        raise InputError(f"{url}: an output in object storage must end in .zarr (OME-Zarr)")
    kvstore_spec(url)
    return url


def refuse_remote(url: str, overwrite: bool) -> None:
    """Refuse an existing output without `overwrite`, and never replace anything else."""
    found = [mark for mark in _MARKS if read_bytes(url, mark) is not None]
    if found and not overwrite:
        raise InputError(f"{url} exists already: choose another name or give --overwrite")
    if found and not _arrays(url):
        raise InputError(f"{url} exists and is not an OME-Zarr, so it is not replaced: move it away first")


@contextlib.contextmanager
def created_remote(
    url: str, layout: Layout, record: Mapping[str, Any], overwrite: bool
) -> Iterator[tuple[TensorStoreArray, tuple[int, ...]]]:
    """Give an array to write to, and its unit of writing.

    The volume is there when the block ends well.

    The metadata of the group, one object, name the array: until they are written there is nothing, or the volume that was
    there before, whose arrays are removed after. When the block ends badly, what was written is removed as far as the
    storage still answers.
    """
    refuse_remote(url, overwrite)
    before = _arrays(url)
    scale = f"s0-{uuid.uuid4().hex[:8]}" if before else "s0"
    try:
        with _errors_in_one_line(url):
            try_writing(url)
            array = create_array(join(url, scale), layout)
        yield array, array.unit
        with _errors_in_one_line(url):
            array.complete()
            write_bytes(url, "zarr.json", group_metadata(PurePosixPath(url).stem, {scale: layout}, record).encode())
    except BaseException:
        with contextlib.suppress(*_FAILURES):
            remove_remote(join(url, scale))
        raise
    for name in before:
        with contextlib.suppress(*_FAILURES):
            remove_remote(join(url, name))


def _arrays(url: str) -> list[str]:
    """Names of the arrays of an OME-Zarr, none where there is none."""
    document = read_json(url, "zarr.json") or {}
    image = multiscale(expect(document, "attributes", "an object", url, {}), url)
    return scale_names(image) if image else []


def try_writing(url: str) -> None:
    """Write an object and remove it, to see whether a bucket exists.

    Where it does not, tensorstore tries to create an array for ever.
    """
    folder = join(url, f"trial-{uuid.uuid4().hex[:8]}")
    write_bytes(folder, "trial", b"")
    remove_remote(folder)


@contextlib.contextmanager
def _errors_in_one_line(url: str) -> Iterator[None]:
    """Turn errors of the storage while writing into one line."""
    try:
        yield
    except _FAILURES as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{url} cannot be written: {first_line(error)}") from error
