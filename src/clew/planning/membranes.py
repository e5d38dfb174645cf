"""Where membranes are in labels.

Neurons touch, or 0 lies between them, or one object does.

Labels are (z, y, x).
"""

import numpy as np
from scipy import ndimage

from clew.evaluation.border import membranes
from clew.planning.annotation import Finding, Labels, face_pairs
from clew.space import Box

MIDDLE = 160
"""Voxels along each axis of the part that is looked at."""
NETWORK = 0.5
"""An object that touches so large a share of the others, nearly alone, and is nowhere thick, is the net of membranes."""
GAP = (3, 5, 5)
"""A voxel of 0 with two neurons within so many voxels (z, y, x) is membrane."""
APART = 0.1
"""Where fewer of the borders are those of neurons that touch, membranes are 0."""


def check_membranes(labels: Labels) -> list[Finding]:
    """Find an object that is the net of membranes around all others."""
    middle = _middle(labels)
    ids, indices = np.unique(middle, return_inverse=True)
    flat = indices.reshape(middle.shape)
    pairs = [np.stack([flat[here].ravel(), flat[there].ravel()]) for here, there in face_pairs()[::2]]
    borders = np.concatenate([each[:, each[0] != each[1]] for each in pairs], axis=1)
    borders = borders[:, (ids[borders] != 0).all(axis=0)]
    touching = np.unique(borders, axis=1)
    neighbours = np.bincount(touching.ravel(), minlength=len(ids))
    net, others = int(np.argmax(neighbours)), np.count_nonzero(ids) - 1
    if others < 4 or neighbours[net] < NETWORK * others or (borders == net).any(axis=0).mean() < 1 - APART:
        return []
    body = flat == net
    thick = np.count_nonzero(ndimage.minimum_filter(body, (5, 9, 9), mode="nearest"))
    if thick > 0.01 * np.count_nonzero(body):
        return []
    return [Finding(True, f"id {ids[net]} touches nearly all of {others:,} other objects and is nowhere thick: are the "
                          "membranes one object? set them to 0")]  # fmt: skip


def check_gaps(labels: Labels) -> list[Finding]:
    """Find neurons that do not touch, since membranes between them are 0."""
    middle = _middle(labels)
    gaps = membranes(middle, GAP)
    touching, beside = 0, 0
    for here, there in face_pairs()[::2]:
        one, other = middle[here], middle[there]
        touching += int(np.count_nonzero((one != other) & (one != 0) & (other != 0)))
        beside += int(np.count_nonzero((gaps[here] & (other != 0)) | (gaps[there] & (one != 0))))
    share = touching / max(touching + beside / 2, 1)  # a gap has two sides
    if not beside or share > APART:
        return []
    return [Finding(False, f"neurons touch at {share:.0%} of their borders: else 0 lies between them. It is learnt as membrane, "
                           "scores leave it out, and evaluate --border takes it for a border; where 0 means "
                           "not annotated, give a mask")]  # fmt: skip


def _middle(labels: Labels) -> Labels:
    return labels[Box.whole(labels.shape).middle([min(size, MIDDLE) for size in labels.shape])]
