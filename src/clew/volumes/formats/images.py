"""TIFF stacks and folders of sections (TIFF, PNG, JPEG); ids as colours in PNG."""

import contextlib
import itertools
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from clew.documents import regular_file
from clew.errors import InputError
from clew.space import Lengths
from clew.volumes.geometry import Geometry, nanometers
from clew.volumes.location import IMAGE_SUFFIXES, TIFF_SUFFIXES, natural_key
from clew.volumes.outside import refuse_outside
from clew.volumes.volume import Stored, first_line

WITH_COMPANIONS = ("ome", "ndtiff", "mmstack")
"""Kinds of TIFF, in tifffile's words, whose sections may lie in several files."""
PILLOW_FORMATS = ("PNG", "JPEG")
"""Pillow goes by the content of a file, and starts another program for some of what it finds, such as PostScript."""


class Sections:
    """Images of one shape as an array (…, y, x).

    A box reads only the images that it touches.
    """

    def __init__(self, leading: tuple[int, ...], plane: tuple[int, int], dtype: Any, read: Callable[[int], Any]):
        self.shape: tuple[int, ...] = (*leading, *plane)
        self.dtype: np.dtype = np.dtype(dtype)
        self._leading = leading
        self._read = read
        self._lock = threading.Lock()

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        chosen = [range(*part.indices(size)) for part, size in zip(selection, self.shape, strict=True)]
        block = np.empty([len(part) for part in chosen], self.dtype)
        places = itertools.product(*(range(len(part)) for part in chosen[:-2]))
        for place, index in zip(places, itertools.product(*chosen[:-2]), strict=True):
            number = int(np.ravel_multi_index(index, self._leading)) if index else 0
            with self._lock:
                image = self._read(number)
            block[place] = image[selection[-2:]]
        return block


def open_images(path: str) -> Stored:
    """Open a TIFF file, or a folder of sections sorted by the numbers in their names."""
    if Path(path).is_dir():
        return _open_folder(Path(path))
    if Path(path).suffix.lower() in TIFF_SUFFIXES:
        return _open_tiff(Path(path))
    read = _reader([Path(path)])
    first = read(0)
    array = Sections((1,), (first.shape[0], first.shape[1]), first.dtype, read)
    return Stored(
        array, Geometry(("z", "y", "x")), Path(path).suffix[1:].upper(), path, notes=tuple(_colours(first, Path(path)))
    )


def _open_folder(folder: Path) -> Stored:
    files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."]
    files.sort(key=lambda file: natural_key(file.name))
    kinds = sorted({file.suffix.lower() for file in files})
    if len(kinds) > 1 and not set(kinds) <= set(TIFF_SUFFIXES):
        raise InputError(f"{folder} mixes images of the kinds {', '.join(kinds)}; wanted sections of one kind")
    read = _reader(files)
    first = read(0)
    array = Sections((len(files),), (first.shape[0], first.shape[1]), first.dtype, read)
    notes = (("sections", f"{files[0].name} … {files[-1].name}"), *_gaps(files), *_colours(first, files[0]))
    return Stored(
        array=array,
        geometry=Geometry(("z", "y", "x"), source="a folder of sections carries none"),
        format=f"folder of {len(files)} sections ({kinds[0][1:]})",
        source=str(folder),
        chunks=(1, *array.shape[1:]),
        notes=notes,
    )


def _reader(files: Sequence[Path]) -> Callable[[int], NDArray[Any]]:
    """Make a reader of sections by index, all of the shape and dtype of the first."""
    first = _read_image(files[0])
    shape, dtype = first.shape, first.dtype

    def read(number: int) -> NDArray[Any]:
        image = _read_image(files[number])
        if image.shape != shape or image.dtype != dtype:
            wanted = f"{shape} {dtype} as {files[0].name}"
            raise InputError(f"{files[number]} is {image.shape} {image.dtype}; all sections must be {wanted}")
        return image

    return read


def _read_image(file: Path) -> NDArray[Any]:
    regular_file(file)
    try:
        if file.suffix.lower() in TIFF_SUFFIXES:
            with tifffile.TiffFile(file) as tiff:
                _refuse_companions_outside(file, tiff)
                image = np.squeeze(tiff.asarray())
        else:
            Image.MAX_IMAGE_PIXELS = None  # sections of electron microscopes are larger than Pillow expects
            with Image.open(file, formats=PILLOW_FORMATS) as opened:
                image = np.asarray(opened)
            image = coloured_ids(image) if opened.mode == "RGBA" else image
    except MemoryError:
        raise
    except Exception as error:  # decoders raise what they like
        raise InputError(f"{file} cannot be read: {first_line(error)}") from error
    if image.ndim != 2:
        raise InputError(f"{file} must be a grey image of one section, not of shape {image.shape}; convert it")
    return image


def coloured_ids(image: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Ids that are stored as colours (y, x, RGBA).

    They are R + 256 G + 256² B, and 256³ A where A is not 255 (opaque).

    So Raveler and DVID write label sections of FIB-25; their ids stay below 255 · 256³.
    """
    red, green, blue, alpha = np.moveaxis(image.astype(np.uint32), -1, 0)
    return red | green << 8 | blue << 16 | np.where(alpha == 255, np.uint32(0), alpha) << 24


def _colours(image: NDArray[Any], file: Path) -> list[tuple[str, str]]:
    """A note where ids are stored as colours: no grey PNG has 32 bits."""
    coloured = image.dtype == np.uint32 and file.suffix.lower() not in TIFF_SUFFIXES
    return [("colours", "read as ids: R + 256 G + 256² B")] if coloured else []


def _gaps(files: Sequence[Path]) -> list[tuple[str, str]]:
    """A note where the numbers in the names leave some out."""
    found = [re.findall(r"\d+", file.stem) for file in files]
    if not all(found):
        return []
    numbers = sorted(int(parts[-1]) for parts in found)
    count = numbers[-1] - numbers[0] + 1 - len(files)
    present = set(numbers)
    if len(present) < len(files) or not 0 < count <= len(files):  # time stamps leave out thousands of millions
        return []
    missing = [number for number in range(numbers[0], numbers[-1]) if number not in present]
    drawn = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
    return [("numbers left out", f"{drawn} ({len(missing)}): the sections around are read as neighbours")]


def _open_tiff(path: Path) -> Stored:
    with contextlib.ExitStack() as opened:
        try:
            with _damage_refused(path):
                tiff = opened.enter_context(tifffile.TiffFile(path))
                _refuse_companions_outside(path, tiff)
                stored = _stack_in(tiff, path)
        except InputError:
            raise
        except Exception as error:  # tifffile raises what it likes where tags are wrong
            raise InputError(f"{path} cannot be read as TIFF: {first_line(error)}") from error
        opened.pop_all()
    return stored


def _stack_in(tiff: Any, path: Path) -> Stored:
    series = tiff.series
    first = series[0]
    axes, shape = str(first.axes), tuple(int(size) for size in first.shape)
    same = all((other.axes, other.shape, other.dtype) == (axes, shape, first.dtype) for other in series)
    if axes == "YX" and len(series) > 1 and same:
        axes, shape, images = "IYX", (len(series), *shape), [other.pages[0] for other in series]
    else:
        images = first.pages
    names, shape, notes = _stack_axes(axes, shape, tiff.pages[0], path)
    array = _tiff_array(path, tiff, first, images, shape)
    if len(series) > 1 and not same:
        notes.append(("images in the file", f"{len(series)}, the first is read"))
    voxel_size, source = _tiff_voxel_size(tiff)
    kind = "OME-TIFF" if tiff.is_ome else "ImageJ TIFF" if tiff.is_imagej else "TIFF"
    return Stored(
        array=array,
        geometry=Geometry(names, voxel_size, None, source),
        format=kind,
        source=str(path),
        metadata=dict(tiff.imagej_metadata or {}),
        chunks=(*(1 for _ in shape[:-2]), *shape[-2:]),
        notes=tuple(notes),
        close=tiff.close,
    )


@contextlib.contextmanager
def _damage_refused(path: Path) -> Iterator[None]:
    """Refuse a file whose later pages are cut off.

    tifffile only logs that, and goes on with fewer sections.
    """
    found: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logger = tifffile.logger()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
    if found:
        raise InputError(f"{path} is truncated or damaged: {found[0].splitlines()[0]}")


def _refuse_companions_outside(path: Path, tiff: Any) -> None:
    """Refuse sections that metadata take from files outside of the folder.

    The metadata of OME-TIFF can do so.
    """
    for series in tiff.series:
        for file in _companions(tiff, series):
            refuse_outside(path, file)


def _companions(tiff: Any, series: Any) -> set[str]:
    """The other files in which a TIFF says that sections of a series lie."""
    if series.kind not in WITH_COMPANIONS:  # of others, to look at all pages would read the file
        return set()
    return {page.parent.filehandle.path for page in series if page is not None} - {tiff.filehandle.path}


def _stack_axes(
    axes: str, shape: tuple[int, ...], page: Any, path: Path
) -> tuple[tuple[str, ...], tuple[int, ...], list[tuple[str, str]]]:
    """Our names of the TIFF's axes.

    A single leading axis is z, whatever the file calls it.
    """
    if axes[-2:] != "YX" or page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR):
        raise InputError(f"{path} holds colour images (axes {axes}, shape {shape}); wanted grey ones: convert it")
    kept = [(name, size) for name, size in zip(axes[:-2], shape[:-2], strict=True) if size > 1 or name == "Z"]
    if not kept:
        kept = [("Z", 1)]
    notes = []
    if len(kept) == 1 and kept[0][0] != "Z":
        notes.append(("stack axis", f"the file calls it {kept[0][0]}, taken as z"))
        kept = [("Z", kept[0][1])]
    names = (*(name.lower() for name, _ in kept), "y", "x")
    return names, (*(size for _, size in kept), *shape[-2:]), notes


def _tiff_array(path: Path, tiff: Any, series: Any, images: Any, shape: tuple[int, ...]) -> Any:
    """The voxels of a TIFF as an array.

    They are mapped into memory where they lie in one part of this file, else read a section at a time.
    """
    dtype = np.dtype(series.dtype).newbyteorder(tiff.byteorder)
    count = int(np.prod(shape, dtype=object))
    if (
        series.dataoffset is not None
        and not _companions(tiff, series)
        and int(np.prod(series.shape, dtype=object)) == count
    ):
        if series.dataoffset + count * dtype.itemsize > path.stat().st_size:
            raise InputError(f"{path} is truncated: it should hold {count} voxels of {dtype}")
        return np.memmap(path, dtype, "r", int(series.dataoffset), shape)
    leading = shape[:-2]
    planes = int(np.prod(leading))
    if len(images) == planes:
        return Sections(leading, (shape[-2], shape[-1]), series.dtype, lambda number: _page(images[number], path))
    if len(images) == 1:
        whole: list[NDArray[Any]] = []

        def read(number: int) -> NDArray[Any]:
            if not whole:
                whole.append(_page(images[0], path).reshape(planes, *shape[-2:]))
            return whole[0][number]

        return Sections(leading, (shape[-2], shape[-1]), series.dtype, read)
    raise InputError(f"{path} is truncated or damaged: {planes} sections are announced, {len(images)} are there")


def _page(page: Any, path: Path) -> NDArray[Any]:
    try:
        return page.asarray()
    except Exception as error:  # decoders raise what they like
        raise InputError(f"{path} cannot be read: {first_line(error)}") from error


def _tiff_voxel_size(tiff: Any) -> tuple[Lengths | None, str]:
    """Voxel size (z, y, x) nm and where it was found, or None and why not."""
    if tiff.is_ome and tiff.ome_metadata:
        return _ome_voxel_size(tiff.ome_metadata)
    found = tiff.imagej_metadata
    if not found:
        return None, "a TIFF without ImageJ or OME metadata carries none"
    scale = nanometers(found.get("unit"))
    tags = tiff.pages[0].tags
    resolutions = [tags[name].value if name in tags else (0, 1) for name in ("YResolution", "XResolution")]
    if scale is None or "spacing" not in found or any(pixels == 0 for pixels, _ in resolutions):
        return None, f"ImageJ metadata have spacing {found.get('spacing')} and unit {found.get('unit')!r}"
    y, x = (scale * lengths / pixels for pixels, lengths in resolutions)
    return (scale * float(found["spacing"]), y, x), "ImageJ metadata"


def _ome_voxel_size(text: str) -> tuple[Lengths | None, str]:
    try:
        nodes = [node for node in ElementTree.fromstring(text).iter() if node.tag.rpartition("}")[2] == "Pixels"]
    except ElementTree.ParseError:
        return None, "OME metadata are no valid XML"
    sizes = []
    for axis in "ZYX":
        size = nodes[0].get(f"PhysicalSize{axis}") if nodes else None
        scale = nanometers(nodes[0].get(f"PhysicalSize{axis}Unit", "µm")) if nodes else None
        if size is None or scale is None:
            return None, f"OME metadata have no PhysicalSize{axis}"
        sizes.append(float(size) * scale)
    return (sizes[0], sizes[1], sizes[2]), "OME metadata"
