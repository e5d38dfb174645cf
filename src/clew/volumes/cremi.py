"""Conventions of the CREMI challenge: labels of a part of the padded raw, and ids that are no neurons."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CREMI_LAYOUT = ("volumes/raw", "volumes/labels/neuron_ids", "volumes/labels/mask")
"""Datasets of raw, labels and mask."""
FIRST_SPECIAL = np.uint64(0xFFFFFFFFFFFFFFFD)
"""From here on ids say that a voxel is outside of the annotation (…FD), invalid (…FE) or transparent (…FF)."""


def special_ids(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Which voxels have an id that says that nobody annotated them."""
    return ids >= FIRST_SPECIAL if ids.dtype == np.uint64 else np.zeros(ids.shape, bool)


def without_special(ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The ids with 0 in the place of the special ones."""
    special = special_ids(ids)
    return np.where(special, np.uint64(0), ids) if special.any() else ids
