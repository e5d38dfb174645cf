"""Faults of raw, found before training.

Few grey levels, saturation, black, faint and doubled sections.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.grey import BLACK, WHITE, Scaling, percentiles
from clew.planning.annotation import Finding, ranges


def check_contrast(raw: NDArray[Any]) -> tuple[NDArray[np.uint8], list[Finding]]:
    """Turn raw (z, y, x) into uint8, and find out what is wrong with its values."""
    findings = []
    if raw.dtype != np.uint8:
        findings.append(
            Finding(True, f"raw is {raw.dtype}, train wants uint8; convert it with clew convert --dtype uint8")
        )
        findings += _check_numbers(raw)
        raw = _as_bytes(raw)
    histogram = np.bincount(raw.ravel(), minlength=256)
    levels = np.count_nonzero(histogram)
    if levels == 1:
        return raw, [*findings, Finding(True, f"raw is {int(raw.flat[0])} everywhere: an empty volume")]
    below = np.cumsum(histogram) / raw.size
    low, high = int(np.searchsorted(below, 0.01)), int(np.searchsorted(below, 0.99))
    if levels < 64:
        findings.append(Finding(False, f"raw has only {levels} grey levels; convert it anew from the original"))
    if high - low < 64:
        findings.append(Finding(False, f"low contrast: 98 % of raw lie in {low}–{high}; stretch it to 0–255"))
    for level, name in ((0, "black"), (255, "white")):
        share = histogram[level] / raw.size
        if share > 0.05:
            findings.append(Finding(False, f"{share:.0%} of raw are {name} ({level}): padding, or a bad conversion; mask "
                                           "padding out"))  # fmt: skip
    return raw, findings + check_raw_sections(raw)


def check_raw_sections(raw: NDArray[np.uint8]) -> list[Finding]:
    """Find sections with little contrast or none, and those equal to the one before."""
    deviation = np.array([section.std(dtype=np.float32) for section in raw])
    usual = float(np.median(deviation))
    same = [z for z in range(1, len(raw)) if np.array_equal(raw[z], raw[z - 1])]
    blank = np.flatnonzero(deviation < 0.1 * usual)
    faint = np.flatnonzero((deviation >= 0.1 * usual) & (deviation < 0.5 * usual))
    doubled = np.setdiff1d(same, blank)
    rows = (
        (blank, "sections without an image", "mask them out, or keep them for the network to learn"),
        (faint, "sections of less than half the usual contrast", "keep them, and let augmentation make more"),
        (doubled, "sections equal to the one before", "a missing section was filled in; mask its labels out"),
    )
    return [Finding(False, f"{what}: z {ranges(where)}; {advice}") for where, what, advice in rows if where.size]


def _check_numbers(raw: NDArray[Any]) -> list[Finding]:
    """Find NaN and infinite values."""
    bad = ~np.isfinite(raw)
    if not bad.any():
        return []
    first = tuple(map(int, np.unravel_index(int(np.argmax(bad)), bad.shape)))
    return [Finding(True, f"{np.count_nonzero(bad):,} voxels of raw are NaN or infinite ({bad.mean():.1%}, the first at voxel "
                          f"{first} of what is read); convert it with --fill 0, and mask them out")]  # fmt: skip


def _as_bytes(raw: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = percentiles([raw], BLACK, WHITE) or (0.0, 1.0)
    return Scaling((low, max(high, low + 1e-12)), low, "raw")(raw)
