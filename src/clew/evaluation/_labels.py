"""The one check of label volumes: whole numbers, not negative, three axes, not empty."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_array, as_ids, is_array
from clew.errors import InputError

Labels = NDArray[np.uint64]


def check_label_kind(labels: Any, name: str) -> None:
    """Refuse what cannot be a label volume, by its shape and dtype alone (labels may be lazy)."""
    shape, dtype = tuple(labels.shape), np.dtype(labels.dtype)
    if len(shape) != 3:
        raise InputError(f"{name} must be (z, y, x), not of shape {shape}")
    if 0 in shape:
        raise InputError(f"{name} must hold at least one voxel, not be of shape {shape}")
    if dtype.kind not in "uib":
        raise InputError(f"{name} must be whole numbers (such as uint64), not {dtype}; convert them first")


def as_labels(labels: Any, name: str) -> Labels:
    """Check a label volume and hand it back as contiguous uint64 (without a copy where it is that already)."""
    labels = labels if is_array(labels) else as_array(labels, name)
    check_label_kind(labels, name)
    return as_ids(labels, name)


def check_same_shape(first: Any, second: Any, names: tuple[str, str]) -> None:
    """Refuse two volumes of different shapes."""
    if tuple(first.shape) != tuple(second.shape):
        raise InputError(
            f"{names[0]} and {names[1]} must have one shape, not {tuple(first.shape)} and {tuple(second.shape)};"
            " crop both to the same region"
        )
