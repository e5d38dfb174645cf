"""HDF5 files of Imaris, MATLAB 7.3 and BigDataViewer.

Each is recognised by what is in the file, and says where its volume lies, how large its voxels are, and what its numbers mean.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.space import Lengths, triple
from clew.volumes.geometry import SPATIAL, Geometry, check_voxel_size, nanometers

IMARIS = re.compile(r"DataSet/ResolutionLevel (\d+)/TimePoint (\d+)/Channel (\d+)/Data")
BIGDATAVIEWER = re.compile(r"t(\d{5})/s(\d\d+)/(\d+)/cells")
MATLAB_MARK = b"MATLAB 7.3"


@dataclass(frozen=True)
class Dialect:
    """What a program means by a dataset.

    Parameters
    ----------
    format : str
        For people.
    array : StoredArray
        The dataset, or what is read in its place.
    geometry : Geometry, optional
        None where the attributes of the dataset say it.
    warnings : list of str
    """

    format: str
    array: Any
    geometry: Geometry | None = None
    warnings: list[str] = field(default_factory=list)


class Cropped:
    """A dataset without the voxels that fill up its last chunks."""

    def __init__(self, dataset: h5py.Dataset, shape: tuple[int, ...]):
        self._dataset = dataset
        self.shape = shape
        self.dtype: np.dtype = dataset.dtype

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        block: NDArray[Any] = self._dataset[selection]
        return block


class Unsigned:
    """A dataset of uint16 that is stored as int16."""

    def __init__(self, dataset: h5py.Dataset):
        self._dataset = dataset
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype = np.dtype(np.uint16)

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[np.uint16]:
        return np.asarray(self._dataset[selection]).astype(np.int16, copy=False).view(np.uint16)


def scale_key(file: h5py.File, dataset: str) -> str:
    """The dataset of a scale that is given by its number, or by none for the first.

    What was given where there are several channels, views or times, or the file is of no such program.
    """
    if dataset and (not dataset.isdigit() or dataset in file):
        return dataset
    scale = int(dataset or 0)
    levels = file.get("DataSet")
    if isinstance(levels, h5py.Group) and f"ResolutionLevel {scale}" in levels:
        return _only(file, f"DataSet/ResolutionLevel {scale}", ("TimePoint ", "Channel "), "Data", dataset)
    return _only(file, "", ("t", "s"), f"{scale}/cells", dataset)


def dialect(file: h5py.File, key: str, array: Any, source: str) -> Dialect | None:
    """What the program that wrote a file means by a dataset; None for others."""
    if found := IMARIS.fullmatch(key):
        return _imaris(file, found, array, source)
    if found := BIGDATAVIEWER.fullmatch(key):
        return _bigdataviewer(file, found, array, source)
    if "MATLAB_class" in array.attrs and _begins_as_matlab(file.filename):
        return _matlab(array, source)
    return None


def _only(file: h5py.File, place: str, starts: tuple[str, ...], end: str, given: str) -> str:
    """A path through groups of numbered names, where each has one such group."""
    for start in starts:
        group = file.get(place or "/")
        names = [name for name in group if re.fullmatch(rf"{start}\d+", name)] if isinstance(group, h5py.Group) else []
        if len(names) != 1:
            return given
        place = f"{place}/{names[0]}".lstrip("/")
    key = f"{place}/{end}"
    return key if isinstance(file.get(key), h5py.Dataset) else given


def _imaris(file: h5py.File, key: re.Match[str], array: Any, source: str) -> Dialect:
    """Lengths stand in the file as text, as arrays of single characters."""
    sizes = [_imaris_number(array.parent.attrs, f"ImageSize{axis}") for axis in "ZYX"]
    shape = tuple(edge if math.isnan(size) else int(size) for size, edge in zip(sizes, array.shape, strict=True))
    if any(not 0 < size <= edge for size, edge in zip(shape, array.shape, strict=True)):
        raise InputError(f"{source}: ImageSizeZ, Y and X {shape} do not fit the stored shape {array.shape}")
    image = file["DataSetInfo/Image"].attrs if "DataSetInfo/Image" in file else {}
    low, high = (triple(_imaris_number(image, f"Ext{end}{axis}") for axis in (2, 1, 0)) for end in ("Min", "Max"))
    unit = nanometers(_imaris_text(image, "Unit") or "um") or math.nan
    voxel_size = triple(unit * (b - a) / size for a, b, size in zip(low, high, shape, strict=True))
    if any(map(math.isnan, voxel_size)):
        reason = "DataSetInfo/Image has no ExtMin, ExtMax and unit of length"
        return Dialect("Imaris", Cropped(array, shape), Geometry(SPATIAL, None, None, reason))
    whole = [_imaris_number(image, axis) for axis in "ZYX"]
    first = [length * size / level for length, size, level in zip(voxel_size, shape, whole, strict=True)]
    offset = triple(
        unit * a + (0.0 if math.isnan(b) else (length - b) / 2)
        for a, b, length in zip(low, first, voxel_size, strict=True)
    )
    found = Geometry(SPATIAL, check_voxel_size(voxel_size, source), offset, "ExtMin and ExtMax in DataSetInfo/Image")
    return Dialect("Imaris", Cropped(array, shape), found)


def _imaris_text(attributes: Mapping[str, Any], name: str) -> str:
    value = np.asarray(attributes.get(name, b""))
    return b"".join(value.astype("S").ravel().tolist()).decode(errors="replace").strip()


def _imaris_number(attributes: Mapping[str, Any], name: str) -> float:
    """A number that stands as text; NaN where there is none."""
    try:
        return float(_imaris_text(attributes, name))
    except ValueError:
        return math.nan


def _begins_as_matlab(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MATLAB_MARK)) == MATLAB_MARK


def _matlab(array: Any, source: str) -> Dialect:
    """MATLAB keeps the first axis fastest: A(i, j, k) lies in the file as [k, j, i]."""
    if array.attrs.get("MATLAB_empty", 0):
        raise InputError(f"{source} is empty")
    order = ", ".join("ijklm"[: array.ndim])
    warning = (
        f"MATLAB's A({order}) is read with i as x and j as y; if it is an image A(y, x, …), x and y are exchanged: "
        "save permute(A, [2 1 3]) there"
    )
    return Dialect("MATLAB 7.3", array, None, [warning])


def _bigdataviewer(file: h5py.File, key: re.Match[str], array: Any, source: str) -> Dialect:
    setup, scale = int(key[2]), int(key[3])
    xml = Path(file.filename).with_suffix(".xml")
    first = setup_voxel_size(xml, setup) if xml.is_file() else None
    factors = file.get(f"s{key[2]}/resolutions")
    if not isinstance(factors, h5py.Dataset) or scale >= len(factors) or factors.shape[1:] != (3,):
        raise InputError(f"{source}: s{key[2]}/resolutions must hold three factors for each scale")
    factor = triple(float(value) for value in factors[scale][::-1])
    voxel_size = offset = None
    if first:
        voxel_size = triple(length * step for length, step in zip(first, factor, strict=True))
        offset = triple(length * (step - 1) / 2 for length, step in zip(first, factor, strict=True))
        check_voxel_size(voxel_size, source)
    reason = f"voxelSize in {xml.name}" if first else f"no {xml.name} beside it that says it in a unit of length"
    stored = Unsigned(array) if array.dtype == np.int16 else array
    return Dialect("BigDataViewer HDF5", stored, Geometry(SPATIAL, voxel_size, offset, reason))


def setup_voxel_size(xml: Path, setup: int) -> Lengths | None:
    """Voxel size in nm (z, y, x) that the XML of BigDataViewer says.

    None where it has no unit of length.
    """
    root = read_xml(xml)
    for node in root.iter("ViewSetup"):
        if (node.findtext("id") or "").strip() != str(setup):
            continue
        unit = nanometers(node.findtext("voxelSize/unit"))
        try:
            sizes = [float(text) for text in (node.findtext("voxelSize/size") or "").split()]
        except ValueError:
            return None
        return triple(unit * size for size in sizes[::-1]) if unit and len(sizes) == 3 else None
    return None


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file."""
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{path} cannot be read as XML: {error}") from error


def bigdataviewer_file(path: Path) -> Path:
    """The HDF5 file that an XML of BigDataViewer names.

    Raises
    ------
    InputError
        For an XML of another program, and for one that names N5 or a file that is not there.
    """
    loader = read_xml(path).find("SequenceDescription/ImageLoader")
    format = "" if loader is None else loader.get("format", "")
    if loader is None or not format:
        raise InputError(f"{path} is XML, but not of BigDataViewer: it has no SequenceDescription with an ImageLoader")
    name = (loader.findtext("hdf5") or loader.findtext("n5") or "").strip()
    if not format.endswith("hdf5"):
        example = f"{path.parent / name}/setup0/timepoint0/s0"
        raise InputError(f"{path} names a volume of the kind {format}; open it itself, for example {example}")
    found = path.parent / name
    if not found.is_file():
        raise InputError(f"{path} takes its data from {name}, which is not there")
    return found
