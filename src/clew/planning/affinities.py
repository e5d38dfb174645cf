"""Do channels of affinities belong to their offsets, and does high mean the same?

Labels tell: each channel is compared with the affinities that follow from labels, for the offsets to all six neighbours.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.planning.annotation import Finding, Labels, Mask
from clew.planning.registration import darkness
from clew.space import NEAREST_OFFSETS, Box, Triple, triple
from clew.training.targets import affinity_targets, grow_boundaries

STEPS: tuple[Triple, ...] = (*NEAREST_OFFSETS, *(triple(-step for step in offset) for offset in NEAREST_OFFSETS))
BOUNDARIES = (0, 1, 2)
"""Voxels by which labels are eroded before they are compared: networks are trained with such boundaries."""
EDGE = 128
"""Voxels along each axis of the middle that is compared."""
CLEARLY = 1.03
"""How much better than those of its own offset the pairs of another one must fit."""
WEAKEST = 0.03
"""A smaller correlation says nothing."""
INVERT = "clew convert {affinities} OUT.zarr --dtype uint8 --range {one},0"


def check_channels(affinities: NDArray[Any], labels: Labels, mask: Mask) -> list[Finding]:
    """Find channels of affinities that belong to other pairs than they should.

    They should belong to a voxel and its nearest neighbour before it along z, y and x.

    Parameters
    ----------
    affinities : (3, z, y, x) numbers
    labels : (z, y, x) uint64
        0 where there is no neuron.
    mask : (z, y, x) bool
        True where somebody annotated.

    Returns
    -------
    list of Finding
    """
    box = Box.whole(labels.shape).middle([min(size, EDGE) for size in labels.shape])
    fits = _fits(affinities[(slice(None), *box)].astype(np.float32), labels[box], mask[box])
    if fits is None:
        return []
    own = fits[range(3), range(3)]
    if own.max() < -WEAKEST:
        return [Finding(True, f"affinities are high at borders of labels (correlation with the right ones {own.mean():.2f}): "
                              "high must mean the same object", INVERT)]  # fmt: skip
    found = []
    for channel, (offset, row) in enumerate(zip(NEAREST_OFFSETS, fits, strict=True)):
        best = int(np.argmax(row))
        if row[best] > max(WEAKEST, CLEARLY * row[channel]):
            found.append(
                f"channel {channel}, of {offset}, fits {STEPS[best]} ({row[best]:.2f} against {row[channel]:.2f})"
            )
    if found:
        return [Finding(True, f"affinities fit the labels with other offsets (z, y, x) than theirs: {'; '.join(found)}; write the "
                              "channels in the order z, y, x, each of the pair with the voxel before, as on the page Convert "
                              "of the documentation")]  # fmt: skip
    if own.max() < WEAKEST:
        return [
            Finding(
                False, f"affinities do not follow the labels (correlation {own.mean():.2f}): do they belong together?"
            )
        ]
    return []


def check_polarity(affinities: NDArray[Any], raw: NDArray[np.uint8]) -> list[Finding]:
    """Find affinities (3, z, y, x) that are high at dark lines of raw (z, y, x)."""
    fit = _correlation(-affinities.mean(axis=0, dtype=np.float32), darkness(raw))
    if fit < -WEAKEST:
        return [Finding(True, f"affinities are higher at dark lines of raw than elsewhere (correlation {-fit:.2f}): high must "
                              "mean the same object, or raw is inverted", INVERT)]  # fmt: skip
    if fit < WEAKEST:
        text = f"affinities do not follow dark lines of raw (correlation {-fit:.2f}): do they belong together?"
        return [Finding(False, text)]
    return []


def scaled(affinities: NDArray[Any]) -> NDArray[np.float32]:
    """Affinities as float32 in 0 to 1; NaN becomes 0."""
    one = 255 if np.dtype(affinities.dtype) == np.uint8 else 1
    return np.nan_to_num(affinities.astype(np.float32) / np.float32(one))


def _fits(affinities: NDArray[np.float32], labels: Labels, mask: Mask) -> NDArray[np.float64] | None:
    """Correlation of each channel with the right affinities of each step.

    None where the labels have no borders. Of several boundaries it is that of the largest size.
    """
    fits = np.zeros((len(BOUNDARIES), 3, len(STEPS)))
    for number, boundary in enumerate(BOUNDARIES):
        targets, valid = affinity_targets(grow_boundaries(labels, boundary, mask=mask), STEPS, mask)
        seen = valid.all(axis=0)
        right = targets[:, seen].astype(np.float32)
        if not right.size or (right == right[:, :1]).all():
            return None
        fits[number] = [[_correlation(channel[seen], pairs) for pairs in right] for channel in affinities]
    best = np.argmax(np.abs(fits).max(axis=2), axis=0)
    return fits[best, range(3)]


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(np.sqrt((one**2).sum() * (other**2).sum()), 1e-12))
