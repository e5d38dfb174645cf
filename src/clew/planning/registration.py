"""Do labels lie on their raw? Their borders are compared with its dark lines.

They are compared shifted, flipped and transposed.

Correlations are Pearson's, between 1 at voxels on either side of a border between labels (0 elsewhere) and the darkness of
raw against its surroundings. They are small even where all is well, because mitochondria and vesicles are dark too: a
finding is made only where another place fits clearly better than the present one, and all parts of the volume agree.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from clew.evaluation.border import membranes
from clew.planning.annotation import Finding, Labels, Mask, Statistics, face_pairs
from clew.planning.membranes import GAP
from clew.space import Box, Lengths, Triple, triple

REACH = 8
"""Largest shift that is tried, in voxels along each axis."""
BLOCK = 112
"""Edge of a block within which shifts are tried, in voxels."""
SURROUNDINGS = 15
"""Edge in pixels of the square that darkness is measured against."""
WEAKEST = 0.08
"""A smaller correlation says nothing."""
CLEARLY = 1.3
"""How much better than the present place another one must fit."""
BESIDE = 1.6
"""The same for a place beside it: as a shift by a thick section; one of a thin voxel is a matter of taste (1.1 to 1.2)."""

Volume = NDArray[np.float32]


class Shift(NamedTuple):
    """How labels lie against raw.

    Parameters
    ----------
    shift : (z, y, x) ints
        Voxels by which labels look displaced.
    here : float
        Correlation as the labels lie. Negative: membranes are bright.
    best : float
        Correlation after moving them back.
    agreeing, blocks : int
        So many of so many parts of the volume say the same.
    clear : bool
        Whether the shift is beyond doubt.
    """

    shift: Triple
    here: float
    best: float
    agreeing: int
    blocks: int
    clear: bool


def check_registration(raw: NDArray[np.uint8], labels: Labels, mask: Mask) -> list[Finding]:
    """Find labels that do not lie on raw of the same shape (z, y, x).

    They may be shifted, flipped or transposed; raw with inverted contrast is found, too.
    """
    found = estimate_shift(raw, labels, mask)
    if found is None:
        return []
    if found.clear:
        return [Finding(True, f"labels look shifted by {found.shift} voxels (z, y, x): correlation with dark lines of raw "
                              f"{abs(found.here):.2f} as they are, {abs(found.best):.2f} when moved back, in {found.agreeing} "
                              f"of {found.blocks} parts of the volume; move them",
                        "clew convert {labels} OUT.zarr --offset={offset}", triple(-step for step in found.shift))]  # fmt: skip
    turned = find_orientation(raw, labels, mask, abs(found.best))
    if turned is not None:
        name, fit = turned
        return [Finding(True, f"labels look {name} against raw: correlation with dark lines {abs(found.here):.2f} as they "
                              f"are, {fit:.2f} when turned back; write them anew in the order of raw")]  # fmt: skip
    if found.here < -WEAKEST:
        return [Finding(False, f"membranes are brighter than their surroundings (correlation {found.here:.2f}): raw looks "
                               "inverted; the bundled networks know dark membranes only",
                        "clew convert {raw} OUT.zarr --dtype uint8 --range 255,0")]  # fmt: skip
    if max(abs(found.best), abs(found.here)) < WEAKEST / 2:
        return [Finding(False, f"borders of labels do not follow dark lines of raw (correlation {found.here:.2f}): do they "
                               "belong together?")]  # fmt: skip
    return []


def estimate_shift(raw: NDArray[np.uint8], labels: Labels, mask: Mask) -> Shift | None:
    """Estimate the shift of labels against raw, None where there is too little.

    It is found in blocks all over the annotated part.
    """
    maps = []
    for block in _blocks(mask):
        fit = _correlations(raw, labels, mask, block)
        if fit is not None:
            maps.append(fit)
    if not maps:
        return None
    joint = np.mean(maps, axis=0)
    center = tuple(size // 2 for size in joint.shape)
    peak = _peak(joint)
    near = sum(max(abs(a - b) for a, b in zip(_peak(fit), peak, strict=True)) <= 1 for fit in maps)
    here, best = float(joint[center]), float(joint[peak])
    away = max(abs(p - c) for p, c in zip(peak, center, strict=True))
    needed = max(WEAKEST, (CLEARLY if away > 1 else BESIDE) * abs(here))
    clear = away > 0 and abs(best) > needed and near >= 0.75 * len(maps)
    shift = triple(int(c - p) for p, c in zip(peak, center, strict=True))
    return Shift(shift, here, best, near, len(maps), bool(clear))


def find_orientation(
    raw: NDArray[np.uint8], labels: Labels, mask: Mask, as_is: float, samples: int = 400_000
) -> tuple[str, float] | None:
    """Find flips and a transposition after which labels fit raw clearly better.

    They are given as text, with their correlation.
    """
    central = Box.whole(raw.shape).middle([min(size, 256) for size in raw.shape])
    dark, borders = darkness(raw[central]), label_borders(labels[central])
    inside = mask[central]
    sites = np.random.default_rng(0).integers(0, dark.size, samples)
    where = np.array(np.unravel_index(sites, dark.shape))
    best = ("", 0.0)
    for order in itertools.permutations(range(3)):
        if tuple(dark.shape[axis] for axis in order) != dark.shape:
            continue
        for flips in itertools.product((False, True), repeat=3):
            turned = [size - 1 - where[axis] if flip else where[axis]
                      for axis, flip, size in zip(order, flips, dark.shape, strict=True)]  # fmt: skip
            seen = inside[tuple(turned)]
            fit = _pearson(dark[tuple(where[:, seen])], borders[tuple(t[seen] for t in turned)])
            if fit > best[1]:
                best = (_orientation_name(order, flips), fit)
    return best if best[0] and best[1] > max(WEAKEST, 1.5 * as_is) else None


def check_axes(statistics: Statistics, voxel_size: Lengths) -> list[Finding]:
    """Find voxel sizes that do not fit the labels.

    Neurons have borders as often along z as along x, per nanometre.
    """
    seen, stated = np.array(statistics.edges), np.array(voxel_size)
    if seen.min() <= 0:
        return []
    misfit = {order: _misfit(seen, stated[list(order)]) for order in itertools.permutations(range(3))}
    here, best = misfit[(0, 1, 2)], min(misfit, key=misfit.__getitem__)
    sizes = ", ".join(f"{size:g}" for size in voxel_size)
    borders = ", ".join(f"{share:.3f}" for share in seen)
    if here > math.log(2) and misfit[best] < 0.5 * here:
        better = ", ".join(f"{voxel_size[axis]:g}" for axis in best)
        return [Finding(True, f"voxel size ({sizes}) nm (z, y, x) looks swapped: borders per voxel ({borders}) fit "
                              f"({better}); write it anew with clew convert --voxel-size")]  # fmt: skip
    if here > math.log(2.5):
        return [Finding(False, f"voxel size ({sizes}) nm (z, y, x) hardly fits the labels, which have ({borders}) borders "
                               "per voxel; check it")]  # fmt: skip
    return []


def darkness(raw: NDArray[np.uint8]) -> Volume:
    """How much darker than its surroundings in the section each voxel is.

    The result is (z, y, x) float32.
    """
    values = raw.astype(np.float32)
    return ndimage.uniform_filter(values, (1, SURROUNDINGS, SURROUNDINGS), mode="nearest") - values


def label_borders(labels: Labels) -> Volume:
    """Mark the voxels on both sides of every border between labels.

    (z, y, x) float32: 1 at membranes of 0 between neurons, and at both voxels of other pairs of face neighbours with different
    labels, else 0. Beside a membrane neurons are bright: the edge of 0 is no dark line, its middle is.
    """
    between = membranes(labels, GAP)
    borders = between.astype(np.float32)
    for first, second in face_pairs()[::2]:
        differs = (labels[first] != labels[second]) & ~between[first] & ~between[second]
        borders[first][differs] = 1
        borders[second][differs] = 1
    return borders


def _blocks(mask: Mask) -> list[Box]:
    """Up to eight blocks at the corners of the annotated part.

    They keep away from the faces of the volume by the reach of shifts.
    """
    axes = []
    for axis, size in enumerate(mask.shape):
        filled = np.flatnonzero(mask.any(tuple(other for other in range(3) if other != axis)))
        reach = _reach(size)
        low, high = max(int(filled[0]), reach), min(int(filled[-1]) + 1, size - reach)
        length = min(BLOCK, high - low)
        if length < 4:
            return []
        starts = {low, high - length} if high - low > 1.5 * length else {low + (high - low - length) // 2}
        axes.append([slice(start, start + length) for start in sorted(starts)])
    return list(itertools.starmap(Box, itertools.product(*axes)))


def _reach(size: int) -> int:
    return min(REACH, size // 5)


def _correlations(raw: NDArray[np.uint8], labels: Labels, mask: Mask, block: Box) -> Volume | None:
    """Correlation of label borders with darkness for each shift of raw.

    There are (2·reach + 1) shifts along each axis.
    """
    reach = [_reach(size) for size in raw.shape]
    wide = block.grown(reach, reach)
    seen = mask[block]
    borders = label_borders(labels[block])
    dark = darkness(raw[wide])
    limit = 3 * float(dark.std())
    dark = dark.clip(-limit, limit)
    dark -= dark.mean()
    if seen.mean() < 0.25 or not dark.any() or not borders[seen].any():
        return None
    borders = np.where(seen, borders - borders[seen].mean(), 0)
    norm = np.sqrt((borders**2).sum() * seen.sum()) * dark.std()
    product = fft.rfftn(dark) * np.conj(fft.rfftn(borders.astype(np.float32), dark.shape))
    fit = fft.irfftn(product, dark.shape) / norm
    return fit[Box.whole([2 * size + 1 for size in reach])].astype(np.float32)


def _peak(fit: Volume) -> Triple:
    return triple(map(int, np.unravel_index(int(np.argmax(np.abs(fit))), fit.shape)))


def _pearson(first: Volume, second: Volume) -> float:
    a, b = first - first.mean(), second - second.mean()
    return float((a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), 1e-12))


def _misfit(seen: NDArray[np.float64], stated: NDArray[np.float64]) -> float:
    ratio = np.log(seen / stated)
    return float(ratio.max() - ratio.min())


def _orientation_name(order: tuple[int, ...], flips: tuple[bool, ...]) -> str:
    parts = []
    if order != (0, 1, 2):
        parts.append("transposed to (" + ", ".join("zyx"[axis] for axis in order) + ")")
    if any(flips):
        parts.append("flipped along " + " and ".join(name for name, flip in zip("zyx", flips, strict=True) if flip))
    return " and ".join(parts)
