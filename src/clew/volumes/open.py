"""Open a volume of any format we know."""

import os
from collections.abc import Sequence
from pathlib import Path

from clew.documents import regular_file
from clew.errors import InputError
from clew.volumes.formats.knossos import is_knossos
from clew.volumes.formats.mrc import SUFFIXES as MRC_SUFFIXES
from clew.volumes.formats.mrc import is_mrc
from clew.volumes.listing import DatasetRow
from clew.volumes.location import (
    BY_NUMBER,
    HDF5_SUFFIXES,
    IMAGE_SUFFIXES,
    TIFF_SUFFIXES,
    Location,
    find_location,
    read_json,
    subfolders,
)
from clew.volumes.recognition import UNKNOWN, content_of, what_is
from clew.volumes.volume import Stored, Volume

OTHER_SUFFIXES = {".npy": "numpy", ".npz": "numpy", ".nrrd": "NRRD", ".nhdr": "NRRD", ".xml": "bigdataviewer"}
"""Suffixes of the other kinds of files, but for MRC."""


def open_volume(
    path: str | os.PathLike[str],
    *,
    voxel_size: Sequence[float] | None = None,
    offset: Sequence[float] | None = None,
    dataset: str | None = None,
) -> Volume:
    """Open a volume without reading it.

    Parameters
    ----------
    path : str or Path
        OME-Zarr, zarr, N5 (`path.zarr`, `path.zarr/s1`, `path.zarr:1`), HDF5 (`file.h5:volumes/raw`), TIFF stack,
        folder of sections, KNOSSOS cubes (the folder of `knossos.conf`), neuroglancer precomputed (also
        `precomputed://…`); chunked formats also at s3://, gs:// and http(s)://.
    voxel_size : (z, y, x) floats, optional
        In nm, instead of what the metadata say.
    offset : (z, y, x) floats, optional
        Position of the first voxel in nm, instead of what the metadata say.
    dataset : str, optional
        Name in the container, instead of `path:dataset`.

    Returns
    -------
    Volume
        With axes (z, y, x) or (c, z, y, x), whatever the order in the file.

    Raises
    ------
    InputError
        No such file, damaged file, unknown or ambiguous dataset, or no voxel size in the metadata and none given.

    Examples
    --------
    >>> clew.save_volume("raw.zarr", np.zeros((4, 8, 8), np.uint8), voxel_size=(40, 4, 4))
    >>> volume = clew.open_volume("raw.zarr")
    >>> volume.shape, volume.voxel_size
    ((4, 8, 8), (40.0, 4.0, 4.0))
    >>> volume[0, :2, :2]
    array([[0, 0],
           [0, 0]], dtype=uint8)
    """
    return Volume(_open_stored(find_location(path, dataset)), voxel_size, offset)


def numbered(path: str) -> str:
    """The address of a folder whose sections lie where their numbers say.

    Raises
    ------
    InputError
        For anything but a folder of sections.
    """
    location = find_location(path)
    if location.remote or not Path(location.container).is_dir() or _kind(location) != "images":
        raise InputError(f"{path} is no folder of sections, whose names have numbers: leave out --by-number")
    return f"{location.container}:{BY_NUMBER}"


def list_datasets(path: str | os.PathLike[str]) -> list[DatasetRow]:
    """List the datasets in an HDF5 file or a zarr or N5 container.

    A single volume has one, of the name "".
    """
    location = find_location(path)
    if _is_hdf5(location):
        from clew.volumes.formats.hdf5 import list_hdf5

        return list_hdf5(location.container)
    if _kind(location) == "chunked":
        from clew.volumes.formats.chunked import list_chunked

        return list_chunked(location.container)
    stored = _open_stored(location)
    return [DatasetRow("", tuple(stored.array.shape), str(stored.array.dtype))]


def _open_stored(location: Location) -> Stored:
    kind = _kind(location)
    if kind == "hdf5":
        from clew.volumes.formats.hdf5 import open_hdf5

        return open_hdf5(location.container, location.dataset)
    if kind == "bigdataviewer":
        from clew.volumes.formats.hdf5_dialects import bigdataviewer_file

        return _open_stored(Location(str(bigdataviewer_file(Path(location.container))), location.dataset))
    if kind == "precomputed":
        from clew.volumes.formats.precomputed import open_precomputed

        return open_precomputed(location.container, location.dataset)
    if kind == "images":
        from clew.volumes.formats.images import open_images

        return open_images(location.container, location.dataset)
    if kind == "knossos":
        from clew.volumes.formats.knossos import open_knossos

        return open_knossos(location.container)
    if kind == "numpy":
        from clew.volumes.formats.numpy_files import open_numpy

        return open_numpy(location.container, location.dataset)
    if kind == "MRC":
        from clew.volumes.formats.mrc import open_mrc

        return open_mrc(location.container)
    if kind == "NRRD":
        from clew.volumes.formats.nrrd_files import open_nrrd

        return open_nrrd(location.container)
    from clew.volumes.formats.chunked import open_chunked

    return open_chunked(location.container, location.dataset)


def _kind(location: Location) -> str:
    if location.format:
        return "precomputed" if location.format == "precomputed" else "chunked"
    if location.remote:
        return "precomputed" if _is_precomputed(location.container) else "chunked"
    path = Path(location.container)
    if not path.is_dir():
        regular_file(path)
    if is_knossos(path):
        return "knossos"
    if path.is_file():
        return _kind_of_file(path)
    if _is_precomputed(location.container):
        return "precomputed"
    if any(
        (path / name).is_file()
        for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata", "attributes.json")
    ):
        return "chunked"
    if any(entry.suffix.lower() in IMAGE_SUFFIXES and entry.name[0] != "." for entry in path.iterdir()):
        return "images"
    if not location.dataset and path.suffix not in (".zarr", ".n5"):
        _refuse_folders_of_images(location.container)
    return "chunked"


def _refuse_folders_of_images(folder: str) -> None:
    """Refuse a folder that holds folders of images, as of tiles or of channels."""
    inner = subfolders(folder)
    held = Path(folder, inner[0]) if inner else None
    if held and any(file.suffix.lower() in IMAGE_SUFFIXES for file in held.iterdir()):
        raise InputError(
            f"{folder} holds {len(inner)} folders of images ({inner[0]}, …): name one of them, as {held}; "
            "stitch tiles, and bring all sections into one folder"
        )


def _kind_of_file(path: Path) -> str:
    """The kind of a file by its suffix; HDF5 also by its content."""
    suffix, content = path.suffix.lower(), content_of(path)
    if suffix in IMAGE_SUFFIXES:
        if content.startswith("HDF5") or (suffix in TIFF_SUFFIXES and content.startswith(("PNG", "JPEG ("))):
            raise InputError(f"{path} is no TIFF, it is {content}: rename it")
        return "images"
    if suffix in HDF5_SUFFIXES or content.startswith("HDF5"):
        return "hdf5"
    if suffix in OTHER_SUFFIXES:
        return OTHER_SUFFIXES[suffix]
    if is_mrc(path.name):
        return "MRC"
    found = what_is(path)
    if found != UNKNOWN:
        raise InputError(f"{path} is not read: it is {found}")
    known = ", ".join((*HDF5_SUFFIXES, *IMAGE_SUFFIXES, *OTHER_SUFFIXES, *MRC_SUFFIXES))
    folders = "zarr, N5, neuroglancer precomputed, KNOSSOS cubes or sections"
    raise InputError(f"{path} is {UNKNOWN}; files end in {known}; folders are {folders}")


def _is_hdf5(location: Location) -> bool:
    return not location.remote and Path(location.container).is_file() and _kind(location) == "hdf5"


def _is_precomputed(folder: str) -> bool:
    info = read_json(folder, "info")
    return info is not None and ("scales" in info or str(info.get("@type", "")).startswith("neuroglancer"))
