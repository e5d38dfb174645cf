"""Label volumes: the one check of them, and ids with a special meaning.

Such ids say that nobody annotated a voxel.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_array, as_ids, is_array
from clew.errors import InputError

Labels = NDArray[np.uint64]
FIRST_SPECIAL = np.uint64(0xFFFFFFFFFFFFFFFD)
"""From here on ids of CREMI say that a voxel is outside of the annotation (…FD), invalid (…FE) or transparent (…FF)."""


def check_label_kind(labels: Any, name: str) -> None:
    """Refuse what cannot be a label volume, by its shape and dtype alone.

    So labels may be lazy.
    """
    shape, dtype = tuple(labels.shape), np.dtype(labels.dtype)
    if len(shape) != 3:
        raise InputError(f"{name} must be (z, y, x), not of shape {shape}")
    if 0 in shape:
        raise InputError(f"{name} must hold at least one voxel, not be of shape {shape}")
    if dtype.kind not in "uibf":
        raise InputError(f"{name} must be whole numbers (such as uint64), not {dtype}; convert them first")


def as_labels(labels: Any, name: str) -> Labels:
    """Check a label volume and return it as contiguous uint64.

    It is not copied where it is that already.
    """
    labels = labels if is_array(labels) else as_array(labels, name)
    check_label_kind(labels, name)
    return as_ids(labels, name)


def as_truth(labels: Any, name: str) -> Labels:
    """Check labels that people made, and return them as contiguous uint64.

    −1, −2 and −3 say that nobody annotated a voxel, as CREMI's ids for it, which they are in 64 bits.
    """
    labels = labels if is_array(labels) else as_array(labels, name)
    check_label_kind(labels, name)
    if np.dtype(labels.dtype).kind in "if":
        labels = as_array(labels, name)
        unknown = special_ids(labels)
        if unknown.any():
            ids = as_ids(np.where(unknown, 0, labels), name)
            ids[unknown] = labels[unknown].astype(np.int64).astype(np.uint64)
            return ids
    return as_ids(labels, name)


def check_same_shape(first: Any, second: Any, names: tuple[str, str]) -> None:
    """Refuse two volumes of different shapes."""
    if tuple(first.shape) != tuple(second.shape):
        raise InputError(
            f"{names[0]} and {names[1]} must have one shape, not {tuple(first.shape)} and {tuple(second.shape)};"
            " crop both to the same region"
        )


def sizes_by_id(ids: NDArray[Any], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum the sizes of all entries that have the id of each entry."""
    _, rows = np.unique(ids, return_inverse=True)
    totals = np.zeros(rows.max(initial=-1) + 1, np.int64)
    np.add.at(totals, rows, sizes)
    return totals[rows]


def inside_mask(mask: Any, name: str = "mask", advice: str = "write 0 or 1 there") -> NDArray[np.bool_]:
    """Which voxels of a mask are inside: all above 0. This is the one rule for masks.

    An InputError refuses NaN and values below 0, which some people take for inside and others for outside.
    """
    mask = as_array(mask, name)
    if mask.dtype.kind in "if" and not (fine := mask >= 0).all():
        unknown, negative = np.count_nonzero(mask != mask), np.count_nonzero(mask < 0)
        raise InputError(
            f"{name}: a mask must be 0 outside and above 0 inside, but of {fine.size:,} voxels {negative:,} are below 0 "
            f"and {unknown:,} are NaN; {advice}"
        )
    return mask if mask.dtype == bool else mask != 0


def special_ids(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Which voxels have an id that says that nobody annotated them.

    Signed numbers have −1 to −3 in the place of CREMI's.
    """
    if ids.dtype.kind in "if":
        return (ids < 0) & (ids >= -3) & (ids == np.rint(ids))
    return ids >= FIRST_SPECIAL if ids.dtype == np.uint64 else np.zeros(ids.shape, bool)


def without_special(ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The ids with 0 in the place of the special ones."""
    special = special_ids(ids)
    return np.where(special, np.uint64(0), ids) if special.any() else ids
