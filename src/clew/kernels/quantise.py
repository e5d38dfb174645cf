"""Affinities in [0, 1] as bytes."""

import numpy as np

from clew.kernels._jit import kernel


@kernel
def quantise_values(values: np.ndarray, levels: np.ndarray) -> int:
    """Write round(255 · value) of the flat float `values` into the flat uint8 `levels`.

    Returns the number of values outside [0, 1], NaN and infinity among them; what is written for those means nothing.
    """
    bad = 0
    for i in range(values.size):
        value = values[i]
        inside = (value >= 0) & (value <= 1)
        bad += not inside
        levels[i] = np.uint8(np.int32(np.rint((value if inside else np.float32(0)) * np.float32(255))))
    return bad
