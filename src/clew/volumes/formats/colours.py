"""What the numbers of an image mean.

Which end is black, palettes, colours that are grey or ids.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError

ALIKE = 0.5
"""Share of neighbouring pixels that have one colour in images of ids; in photographs hardly any have."""
AS_IDS = "R + 256 G + 256² B"
LABELS = "save ids as numbers (one channel of 8, 16 or 32 bit), images as grey"


@dataclass(frozen=True)
class Picture:
    """An image as its file stores it.

    Parameters
    ----------
    source : str
        Its file, for people.
    values : (y, x) or (y, x, sample) array
    white : int, optional
        The number that black has in a file in which 0 is white.
    palette : (n, 3) uint8, optional
        The colours that the values are indices of.
    lossy : str
        The name of a compression that changes values.
    """

    source: str
    values: NDArray[Any]
    white: int | None = None
    palette: NDArray[np.uint8] | None = None
    lossy: str = ""


@dataclass(frozen=True)
class Colours:
    """How images of one volume are turned into numbers.

    Parameters
    ----------
    kind : str
        "grey", "ids" (colours that are ids), "blank" (colours, all of them black) or "indices" (of a coloured palette).
    dtype : numpy.dtype
        Of the numbers.
    palette : (n, 3) uint8, optional
        The palette that all images share, where the numbers are its indices.
    warnings, notes : tuples
        What people should know, as in `Stored`.
    """

    kind: str
    dtype: np.dtype
    palette: NDArray[np.uint8] | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

    def numbers(self, picture: Picture) -> NDArray[Any]:
        """The numbers (y, x) of an image; one of another kind is refused."""
        palette, values = picture.palette, picture.values
        if self.kind == "ids":
            fits = palette is None and values.ndim == 3 and values.shape[-1] > 2 and values.dtype == np.uint8
        elif self.kind == "indices":
            fits = _same_palette(palette, self.palette)
        else:
            fits = palette is None or _is_grey(palette)
        if not fits:
            raise InputError(f"{picture.source} has other colours than the images before it; {LABELS}")
        return coloured_ids(values) if self.kind == "ids" else _grey(picture)


def understand(pictures: Iterable[Picture]) -> Colours:
    """Understand the images of a volume from the first one that is not black.

    Raises
    ------
    InputError
        For photographs and drawings in colour.
    """
    found = None
    for picture in pictures:
        found = _look(picture)
        if found.kind != "blank":
            return found
    if found is None:
        raise InputError("there is no image")
    return replace(found, kind="grey")


def coloured_ids(image: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Ids that are stored as colours (y, x, RGB or RGBA).

    They are R + 256 G + 256² B, and 256³ A where A is not 255 (opaque).

    So Raveler and DVID write label sections of FIB-25; their ids stay below 255 · 256³.
    """
    red, green, blue, *rest = np.moveaxis(image.astype(np.uint32), -1, 0)
    alpha = rest[0] if rest else np.uint32(255)
    return red | green << 8 | blue << 16 | np.where(alpha == 255, np.uint32(0), alpha) << 24


def _look(picture: Picture) -> Colours:
    values, dtype = picture.values, picture.values.dtype
    if picture.palette is not None:
        return _look_at_palette(picture.palette, dtype)
    if values.ndim == 2:
        return _look_at_grey(picture)
    samples = values.shape[-1]
    if samples == 2:
        return Colours("grey", dtype, warnings=_transparent(values))
    if samples not in (3, 4):
        raise InputError(f"{picture.source} has {samples} numbers for each pixel; {LABELS}")
    if _is_grey(values[..., :3]) and not _alpha_counts(values):
        warnings = _transparent(values) if samples == 4 else ()
        notes = (("colours", "red, green and blue are equal: read as grey"),)
        return Colours("grey" if values[..., :3].any() else "blank", dtype, None, warnings, notes)
    return _look_at_ids(picture)


def _look_at_grey(picture: Picture) -> Colours:
    dtype = picture.values.dtype
    if picture.white is None:
        return Colours("grey", dtype)
    if dtype.kind not in "ub":
        return Colours("grey", dtype, warnings=(f"0 is white in this file; its {dtype} are read as stored",))
    text = (
        f"0 is white in this file: {picture.white} − stored is read, as other programs show it; "
        "where the stored numbers count (labels, masks), save it with 0 as black"
    )
    return Colours("grey", dtype, warnings=(text,))


def _look_at_palette(palette: NDArray[np.uint8], dtype: np.dtype) -> Colours:
    if _is_grey(palette):
        same = (palette[:, 0] == np.arange(len(palette))).all()
        text = (
            "the grey of the palette is read, not its indices; where the indices are ids, save them without a palette"
        )
        return Colours("grey", np.dtype(np.uint8), warnings=() if same else (text,))
    text = "the indices of the palette are read, not its colours: right for labels"
    return Colours("indices", dtype, palette, (text,))


def _look_at_ids(picture: Picture) -> Colours:
    values = picture.values
    alike, opaque = _looks_like_ids(values), values.shape[-1] == 3
    if picture.lossy or values.dtype != np.uint8 or (opaque and not alike):
        raise InputError(f"{picture.source} is a colour image; wanted grey, or ids: {LABELS}")
    alpha = "" if opaque else ", and 256³ A where A is not 255"
    doubt = "" if alike else "; but neighbours hardly share one, as in a picture"
    text = f"colours are read as ids, {AS_IDS}{alpha}; where R counts highest, the numbers differ, the objects do not{doubt}"
    return Colours("ids", np.dtype(np.uint32), None, (text,), (("colours", f"read as ids: {AS_IDS}"),))


def _looks_like_ids(values: NDArray[np.uint8]) -> bool:
    """Whether most neighbours have one colour.

    The commonest colour does not count: it may be a background.
    """
    ids = coloured_ids(values)
    found, counts = np.unique(ids, return_counts=True)
    common = ids == found[np.argmax(counts)]
    alike = pairs = 0
    for axis in (0, 1):
        first, second = np.moveaxis(ids, axis, 0)[:-1], np.moveaxis(ids, axis, 0)[1:]
        counted = ~(np.moveaxis(common, axis, 0)[:-1] & np.moveaxis(common, axis, 0)[1:])
        alike += int((counted & (first == second)).sum())
        pairs += int(counted.sum())
    return alike >= ALIKE * pairs


def _alpha_counts(values: NDArray[Any]) -> bool:
    """Whether the fourth sample is more than opaque and transparent: a part of an id."""
    return values.shape[-1] == 4 and not np.isin(values[..., 3], (0, _largest(values.dtype))).all()


def _transparent(values: NDArray[Any]) -> tuple[str, ...]:
    opaque = (values[..., -1] == _largest(values.dtype)).all()
    return () if opaque else ("parts of the images are transparent: their grey is read all the same",)


def _grey(picture: Picture) -> NDArray[Any]:
    values, palette = picture.values, picture.palette
    if values.ndim == 3:
        if values.shape[-1] > 2 and not _is_grey(values[..., :3]):
            raise InputError(f"{picture.source} is a colour image, those before it are grey; {LABELS}")
        values = values[..., 0]
    if palette is not None and _is_grey(palette):
        if values.max(initial=0) >= len(palette):
            raise InputError(f"{picture.source} is damaged: its palette has {len(palette)} colours, it uses more")
        return palette[:, 0][values]
    if picture.white is None or values.dtype.kind not in "ub":
        return values
    return ~values if values.dtype == np.bool_ else values.dtype.type(picture.white) - values


def _is_grey(colours: NDArray[Any]) -> bool:
    return bool((colours[..., :1] == colours).all())


def _same_palette(first: NDArray[np.uint8] | None, second: NDArray[np.uint8] | None) -> bool:
    if first is None or second is None:
        return False
    common = min(len(first), len(second))
    return bool((first[:common] == second[:common]).all())


def _largest(dtype: np.dtype) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0
