"""Faults of raw, found before training.

Few grey levels, saturation, black, faint and doubled sections.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from clew.grey import BLACK, WHITE, Scaling, percentiles
from clew.planning.annotation import Finding, ranges

STRANGE = 0.7
"""1 − correlation of neighbouring sections from which on nothing can be said of their order."""
NEARER = 0.8
"""So much less do sections two apart differ than neighbours, where the order is wrong."""
JUMP = 3.0
"""So many times as much as usual do neighbours differ where sections are missing."""
FEW = 5
"""Places with something wrong; more of them are how the images are."""
SATURATED = 0.3
"""Share of the voxels of a section that are black or white, where few are in others."""


def check_contrast(raw: NDArray[Any]) -> tuple[NDArray[np.uint8], list[Finding]]:
    """Turn raw (z, y, x) into uint8, and find out what is wrong with its values."""
    findings = []
    if raw.dtype != np.uint8:
        findings.append(
            Finding(
                True, f"raw is {raw.dtype}, train wants uint8; convert it", "clew convert {raw} OUT.zarr --dtype uint8"
            )
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
        findings.append(
            Finding(
                False,
                f"low contrast: 98 % of raw lie in {low}–{high}; stretch it",
                f"clew convert {{raw}} OUT.zarr --dtype uint8 --range {low},{max(high, low + 1)}",
            )
        )
    for level, name in ((0, "black"), (255, "white")):
        share = histogram[level] / raw.size
        if share > 0.05:
            findings.append(Finding(False, f"{share:.0%} of raw are {name} ({level}): padding, or a bad conversion; mask "
                                           "padding out"))  # fmt: skip
    return raw, findings + check_raw_sections(raw) + check_order(raw)


def check_raw_sections(raw: NDArray[np.uint8]) -> list[Finding]:
    """Find sections with little contrast or none, and those equal to the one before."""
    deviation = np.array([section.std(dtype=np.float32) for section in raw])
    usual = float(np.median(deviation))
    same = [z for z in range(1, len(raw)) if np.array_equal(raw[z], raw[z - 1])]
    blank = np.flatnonzero(deviation < 0.1 * usual)
    faint = np.flatnonzero((deviation >= 0.1 * usual) & (deviation < 0.5 * usual))
    doubled = np.setdiff1d(same, blank)
    extreme = np.array([np.mean((section == 0) | (section == 255)) for section in raw])
    saturated = (
        np.setdiff1d(np.flatnonzero(extreme > SATURATED), blank) if np.median(extreme) < SATURATED / 3 else blank[:0]
    )
    rows = (
        (blank, "sections without an image", "mask them out, or keep them for the network to learn"),
        (faint, "sections of less than half the usual contrast", "keep them, and let augmentation make more"),
        (saturated, "saturated sections, black or white for the most part", "mask them out, or convert them anew"),
        (doubled, "sections equal to the one before", "a missing section was filled in; mask its labels out"),
    )
    return [Finding(False, f"{what}: z {ranges(where)}; {advice}") for where, what, advice in rows if where.size]


def check_order(raw: NDArray[np.uint8]) -> list[Finding]:
    """Find sections that do not follow each other as tissue does.

    Neighbouring sections are more alike than those two apart. Where the next but one is clearly more alike, sections were
    exchanged; where the next is much less alike than usual, some are missing.
    """
    first, second = (_differing(raw, step) for step in (1, 2))
    usual = np.nanmedian(first) if len(first) > 6 else np.nan
    if not usual < STRANGE:
        return []
    exchanged = [z for z in range(1, len(raw) - 2)
                 if max(second[z - 1], second[z]) < NEARER * min(first[z - 1], first[z + 1])]  # fmt: skip
    alone = [z for z in range(1, len(raw) - 1) if second[z - 1] < NEARER * min(first[z - 1], first[z])]
    alone = [z for z in alone if not any(abs(z - other) <= 2 for other in exchanged)]
    odd = (*exchanged, *alone)
    jumps = [int(z) for z in np.flatnonzero(first > JUMP * usual) if not any(abs(z - other) <= 2 for other in odd)]
    findings = []
    if exchanged or len(alone) > FEW:
        findings.append(Finding(True, f"sections out of order near z {ranges(sorted(set(odd)))}, where those two apart are more "
                                      "alike than neighbours; number their files with as many digits each, and convert them "
                                      "anew"))  # fmt: skip
    elif alone:
        findings.append(
            Finding(False, f"sections that do not fit between their neighbours: z {ranges(alone)}; look at them")
        )
    if 0 < len(jumps) <= FEW:
        findings.append(Finding(True, f"the picture jumps after z {ranges(jumps)}: sections are missing or shifted; leave room "
                                      "for those that were lost: clew convert --by-number"))  # fmt: skip
    return findings


def _differing(raw: NDArray[np.uint8], step: int) -> NDArray[np.float64]:
    """1 − correlation of each section with the one `step` after it.

    NaN where one of them has no picture. Squares of 4 pixels are averaged, against noise.
    """
    small = ndimage.uniform_filter(raw.astype(np.float32), (0, 4, 4))[:, 2::4, 2::4].reshape(len(raw), -1)
    small -= small.mean(axis=1, keepdims=True)
    norm = np.sqrt((small**2).sum(axis=1))
    seen = norm > 0.1 * np.median(norm)
    fits = (small[:-step] * small[step:]).sum(axis=1) / np.maximum(norm[:-step] * norm[step:], 1e-9)
    return np.where(seen[:-step] & seen[step:], 1 - fits, np.nan)


def _check_numbers(raw: NDArray[Any]) -> list[Finding]:
    """Find NaN and infinite values."""
    bad = ~np.isfinite(raw)
    if not bad.any():
        return []
    first = tuple(map(int, np.unravel_index(int(np.argmax(bad)), bad.shape)))
    return [Finding(True, f"{np.count_nonzero(bad):,} voxels of raw are NaN or infinite ({bad.mean():.1%}, the first at voxel "
                          f"{first} of what is read); mask them out, after",
                    "clew convert {raw} OUT.zarr --dtype uint8 --fill 0")]  # fmt: skip


def _as_bytes(raw: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = percentiles([raw], BLACK, WHITE) or (0.0, 1.0)
    return Scaling((low, max(high, low + 1e-12)), low, "raw")(raw)
