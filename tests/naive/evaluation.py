"""Slow, obvious twins of the evaluation."""

from collections import Counter
from math import log2

import numpy as np
from scipy.ndimage import distance_transform_edt


def overlaps(segmentation, truth):
    """Voxels per (segment, true object) where the truth is not 0."""
    pairs = zip(np.asarray(segmentation).ravel().tolist(), np.asarray(truth).ravel().tolist(), strict=True)
    return Counter(pair for pair in pairs if pair[1] != 0)


def conditional_entropy(joint, given):
    """H(other | pair[given]) in bits, of a Counter of pairs."""
    sizes = Counter()
    for pair, count in joint.items():
        sizes[pair[given]] += count
    total = sum(joint.values())
    return -sum(count / total * log2(count / sizes[pair[given]]) for pair, count in joint.items())


def adapted_rand_error(joint):
    """From precision and recall of pairs of voxels (a voxel pairs with itself)."""
    segments, objects = Counter(), Counter()
    for (segment, truth), count in joint.items():
        segments[segment] += count
        objects[truth] += count
    both = sum(count**2 for count in joint.values())
    precision = both / sum(count**2 for count in segments.values())
    recall = both / sum(count**2 for count in objects.values())
    return 1 - 2 * precision * recall / (precision + recall)


def mask_borders(truth, voxel_size, distance):
    """As the CREMI challenge does, but with pixels of any shape."""
    result = truth.copy()
    for section, cleared in zip(truth, result, strict=True):
        padded = np.pad(section, 1, mode="edge")
        around = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
        inner = np.all([section == other for other in around], axis=0)
        if not inner.all():
            cleared[distance_transform_edt(inner, sampling=voxel_size[1:]) <= distance] = 0
    return result
