"""Grey values of images of any type: which of them become black and white.

They are found in a sample of the whole volume, so that they are the same for each part of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError

BLACK, WHITE = 0.1, 99.9
"""Percentiles of the sample: a few hot or dead pixels decide nothing, and what lies beyond is cut off."""
WHOLE = 1 << 22
"""Voxels of a volume that is looked at wholly."""
SECTIONS, PIECES, EDGE = 16, 4, 64
"""Of a larger one so many sections, and in each so many squares of this edge along y and along x: a million voxels."""
PADDING = 0.125
"""From this share of one value on, it is taken for padding: of images in 16 bits none is so frequent."""
FLAT = 0.75
"""From this share of equal neighbours on, values are taken for ids: those of images are noisy, objects are wider than 4 voxels."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Scaling:
    """How grey values become uint8: those of the range 0 to 255, beyond it 0 or 255.

    Parameters
    ----------
    range : (float, float), optional
        Values that become 0 and 255; None to keep values and type.
    fill : float, optional
        What takes the place of NaN and infinite values.
    name : str
        The volume in messages.
    """

    range: Range | None
    fill: float | None
    name: str

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        values = self._filled(values)
        if self.range is None:
            return values
        low, high = self.range
        grey = values.astype(np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64)
        np.subtract(grey, low, out=grey)
        np.multiply(grey, 255 / (high - low), out=grey)
        return np.rint(grey.clip(0, 255, out=grey), out=grey).astype(np.uint8)

    def _filled(self, values: NDArray[Any]) -> NDArray[Any]:
        bad = ~np.isfinite(values) if values.dtype.kind == "f" else None
        if bad is None or not bad.any():
            return values
        if self.fill is not None:
            return np.where(bad, values.dtype.type(self.fill), values)
        if self.range is None:
            return values
        raise InputError(f"{self.name} holds {np.count_nonzero(bad):,} NaN or infinite values (and perhaps more elsewhere); say "
                         "what takes their place, such as --fill 0")  # fmt: skip


def grey_range(data: Any, name: str) -> Range:
    """The values of an image that become black and white, by percentiles of a sample.

    Parameters
    ----------
    data : (z, y, x) or (c, z, y, x) array, or sliced and described like one
    name : str
        In messages.

    Returns
    -------
    (float, float)
        The lower below the upper.

    Raises
    ------
    InputError
        For ids instead of an image, and where there is only one value or none.
    """
    if np.dtype(data.dtype).kind == "b":
        return 0.0, 1.0
    pieces = list(sample_pieces(data))
    share = _flat_share(pieces)
    if data.dtype.itemsize > 1 and share >= FLAT:
        raise InputError(f"{name} looks like labels ({share:.0%} of neighbouring values are equal), and scaled ids mean nothing; "
                         "if it is an image, say which values become 0 and 255: --range LOW,HIGH")  # fmt: skip
    found = percentiles(pieces, BLACK, WHITE)
    if found is None or found[0] == found[1]:
        what = "only NaN or infinite values" if found is None else f"nearly everywhere the value {found[0]:g}"
        raise InputError(f"a sample of {name} holds {what}; say which values become 0 and 255: --range LOW,HIGH")
    return found


def percentiles(pieces: list[NDArray[Any]], low: float, high: float) -> Range | None:
    """Two percentiles of the finite values of a sample; None where there is none."""
    values = np.concatenate([piece.ravel() for piece in pieces])
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    first, last = np.percentile(values, [low, high])
    return float(first), float(last)


def without_padding(pieces: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """A sample without the value that fills much of it, if another one is left.

    Such a value is what lies around the tissue, and says nothing about its contrast.
    """
    value = _commonest(pieces)
    share = sum(np.count_nonzero(piece == value) for piece in pieces) / max(1, sum(piece.size for piece in pieces))
    rest = [piece[piece != value] for piece in pieces] if share > PADDING else []
    return rest if any(piece.size for piece in rest) else pieces


def sample_pieces(data: Any) -> Iterator[NDArray[Any]]:
    """Pieces of a volume, spread over all of it; a small one wholly.

    Their number is bounded, and they are the same each time. Where a volume is stored in sections, these are read once each.
    """
    *channels, z, y, x = data.shape
    if int(np.prod(data.shape, dtype=object)) <= WHOLE:
        yield np.asarray(data[...])
        return
    rows = [slice(start, start + EDGE) for start in _spread(y, EDGE, PIECES)]
    columns = [slice(start, start + EDGE) for start in _spread(x, EDGE, PIECES)]
    for start in _spread(z, 1, SECTIONS):
        at = (*[slice(None)] * len(channels), slice(start, start + 1))
        if getattr(data, "chunks", None) is None:
            section = np.asarray(data[(*at, slice(None), slice(None))])
            yield from (section[..., row, column] for row, column in product(rows, columns))
        else:
            yield from (np.asarray(data[(*at, row, column)]) for row, column in product(rows, columns))


def _spread(length: int, edge: int, most: int) -> list[int]:
    """Where pieces of an edge begin that lie evenly on an axis."""
    return sorted(set(np.linspace(0, max(length - edge, 0), most).astype(int).tolist()))


def looks_like_ids(values: NDArray[Any]) -> bool:
    """Whether an array (z, y, x) is taken for labels.

    These are whole numbers, most of them equal to their neighbour.
    """
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        return False
    return values.dtype.kind in "uif" and (values.dtype.itemsize > 2 or _flat_share([values]) >= FLAT)


def _flat_share(pieces: list[NDArray[Any]]) -> float:
    """The share of neighbours along x that have one value.

    The commonest value (padding) and NaN do not count.
    """
    commonest = _commonest(pieces)
    equal = pairs = 0
    for piece in pieces:
        one, other = piece[..., :-1], piece[..., 1:]
        counted = (one != commonest) & (one == one)
        equal += int(np.count_nonzero((one == other) & counted))
        pairs += int(np.count_nonzero(counted))
    return equal / pairs if pairs else 0.0


def _commonest(pieces: list[NDArray[Any]]) -> Any:
    values, counts = np.unique(np.concatenate([piece.ravel()[::7] for piece in pieces]), return_counts=True)
    return values[np.argmax(counts)]
