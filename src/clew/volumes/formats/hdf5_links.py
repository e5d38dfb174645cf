"""Links of HDF5 to other files: external links and storage, virtual datasets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from clew.errors import InputError
from clew.volumes.outside import all_followed, refuse_outside
from clew.volumes.volume import first_line

HOPS = 16
"""Links one after the other that are followed, as by HDF5 itself."""
THIS_FILE, PATTERN = ".", "%b"
"""In the sources of a virtual dataset: the file itself, and names made of numbers, which cannot be checked one by one."""


def check_links(file: h5py.File, name: str, hops: int = HOPS) -> None:
    """Refuse a dataset whose links lead out of the folder of the file or in circles.

    What is not there is not refused: HDF5 says so itself.
    """
    if all_followed():
        return
    if not hops:
        raise InputError(f"{file.filename}: {name} leads through more than {HOPS} links or virtual datasets")
    node: Any = file["/"]
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for number, part in enumerate(parts, 1):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            return
        if isinstance(link, h5py.HardLink):
            node = node[part]
            continue
        rest = "/".join((link.path, *parts[number:]))
        if isinstance(link, h5py.ExternalLink):
            with _opened_inside(file, link.filename) as other:
                return check_links(other, rest, hops - 1)
        return check_links(file, rest if rest.startswith("/") else f"{node.name}/{rest}", hops - 1)
    if isinstance(node, h5py.Dataset):
        _check_storage(file, node, hops)


def _check_storage(file: h5py.File, dataset: h5py.Dataset, hops: int) -> None:
    """Refuse voxels that lie in files outside."""
    for other, *_ in dataset.external or ():
        refuse_outside(file.filename, other)
    sources = dataset.virtual_sources() if dataset.is_virtual else ()
    for name, inner in sorted({(source.file_name, source.dset_name) for source in sources}):
        if PATTERN in inner:
            refuse_outside(file.filename, f"/{name}:{inner}")
        elif name == THIS_FILE:
            check_links(file, inner, hops - 1)
        else:
            with _opened_inside(file, name) as other:
                check_links(other, inner, hops - 1)


@contextmanager
def _opened_inside(file: h5py.File, name: str) -> Iterator[h5py.File]:
    """Open another file where HDF5 looks for it.

    Refused by an InputError if it is nowhere, or outside of the folder.
    """
    path = Path(file.filename)
    places = (path.parent / name, Path(name), path.resolve().parent / name, path.parent / Path(name).name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(f"{path} takes data from {name}, which is not there")
    refuse_outside(path, found)
    try:
        other = h5py.File(found, "r", locking="best-effort")
    except OSError as error:
        raise InputError(f"{found}, from which {path} takes data, cannot be read: {first_line(error)}") from error
    with other:
        yield other
