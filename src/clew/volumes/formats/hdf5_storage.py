"""How HDF5 stores a dataset: its filters, and chunks that were never written."""

import contextlib
import importlib
import math
from typing import Any

import h5py

from clew.errors import InputError

PLUGINS = {
    307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32017: "sz",
    32018: "fcidecomp", 32024: "sz3", 32026: "blosc2", 32028: "sperr",
}  # fmt: skip
"""Filters that the package hdf5plugin brings, by the numbers that the HDF Group gave them."""


def require_filters(dataset: h5py.Dataset, source: str) -> None:
    """Refuse a dataset with a filter that is not installed; say what to type."""
    layout = dataset.id.get_create_plist()
    used = [layout.get_filter(number) for number in range(layout.get_nfilters())]
    missing = [(code, name) for code, _, _, name in used if not _is_available(code)]
    if not missing:
        return
    code, name = missing[0]
    named = PLUGINS.get(code) or name.decode(errors="replace").split(";")[0] or "a filter without a name"
    advice = (
        "pip install 'clew[hdf5-filters]'"
        if code in PLUGINS
        else "write the dataset again without it, for example with h5repack -f GZIP=1"
    )
    raise InputError(f"{source} is compressed with {named} (HDF5 filter {code}), which is not installed: {advice}")


def is_numeric(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds bool, integers or floats."""
    try:
        return dataset.dtype.kind in "buif"
    except TypeError:  # a type that numpy does not know
        return False


def never_written(dataset: h5py.Dataset, source: str) -> list[str]:
    """A warning where part of a dataset was never written.

    It is read as the fill value.
    """
    if not dataset.size or dataset.external:
        return []
    chunks = dataset.chunks
    total = math.prod(-(-size // edge) for size, edge in zip(dataset.shape, chunks, strict=True)) if chunks else 1
    written = dataset.id.get_num_chunks() if chunks else int(dataset.id.get_storage_size() > 0)
    if written >= total:
        return []
    if not chunks:
        return [f"{source} was never written and is read as {dataset.fillvalue}"]
    return [
        f"{total - written:,} of {total:,} chunks of {source} were never written and are read as {dataset.fillvalue}"
    ]


def _is_available(code: int) -> bool:
    """Whether HDF5 can undo a filter; hdf5plugin is asked for those that it lacks."""
    if not h5py.h5z.filter_avail(code):
        with contextlib.suppress(ImportError):
            importlib.import_module("hdf5plugin")
    available: Any = h5py.h5z.filter_avail(code)
    return bool(available)
