"""Arrays from anywhere, checked once.

They hold numbers, in native byte order, of the dtype that the kernels read.
"""

import math
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.space import Box, Lengths, triple


def is_array(values: Any) -> bool:
    """Tell whether something is an array, or sliced and described like one.

    A volume that is not read yet is described like one.
    """
    return hasattr(values, "shape") and isinstance(getattr(values, "dtype", None), np.dtype)


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Check an array of booleans, integers or floats, in native byte order.

    An InputError refuses anything else. Nothing is copied without need.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must be an array of numbers: {error}") from error
    if array.dtype.kind not in "buif":
        raise InputError(f"{name} must be an array of numbers, not of {array.dtype}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_ids(values: Any, name: str) -> NDArray[np.uint64]:
    """Any whole, non-negative numbers as contiguous uint64.

    Floats are ids as far as they tell neighbouring ones apart.
    """
    array = as_array(values, name)
    if not array.size:
        return np.zeros(array.shape, np.uint64)
    if array.dtype.kind == "f":
        _check_whole(array, name)
    if array.dtype.kind in "if" and array.min() < 0:
        raise InputError(f"{name} must not be negative, but its smallest value is {array.min()}; use 0 for background")
    return np.ascontiguousarray(array, dtype=np.uint64)


def _check_whole(array: NDArray[Any], name: str) -> None:
    """Refuse floats that are no ids.

    These are fractions, NaN, and numbers so large that neighbouring ones are one.
    """
    if not (array == np.rint(array)).all() or not np.isfinite(array).all():
        raise InputError(f"{name} must be whole numbers (such as uint64), but holds fractions, NaN or infinite values: were labels "
                         "resampled by interpolation?")  # fmt: skip
    limit = 2 ** (np.finfo(array.dtype).nmant + 1)
    if array.max() >= limit:
        raise InputError(f"{name} holds {array.dtype} that reach {array.max():.0f}: from {limit} on neighbouring ids are one "
                         "number there; write them anew as uint64")  # fmt: skip


def as_counts(values: Any, name: str, least: int = 0) -> NDArray[np.int64]:
    """A list of whole numbers of at least `least` as contiguous int64."""
    array = as_array(values, name)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "uib"):
        raise InputError(f"{name} must be a list of whole numbers, not {array.dtype} of shape {array.shape}")
    if array.size and not least <= int(array.min()) <= int(array.max()) < 2**63:
        raise InputError(f"{name} must be whole numbers of {least} or more, but hold {array.min()} to {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)


def as_triple(values: Any, name: str, *, positive: bool = True) -> Lengths:
    """Three finite numbers (z, y, x), above 0 if they must be positive."""
    array = as_array(values, name).astype(np.float64)
    if array.shape != (3,) or not np.isfinite(array).all() or (positive and (array <= 0).any()):
        raise InputError(f"{name} must be three {'positive ' * positive}numbers (z, y, x) in nm, not {values!r}")
    return triple(array.tolist())


def as_whole(value: SupportsIndex | float, name: str, least: int = 0) -> int:
    """A whole number of at least `least`."""
    real = isinstance(value, int | float | np.integer | np.floating)
    if not real or not math.isfinite(value) or int(value) != value or value < least:
        raise InputError(f"{name} must be a whole number of {least} or more, not {value!r}")
    return int(value)


def as_box(box: Sequence[slice], shape: Sequence[int], name: str) -> Box:
    """Check three slices (z, y, x) that hold voxels of a volume of this shape.

    Both ends are filled in; no voxel lies outside.
    """
    parts = list(box) if isinstance(box, Sequence) else []
    if len(parts) != 3 or not all(isinstance(part, slice) for part in parts):
        raise InputError(f"{name} must be three slices (z, y, x), not {box!r}")
    found = []
    for part, size in zip(parts, shape, strict=True):
        start, stop = 0 if part.start is None else part.start, size if part.stop is None else part.stop
        whole = all(isinstance(end, int | np.integer) for end in (start, stop)) and part.step in (None, 1)
        if not whole or not 0 <= start < stop <= size:
            raise InputError(f"{name} must hold voxels of the shape {tuple(shape)} in steps of 1, not {tuple(parts)}")
        found.append(slice(int(start), int(stop)))
    return Box(*found)
