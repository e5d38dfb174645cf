"""Coarser scales, the slow and obvious way."""

from collections import Counter
from itertools import product

import numpy as np


def windows(values, factors):
    counts = [-(-length // factor) for length, factor in zip(values.shape, factors, strict=True)]
    for place in product(*map(range, counts)):
        yield place, values[tuple(slice(p * f, (p + 1) * f) for p, f in zip(place, factors, strict=True))].ravel()


def pool(values, factors):
    out = np.zeros([-(-length // factor) for length, factor in zip(values.shape, factors, strict=True)], values.dtype)
    for place, window in windows(values, factors):
        if values.dtype.itemsize <= 2:
            out[place] = int(np.floor(window.astype(float).mean() + 0.5))
        else:
            counts = Counter(window.tolist())
            most = max(counts.values())
            frequent = sorted(value for value, count in counts.items() if count == most)
            out[place] = next((value for value in frequent if value), 0)
    return out
