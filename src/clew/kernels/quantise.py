"""Affinities in [0, 1] as bytes."""

import numpy as np

from clew.kernels._jit import kernel


@kernel
def quantise_values(values: np.ndarray, levels: np.ndarray) -> int:
    """Write round(255 · value) of the flat float `values` into the flat uint8 `levels`.

    Returns the number of values outside [0, 1], NaN and infinity among them; what is written for those means nothing.
    """
    bad = np.int32(0)
    for i in range(values.size):
        inside = min(max(np.float32(0), values[i]), np.float32(1))
        bad += np.int32(inside != values[i])
        levels[i] = np.uint8(np.int32(np.rint(inside * np.float32(255))))
    return bad
