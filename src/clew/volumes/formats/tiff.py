"""TIFF stacks: one file of many sections, or a set of OME-TIFF files."""

import contextlib
import functools
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from clew.errors import InputError
from clew.volumes.formats.colours import LABELS, Picture, understand
from clew.volumes.formats.images import Sections
from clew.volumes.formats.ome_tiff import check_members, ome_voxel_size, open_set
from clew.volumes.formats.tiff_size import tiff_voxel_size
from clew.volumes.geometry import Geometry
from clew.volumes.outside import refuse_outside
from clew.volumes.recognition import reason
from clew.volumes.volume import LOSSY, Stored, first_line

WITH_COMPANIONS = ("ome", "ndtiff", "mmstack")
"""Kinds of TIFF, in tifffile's words, whose sections may lie in several files."""
CHANGING = ("JPEG", "OJPEG", "JPEG_LOSSY")
"""Compressions, in tifffile's words, that change values."""
NOT_DECODED = re.compile("not supported|not a known|could not import|requires the")
"""tifffile's words where no decoder is there."""
LOOKED_AT = 500
"""Headers that are looked at, at most, where the others are taken for such; each takes 0.06 ms."""
PHOTOMETRIC = tifffile.PHOTOMETRIC


Axes = tuple[tuple[str, ...], tuple[int, ...], tuple[tuple[str, str], ...], tuple[str, ...]]
"""Names of axes, their sizes, notes and warnings."""


class Stack(NamedTuple):
    """The images of a TIFF that are read as a volume.

    Parameters
    ----------
    pages : sequence
        tifffile's pages; one where all images lie in one.
    keyframe : page
        One whose tags hold for all.
    axes, shape : str, tuple of int
        tifffile's axes, and their sizes.
    dataoffset : int, optional
        Where the voxels begin, where they lie in one part of the file.
    warnings : tuple of str
    assumed : bool
        Whether tifffile takes the images between the first and the last for such as these, without a look.
    """

    pages: Sequence[Any]
    keyframe: Any
    axes: str
    shape: tuple[int, ...]
    dataoffset: int | None
    warnings: tuple[str, ...] = ()
    assumed: bool = False

    @property
    def plane(self) -> int:
        """How many of the last axes belong to one image: y, x and colours."""
        coloured = self.axes.endswith("YXS") or self.keyframe.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
        return 3 if coloured and "S" in self.axes[-3:] else 2


def open_tiff(path: Path, number: str = "") -> Stored:
    """Open a TIFF file.

    `number` chooses one of several series of images; by default the largest is read.
    """
    with contextlib.ExitStack() as opened:
        try:
            with _damage_refused(path) as said:
                tiff = opened.enter_context(open_set(path))
                if tiff.is_ome:
                    check_members(tiff, path)
                for file in {file for series in tiff.series for file in _companions(tiff, series)}:
                    refuse_outside(path, file)
                stack = _choose(tiff, number, path)
                _check_whole(tiff, stack, said, path)
                stored = _stored(tiff, stack, path, number)
        except InputError:
            raise
        except Exception as error:  # tifffile raises what it likes where tags are wrong
            raise InputError(f"{path} cannot be read as TIFF: {reason(path, first_line(error), 'TIFF')}") from error
        opened.pop_all()
    return stored


def read_section(file: Path) -> Picture:
    """Read a TIFF file of one image; thumbnails beside it are left out."""
    with tifffile.TiffFile(file) as tiff:
        page = _only_image(tiff, file)
        return _picture(page.keyframe, _values(page, file), file)


def section_header(file: Path) -> tuple[tuple[int, ...], str]:
    """The size (y, x) and dtype that the header of a TIFF file of one image says."""
    with tifffile.TiffFile(file) as tiff:
        page = _only_image(tiff, file)
        ends = [start + size for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if max(ends, default=0) > tiff.filehandle.size:
            raise InputError(f"{file} is truncated: it has {tiff.filehandle.size} bytes, its header says {max(ends)}")
        return (page.keyframe.imagelength, page.keyframe.imagewidth), str(page.keyframe.dtype)


def _only_image(tiff: Any, file: Path) -> Any:
    pages = [page for page in tiff.pages if not page.keyframe.is_reduced]
    largest = max(pages, key=lambda page: int(np.prod(page.shape, dtype=object)))
    count = sum(page.shape == largest.shape for page in pages)
    if tiff.is_imagej:
        count = max(count, int((tiff.imagej_metadata or {}).get("images", 1)))
    if count > 1 or len(largest.axes.replace("S", "")) != 2:
        raise InputError(f"{file} holds more than one image, {file.parent} a section in each file: open it by itself")
    return largest


@contextlib.contextmanager
def _damage_refused(path: Path) -> Iterator[list[str]]:
    """Refuse a file whose later pages are cut off.

    tifffile only logs that, and goes on with fewer sections. The list gets all that it warns of.
    """
    found: list[logging.LogRecord] = []
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: (found.append(record), said.append(record.getMessage()))  # type: ignore
    logger = tifffile.logger()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
    errors = [record.getMessage() for record in found if record.levelno >= logging.ERROR]
    if errors:
        raise InputError(f"{path} is truncated or damaged: {_brief(errors[0])}")


def _companions(tiff: Any, series: Any) -> set[str]:
    """The other files in which a TIFF says that sections of a series lie."""
    if series.kind not in WITH_COMPANIONS:  # of others, to look at all pages would read the file
        return set()
    return {page.parent.filehandle.path for page in series if page is not None} - {tiff.filehandle.path}


def _choose(tiff: Any, number: str, path: Path) -> Stack:
    """The series of images that is asked for, or the largest.

    Single images that are alike are one series.
    """
    series = tiff.series
    if not series:
        raise InputError(f"{path} holds no image")
    if number and not (number.isdecimal() and int(number) < len(series)):
        raise InputError(f"{path} holds no series {number} of images; it has {len(series)}: {_named(series)}")
    alike: dict[Any, list[int]] = {}
    for index, one in enumerate(series):
        single = not number and one.axes in ("YX", "YXS")
        alike.setdefault((one.shape, one.dtype) if single else index, []).append(index)
    groups = [[int(number)]] if number else list(alike.values())
    group = max(groups, key=lambda group: sum(int(np.prod(series[index].shape, dtype=object)) for index in group))
    chosen = series[group[0]]
    left = [index for index in range(len(series)) if index not in group and not series[index].keyframe.is_reduced]
    _refuse_between(chosen, group, left, path)
    warnings: tuple[str, ...] = ()
    if left and not number:
        warnings = (f"it holds other images, too, {_named(series)}: {path}:{left[0]} reads those of {left[0]}",)
    shape = tuple(int(size) for size in chosen.shape)
    if len(group) > 1:
        pages = [series[index].pages[0] for index in group]
        return Stack(pages, chosen.keyframe, f"I{chosen.axes}", (len(group), *shape), None, warnings)
    offset = None if _companions(tiff, chosen) else chosen.dataoffset
    assumed = chosen.kind == "uniform"
    return Stack(chosen.pages, chosen.keyframe, str(chosen.axes), shape, offset, warnings, assumed)


def _named(series: Sequence[Any]) -> str:
    drawn = [f"{number} of shape {tuple(one.shape)}" for number, one in enumerate(series)]
    return ", ".join(drawn[:4]) + (", …" if len(drawn) > 4 else "")


def _refuse_between(chosen: Any, group: Sequence[int], left: Sequence[int], path: Path) -> None:
    """Refuse images of another shape among those of a stack.

    To leave them out would move all that follow.
    """
    places: set[int] = set()
    if chosen.kind in ("generic", "uniform"):
        places = {page.index for page in chosen.pages if isinstance(page.index, int)}
    between = [
        place
        for place in range(min(places, default=0), max(places, default=0))
        if place not in places and not chosen.parent.pages[place].keyframe.is_reduced
    ]
    if not places:
        between = [index for index in left if group[0] < index < group[-1]]
    if between:
        raise InputError(
            f"{path}: image {between[0]} is of another kind than those before and after it ({chosen.keyframe.shape} "
            f"{chosen.dtype}); all sections must be alike"
        )


def _check_alike(stack: Stack, path: Path, indices: Iterable[int]) -> None:
    """Refuse images of another size or kind, which tifffile would read as the first."""
    for index in indices if stack.assumed else ():
        page = stack.pages[index]
        found = page.aspage() if isinstance(page, tifffile.TiffFrame) else page
        if (found.hash, found.photometric) != (stack.keyframe.hash, stack.keyframe.photometric):
            raise InputError(
                f"{path}: image {index} is of another kind than the first ({found.shape} {found.dtype}, not "
                f"{stack.keyframe.shape} {stack.keyframe.dtype}, or stored in another way); all sections must be alike"
            )


def _check_whole(tiff: Any, stack: Stack, said: Sequence[str], path: Path) -> None:
    """Refuse images that do not fit to their metadata.

    tifffile reads those that are not there as zeros, and leaves out those too many.
    """
    may_lack = tiff.is_ome or tiff.is_ndtiff or tiff.is_mmstack
    absent = sum(page is None for page in stack.pages) if may_lack else 0
    cropped = len(stack.pages) == len(tiff.pages)  # all that are there are read; ImageJ leaves the metadata of more
    telling = [text for text in said if not (cropped and "invalid TiffData index" in text)]
    if absent or (telling and may_lack):
        count = f"{absent} of {len(stack.pages)} images are not there" if absent else "their sizes differ"
        reason = f" ({_brief(telling[0])})" if telling else ""
        raise InputError(
            f"{path}: its metadata do not describe its images, {count}{reason}; bring back what is missing, or save it again"
        )


def _brief(text: str) -> str:
    """What tifffile logs, without its description of itself."""
    return re.sub(r"<tifffile\.\w+ [^>]*>:? ?", "", text.splitlines()[0])[:200]


def _stored(tiff: Any, stack: Stack, path: Path, number: str) -> Stored:
    names, shape, notes, warnings = _stack_axes(stack, path)
    mapped = _mapped(path, tiff, stack)
    planes = mapped.__getitem__ if mapped is not None else _planes(stack, path)
    count = int(np.prod(shape[:-2], dtype=object))
    some = range(0, len(stack.pages), 1 + len(stack.pages) // LOOKED_AT)
    if mapped is not None:
        _check_alike(stack, path, some)
    coloured = stack.plane == 3 or stack.keyframe.photometric in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.PALETTE)

    def picture(index: int) -> Picture:
        return _picture(stack.keyframe, planes(index), path)

    array: Any
    if coloured:
        colours = understand(map(picture, range(count)))
        warnings, notes = (*warnings, *colours.warnings), (*notes, *colours.notes)
        array = Sections(
            shape[:-2], (shape[-2], shape[-1]), colours.dtype, lambda index: colours.numbers(picture(index))
        )
    elif mapped is not None:
        array = mapped.reshape(shape)
    else:
        array = Sections(shape[:-2], (shape[-2], shape[-1]), stack.keyframe.dtype, planes)
    voxel_size, source, said = ome_voxel_size(tiff) if tiff.is_ome else tiff_voxel_size(tiff)
    return Stored(
        array=array,
        geometry=Geometry(names, voxel_size, None, source),
        format="OME-TIFF" if tiff.is_ome else "ImageJ TIFF" if tiff.is_imagej else "TIFF",
        source=f"{path}:{number}" if number else str(path),
        metadata=dict(tiff.imagej_metadata or {}),
        record={LOSSY: lossy} if (lossy := _lossy(stack.keyframe)) else {},
        chunks=(*(1 for _ in shape[:-2]), *shape[-2:]),
        notes=notes,
        warnings=(*stack.warnings, *warnings, *said, *_turned(stack.keyframe)),
        look=lambda: _check_alike(stack, path, some),
        close=tiff.close,
    )


def _turned(keyframe: Any) -> tuple[str, ...]:
    """What to say of images that are to be shown turned or mirrored."""
    value = keyframe.tags["Orientation"].value if "Orientation" in keyframe.tags else 1
    text = f"the file says that its images are to be shown turned or mirrored (Orientation {int(value)}); they are read as stored"
    return (text,) if value not in (0, 1) else ()


def _stack_axes(stack: Stack, path: Path) -> Axes:
    """Our names of the TIFF's axes.

    A single leading axis is z, whatever the file calls it.
    """
    axes, shape = stack.axes, stack.shape
    if axes[-stack.plane :] not in ("YX", "YXS", "SYX"):
        raise InputError(f"{path} has the axes {axes} of shape {shape}; wanted sections: y and x last")
    sizes = dict(zip(axes, shape, strict=True))
    leading = list(zip(axes[: -stack.plane], shape[: -stack.plane], strict=True))
    kept = [(name, size) for name, size in leading if size > 1 or name == "Z"] or [("Z", 1)]
    notes: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    if len(kept) == 1 and kept[0][0] != "Z":
        notes = (("stack axis", f"the file calls it {kept[0][0]}, taken as z"),)
        called = {"C": "channels", "T": "points in time", "S": "samples of one"}.get(kept[0][0])
        warnings = (f"the file calls its {kept[0][1]} images {called}; they are taken as sections",) if called else ()
        kept = [("Z", kept[0][1])]
    names = (*(name.lower() for name, _ in kept), "y", "x")
    return names, (*(size for _, size in kept), sizes["Y"], sizes["X"]), notes, warnings


def _mapped(path: Path, tiff: Any, stack: Stack) -> Any:
    """The images (index, y, x) where they lie in one part of this file.

    They are mapped into memory.
    """
    if stack.dataoffset is None:
        return None
    dtype = np.dtype(stack.keyframe.dtype).newbyteorder(tiff.byteorder)
    plane = stack.shape[-stack.plane :]
    count = int(np.prod(stack.shape, dtype=object))
    if stack.dataoffset + count * dtype.itemsize > path.stat().st_size:
        raise InputError(f"{path} is truncated: it should hold {count} voxels of {dtype}")
    return np.memmap(path, dtype, "r", int(stack.dataoffset), (count // int(np.prod(plane)), *plane))


def _planes(stack: Stack, path: Path) -> Callable[[int], NDArray[Any]]:
    """A reader of images by index; a page may hold several."""
    plane = stack.shape[-stack.plane :]
    count = int(np.prod(stack.shape[: -stack.plane], dtype=object))
    each, rest = divmod(count, len(stack.pages) or 1)
    if each == 1 and not rest:
        seen: set[int] = set()

        def one(index: int) -> NDArray[Any]:
            _check_alike(stack, path, {index} - seen)
            seen.add(index)
            return _values(stack.pages[index], path).reshape(plane)

        return one
    if rest or not each:
        raise InputError(
            f"{path} is truncated or damaged: {count} sections are announced, {len(stack.pages)} are there"
        )

    @functools.lru_cache(maxsize=1)
    def whole(page: int) -> NDArray[Any]:
        return _values(stack.pages[page], path).reshape(each, *plane)

    return lambda index: whole(index // each)[index % each]


def _values(page: Any, path: Path) -> NDArray[Any]:
    """Decode a page; files of a set are opened for each, as there may be thousands."""
    file = page.parent.filehandle
    closed = file.closed
    try:
        if closed:
            file.open()
        return page.asarray()
    except Exception as error:  # decoders raise what they like
        name = getattr(page.keyframe.compression, "name", page.keyframe.compression)
        mend = "; save it with LZW or without compression" if NOT_DECODED.search(str(error)) else ""
        raise InputError(
            f"{file.path} cannot be read (compression {name}{mend}): {_brief(first_line(error))}"
        ) from error
    finally:
        if closed:
            file.close()


def _picture(keyframe: Any, values: NDArray[Any], path: Path) -> Picture:
    """What the tags of a page say of its values."""
    photometric, samples = keyframe.photometric, values.shape[0 if keyframe.axes.startswith("S") else -1]
    if values.ndim == 3:
        coloured = photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
        if not coloured and not (samples == 2 and any(keyframe.extrasamples)):
            name = getattr(photometric, "name", photometric)
            raise InputError(f"{path} has {samples} numbers for each pixel ({name}), which is not understood; {LABELS}")
        values = np.moveaxis(values, 0, -1) if keyframe.axes.startswith("S") else values
    white = 2**keyframe.bitspersample - 1 if photometric == PHOTOMETRIC.MINISWHITE else None
    palette = keyframe.colormap if photometric == PHOTOMETRIC.PALETTE else None
    if palette is not None:
        palette = np.asarray(palette).T
        palette = (palette >> 8 if palette.max() > 255 else palette).astype(np.uint8)
    return Picture(str(path), values, white, palette, _lossy(keyframe))


def _lossy(keyframe: Any) -> str:
    name = getattr(keyframe.compression, "name", "")
    return name if name in CHANGING else ""
