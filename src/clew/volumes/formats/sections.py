"""Folders of sections: an image in each file, TIFF, PNG, JPEG or BMP."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clew.documents import regular_file
from clew.errors import InputError
from clew.volumes.formats.colours import LABELS, Picture, understand
from clew.volumes.formats.images import Sections
from clew.volumes.formats.ome_tiff import set_of
from clew.volumes.formats.section_names import Numbering, number_sections, unplaced
from clew.volumes.formats.tiff import open_tiff, read_section, section_header
from clew.volumes.geometry import Geometry
from clew.volumes.location import BY_NAME, BY_NUMBER, IMAGE_SUFFIXES, TIFF_SUFFIXES, natural_key
from clew.volumes.recognition import reason
from clew.volumes.volume import LOSSY, Stored, first_line

PILLOW_FORMATS = ("PNG", "JPEG", "BMP")
"""Pillow goes by the content of a file, and starts another program for some of what it finds, such as PostScript."""
LOOKED_AT = 500
"""Headers that are looked at, at most about twice as many; one of a TIFF takes 0.2 ms."""
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "I;16B", "I;16L")
"""Pillow's kinds of images that are understood; not those of printers (CMYK) and of video."""


def open_folder(folder: Path, order: str = "") -> Stored:
    """Open a folder of sections.

    Parameters
    ----------
    folder : Path
    order : str
        By default sections are neighbours in the order of their numbers. `by-number`: the numbers are places in a stack; sections
        that are absent are 0, and the first lies at its number. `by-name`: all images, in the natural order of their names.
    """
    files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."]
    kinds = sorted({file.suffix.lower() for file in files})
    if len(kinds) > 1 and not set(kinds) <= set(TIFF_SUFFIXES):
        raise InputError(
            f"{folder} mixes images of the kinds {', '.join(kinds)}; wanted sections of one kind: move the others away"
        )
    files.sort(key=lambda file: natural_key(file.name))
    whole = _set_in(files, folder)
    if whole is not None:
        return whole
    numbering = Numbering(files, None) if order == BY_NAME else number_sections(files, folder)
    files = numbering.files
    stored = open_sections(files, f"folder of {len(files)} sections ({kinds[0][1:]})", str(folder))
    notes = (("sections", f"{files[0].name} … {files[-1].name}"), *stored.notes)
    stored = replace(stored, notes=notes, warnings=(*numbering.warnings, *stored.warnings))
    if order != BY_NUMBER:
        return replace(stored, warnings=(*stored.warnings, *unplaced(numbering)))
    if numbering.numbers is None:
        example = files[0].name
        raise InputError(
            f"{folder}: no number in the names ({example}) tells the sections apart; rename them, or leave out by-number"
        )
    return _placed(stored, numbering.numbers, files)


def open_sections(files: Sequence[Path], kind: str, source: str) -> Stored:
    """Open images of one shape as a volume, in the given order."""
    first = _read_picture(files[0])
    colours = understand(itertools.chain([first], map(_read_picture, files[1:])))
    shape = first.values.shape[:2]

    def read(number: int) -> NDArray[Any]:
        image = colours.numbers(_read_picture(files[number]))
        if image.shape != shape or image.dtype != colours.dtype:
            raise InputError(_unlike(files[number], (image.shape, image.dtype), (shape, colours.dtype), files[0]))
        return image

    return Stored(
        array=Sections((len(files),), (shape[0], shape[1]), colours.dtype, read),
        geometry=Geometry(("z", "y", "x"), source="a folder of sections carries none"),
        format=kind,
        source=source,
        record={LOSSY: first.lossy} if first.lossy else {},
        chunks=(1, *shape),
        notes=colours.notes,
        warnings=colours.warnings,
        look=lambda: _refuse_other_headers(files),
    )


def _refuse_other_headers(files: Sequence[Path]) -> None:
    """Refuse a section whose header says another size than that of the first.

    Of very many files only some are looked at, evenly spread.
    """
    wanted = _header(files[0])
    for file in files[1 :: 1 + len(files) // LOOKED_AT]:
        found = _header(file)
        if found != wanted:
            raise InputError(_unlike(file, found, wanted, files[0]))


def _unlike(file: Path, found: tuple[Any, ...], wanted: tuple[Any, ...], first: Path) -> str:
    return f"{file} is {found[0]} {found[1]}; all sections must be {wanted[0]} {wanted[1]} as {first.name}"


def _header(file: Path) -> tuple[tuple[int, ...], str]:
    """The size (y, x) and the kind of numbers of an image, without its pixels."""
    with _damage_named(file):
        if file.suffix.lower() in TIFF_SUFFIXES:
            return section_header(file)
        with Image.open(file, formats=PILLOW_FORMATS) as opened:
            return opened.size[::-1], "of 16 bit or more" if opened.mode[0] == "I" else "of 8 bit or less"


def _placed(stored: Stored, numbers: Sequence[int], files: Sequence[Path]) -> Stored:
    """Sections at the places that their numbers say."""
    first, count = numbers[0], numbers[-1] - numbers[0] + 1
    places = {number - first: index for index, number in enumerate(numbers)}
    plane, dtype, array = stored.array.shape[1:], stored.array.dtype, stored.array

    def read(place: int) -> NDArray[Any]:
        index = places.get(place)
        return np.zeros(plane, dtype) if index is None else array[index : index + 1, :, :][0]

    said = f"placed by number: {files[0].name} is section {first}, counted from 0 where raw begins"
    lost = count - len(numbers)
    absent = f"{lost} of {count} sections are not there and read as 0; clew convert --mask annotated makes the mask of the others"
    return replace(
        stored,
        array=Sections((count,), (plane[0], plane[1]), dtype, read),
        geometry=replace(stored.geometry, offset_voxels=(float(first), 0.0, 0.0)),
        source=f"{stored.source}:{BY_NUMBER}",
        warnings=(*stored.warnings, f"{said}; {absent}" if lost else said),
    )


def _set_in(files: Sequence[Path], folder: Path) -> Stored | None:
    """The volume whose sections or channels these files are, where the first says so."""
    first = files[0]
    if first.suffix.lower() not in TIFF_SUFFIXES:
        return None
    if (folder / "NDTiff.index").is_file():
        return open_tiff(first)
    named = set_of(first)
    if not named or named == [first]:
        return None
    stored = open_tiff(first)
    others = [file.name for file in files if file not in named]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise InputError(
            f"{first} names the files of its OME-TIFF set, {others[0]}{more} not among them: name {first} instead of the folder"
        )
    return replace(stored, source=str(folder))


def _read_picture(file: Path) -> Picture:
    with _damage_named(file):
        return read_section(file) if file.suffix.lower() in TIFF_SUFFIXES else _read_with_pillow(file)


@contextlib.contextmanager
def _damage_named(file: Path) -> Iterator[None]:
    """Say in our words what is wrong with an image that cannot be read."""
    regular_file(file)
    try:
        yield
    except (MemoryError, InputError):
        raise
    except Exception as error:  # decoders raise what they like
        own = ("TIFF",) if file.suffix.lower() in TIFF_SUFFIXES else ("PNG", "JPEG (", "a Windows")
        raise InputError(f"{file} cannot be read: {reason(file, first_line(error), *own)}") from error


def _read_with_pillow(file: Path) -> Picture:
    Image.MAX_IMAGE_PIXELS = None  # sections of electron microscopes are larger than Pillow expects
    with Image.open(file, formats=PILLOW_FORMATS) as opened:
        if opened.mode not in MODES:
            raise InputError(f"{file} is a colour image ({opened.mode}); wanted grey, or ids: {LABELS}")
        deep = any(str(tile[3]).endswith(";16B") for tile in opened.tile) and opened.mode[0] != "I"
        palette = None
        if opened.mode == "P":
            palette = np.array(opened.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return Picture(
            str(file),
            _deep(file) if deep else np.asarray(opened),
            palette=palette,
            lossy="JPEG" if opened.format == "JPEG" else "",
        )


def _deep(file: Path) -> NDArray[Any]:
    """A PNG with colours of 16 bit, of which Pillow would make 8."""
    import imagecodecs

    return np.asarray(imagecodecs.png_decode(file.read_bytes()))
