"""Links, external storage and virtual datasets of HDF5.

HDF5 reads zeros where a source of a virtual dataset is gone or too small. So all of them are looked at first.
"""

import contextlib
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.volumes.formats.hdf5_storage import is_numeric, never_written, require_filters
from clew.volumes.outside import refuse_outside
from clew.volumes.volume import first_line

HOPS = 16
"""Links one after the other that are followed, as by HDF5 itself."""
THIS_FILE, PATTERN = ".", "%b"
"""In the sources of a virtual dataset: the file itself, and the number of a block, counted from 0."""
UNLIMITED = 1 << 63
"""From here on a count of HDF5 means that there is no end."""
LINK_PREFIX, VIRTUAL_PREFIX = "HDF5_EXT_PREFIX", "HDF5_VDS_PREFIX"
"""Variables in which HDF5 looks for folders of other files first."""
BESIDE = "${ORIGIN}"
"""In a prefix: the folder of the file."""


def check_links(file: h5py.File, name: str, hops: int = HOPS, source: str = "") -> list[str]:
    """Follow a name to its data, and refuse what is missing there.

    Parameters
    ----------
    file : h5py.File
    name : str
        Of a dataset or group. One that is not there is not refused where no `source` is given.
    hops : int
        How many links may follow.
    source : str
        What led here, for people.

    Returns
    -------
    list of str
        Warnings: what was never written.

    Raises
    ------
    InputError
        For links that lead nowhere, in circles or out of the folder of the file, sources that are too small, and filters
        that are not installed.
    """
    if not hops:
        raise InputError(f"{file.filename}: {name} leads through more than {HOPS} links or virtual datasets")
    node: Any = file["/"]
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for number, part in enumerate(parts, 1):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None and source:
            raise InputError(f"{source} takes data from {name} in {file.filename}, which is not there")
        if link is None:
            return []
        if isinstance(link, h5py.HardLink):
            node = node[part]
            continue
        here, rest = f"{file.filename}:{'/'.join(parts[:number])}", "/".join((link.path, *parts[number:]))
        if isinstance(link, h5py.ExternalLink):
            with _opened_inside(file, link.filename, here, LINK_PREFIX) as other:
                return check_links(other, rest, hops - 1, here)
        return check_links(file, rest if rest.startswith("/") else f"{node.name}/{rest}", hops - 1, here)
    return _check_storage(file, node, hops) if isinstance(node, h5py.Dataset) else []


class Virtual:
    """A virtual dataset whose source files must be there at each read.

    HDF5 opens a source when it is first read, and reads zeros where it has gone by then.
    """

    def __init__(self, dataset: h5py.Dataset):
        self._dataset = dataset
        self._here = f"{dataset.file.filename}:{dataset.name.strip('/')}"
        names = {source.file_name for source in dataset.virtual_sources()} - {THIS_FILE}
        self._names = sorted(name.replace("%%", "%") for name in names if PATTERN not in name)
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype = dataset.dtype

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        for name in self._names:
            _place_of(self._dataset.file, name, self._here, VIRTUAL_PREFIX)
        block: NDArray[Any] = self._dataset[selection]
        return block


def walk(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Every dataset of a file, also behind links, which come last.

    Yields
    ------
    name : str
    dataset : h5py.Dataset or InputError
        The error says why a link leads to none.
    """
    names, links, seen = [""], list[str](), set()
    while names or links:
        linked = not names
        name = (names or links).pop()
        try:
            node = _followed(file, name) if linked else file[name or "/"]
        except InputError as error:
            yield name, error
            continue
        if isinstance(node, h5py.Dataset):
            yield name, node
        if isinstance(node, h5py.Group) and (place := identity(node)) not in seen:
            seen.add(place)
            for part in node:
                if isinstance(part, bytes):
                    yield f"{name}/{part!r}", InputError("its name is not text in UTF-8: give it another one with h5py")
                    continue
                hard = isinstance(node.get(part, getlink=True), h5py.HardLink)
                (names if hard else links).append(f"{name}/{part}".lstrip("/"))


def identity(node: Any) -> tuple[int, int]:
    """What two names of one group or dataset have in common."""
    found = h5py.h5o.get_info(node.id)
    return found.fileno, found.addr


def _followed(file: h5py.File, name: str) -> Any:
    check_links(file, name)
    return file[name]


def open_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Open a dataset.

    Files of raw voxels that are not in the working folder are looked for beside the file.
    """
    dataset = file[name]
    if all(Path(other).is_file() for other, *_ in dataset.external or ()):
        return dataset
    owner, place = dataset.file, dataset.name.encode()
    del dataset  # HDF5 opens no dataset a second time with another prefix
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_efile_prefix(BESIDE.encode())
    return h5py.Dataset(h5py.h5d.open(owner.id, place, access))


def _check_storage(file: h5py.File, dataset: h5py.Dataset, hops: int) -> list[str]:
    """Refuse voxels that lie outside, or nowhere; say which were never written."""
    here = f"{file.filename}:{dataset.name.strip('/')}"
    if dataset.shape is None or not is_numeric(dataset):
        return []
    require_filters(dataset, here)
    _check_external(file, dataset, here)
    return _check_virtual(file, dataset, here, hops) if dataset.is_virtual else never_written(dataset, here)


def _check_external(file: h5py.File, dataset: h5py.Dataset, here: str) -> None:
    """Refuse files of raw voxels that are too short.

    HDF5 would read zeros behind their end.
    """
    wanted = dataset.nbytes if dataset.external else 0
    for name, start, size in dataset.external or ():
        places = (Path(name), Path(file.filename).parent / name)
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise InputError(f"{here} takes data from {name}, which is not there")
        refuse_outside(file.filename, found)
        part = min(size, wanted)
        if found.stat().st_size < start + part:
            raise InputError(
                f"{here} takes data from {found}, which has {found.stat().st_size} bytes, not {start + part}"
            )
        wanted -= part
    if wanted:
        raise InputError(f"{here} is not whole: its external files lack {wanted} bytes")


def _check_virtual(file: h5py.File, dataset: h5py.Dataset, here: str, hops: int) -> list[str]:
    """Refuse sources that are gone or too small; say what no source holds."""
    warnings, covered = [], 0
    users = defaultdict(list)
    for source in dataset.virtual_sources():
        covered += _selected(source.vspace, dataset.shape)
        for names in _names_of(file, source, dataset.shape, here):
            users[names].append(source)
    for (name, inner), sources in sorted(users.items()):
        opened = contextlib.nullcontext(file) if name == THIS_FILE else _opened_inside(file, name, here, VIRTUAL_PREFIX)
        with opened as other:
            warnings += check_links(other, inner, hops - 1, here)
            for source in sources:
                _check_extent(source, dataset.shape, other[inner], here)
    if covered < dataset.size:
        share = 100 * (1 - covered / dataset.size)
        warnings.append(f"{share:.3g} % of {here} is in none of its sources and read as {dataset.fillvalue}")
    return warnings


def _names_of(file: h5py.File, source: Any, shape: tuple[int, ...], here: str) -> Iterator[tuple[str, str]]:
    """The file and dataset of a source.

    Where the names are a pattern, those of each block.
    """
    if PATTERN not in source.file_name + source.dset_name:
        yield source.file_name.replace("%%", "%"), source.dset_name.replace("%%", "%")
        return
    start, stride, count, _ = source.vspace.get_regular_hyperslab()
    numbers = [
        min(n, -(-(size - low) // step))
        for low, step, n, size in zip(start, stride, count, shape, strict=True)
        if n >= UNLIMITED
    ]
    blocks = max(1, *numbers)
    later = _later_file(Path(file.filename).parent, source.file_name, blocks)
    if later:
        missing = _numbered(source.file_name, blocks)
        raise InputError(f"{here} takes data from {missing}, which is not there, though {later} is")
    for number in range(blocks):
        yield _numbered(source.file_name, number), _numbered(source.dset_name, number)


def _numbered(name: str, number: int) -> str:
    return name.replace(PATTERN, str(number)).replace("%%", "%")


def _later_file(folder: Path, pattern: str, blocks: int) -> str:
    """A file of a higher number than there are blocks.

    HDF5 ends before the first one that is missing.
    """
    if PATTERN not in pattern:
        return ""
    inner = (folder / pattern).parent
    wanted = re.compile(r"(\d+)".join(map(re.escape, Path(pattern).name.split(PATTERN))))
    names = sorted(entry.name for entry in inner.iterdir()) if inner.is_dir() else []
    return next((name for name in names if (match := wanted.fullmatch(name)) and int(match[1]) > blocks), "")


def _check_extent(source: Any, shape: tuple[int, ...], found: Any, here: str) -> None:
    """Refuse a source that is smaller than what is taken from it."""
    wanted = _selected(source.vspace, shape)
    if PATTERN in source.file_name + source.dset_name:
        _, _, count, block = source.vspace.get_regular_hyperslab()
        wanted = math.prod(edge * (1 if n >= UNLIMITED else n) for n, edge in zip(count, block, strict=True))
    inside = _selected(source.src_space, found.shape)
    whole = source.src_space.get_select_type() == h5py.h5s.SEL_ALL
    if inside < wanted or (whole and inside > wanted):
        raise InputError(
            f"{here} takes {wanted} voxels from {found.name} in {found.file.filename}, "
            f"whose shape is {found.shape}: that file was changed or cut off"
        )


def _selected(space: Any, shape: Sequence[int]) -> int:
    """How many voxels of a selection lie inside of a shape."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return math.prod(shape)
    if len(space.shape) != len(shape):
        return 0
    if space.is_regular_hyperslab():
        return math.prod(map(_below, *space.get_regular_hyperslab(), shape))
    _, last = space.get_select_bounds()
    inside = all(high < size for high, size in zip(last, shape, strict=True))
    return int(space.get_select_npoints()) if inside else 0


def _below(start: int, stride: int, count: int, block: int, size: int) -> int:
    """How many places that a hyperslab selects along an axis are below its size."""
    begun = min(count, max(0, -(-(size - start) // stride)))
    return begun and (begun - 1) * block + min(block, size - start - (begun - 1) * stride)


@contextlib.contextmanager
def _opened_inside(file: h5py.File, name: str, here: str, variable: str) -> Iterator[h5py.File]:
    """Open another file where HDF5 looks for it."""
    found = _place_of(file, name, here, variable)
    try:
        other = h5py.File(found, "r", locking="best-effort")
    except OSError as error:
        raise InputError(f"{found}, from which {here} takes data, cannot be read: {first_line(error)}") from error
    with other:
        yield other


def _place_of(file: h5py.File, name: str, here: str, variable: str) -> Path:
    """Where HDF5 looks for another file.

    Refused by an InputError if it is nowhere, or outside of the folder.
    """
    path = Path(file.filename)
    prefixes = [part for part in os.environ.get(variable, "").split(":") if part]
    folders = [Path(part.replace(BESIDE, str(path.parent))) for part in prefixes]
    places = [folder / name for folder in (*folders, path.parent, Path(), path.resolve().parent)]
    found = next((place for place in (*places, path.parent / Path(name).name) if place.is_file()), None)
    if found is None:
        raise InputError(f"{here} takes data from {name}, which is not there")
    refuse_outside(path, found)
    return found
