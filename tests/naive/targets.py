"""Slow, obvious twins of training targets."""

import numpy as np


def affinity_targets(labels, offsets, mask=None):
    mask = np.ones(labels.shape, bool) if mask is None else mask
    targets = np.zeros((len(offsets), *labels.shape), bool)
    valid = np.zeros_like(targets)
    for channel, offset in enumerate(offsets):
        for voxel in np.ndindex(labels.shape):
            other = tuple(v + o for v, o in zip(voxel, offset, strict=True))
            if all(0 <= o < n for o, n in zip(other, labels.shape, strict=True)) and mask[voxel] and mask[other]:
                valid[(channel, *voxel)] = True
                targets[(channel, *voxel)] = labels[voxel] == labels[other] != 0
    return targets, valid


def neighbours(voxel, shape, per_section=False):
    """Voxels that share a face, inside the volume."""
    for axis in (1, 2) if per_section else (0, 1, 2):
        for step in (-1, 1):
            other = list(voxel)
            other[axis] += step
            if 0 <= other[axis] < shape[axis]:
                yield tuple(other)


def grow_boundaries(labels, steps, per_section=False, mask=None):
    mask = np.ones(labels.shape, bool) if mask is None else mask
    labels = labels.copy()
    for _ in range(steps):
        before = labels.copy()
        for voxel in np.ndindex(labels.shape):
            around = neighbours(voxel, labels.shape, per_section)
            if mask[voxel] and any(mask[other] and before[other] != before[voxel] for other in around):
                labels[voxel] = 0
    return labels


def split_components(labels):
    result = np.zeros(labels.shape, np.uint64)
    number = 0
    for seed in np.ndindex(labels.shape):
        if labels[seed] == 0 or result[seed] != 0:
            continue
        number += 1
        stack = [seed]
        result[seed] = number
        while stack:
            voxel = stack.pop()
            for other in neighbours(voxel, labels.shape):
                if labels[other] == labels[seed] and result[other] == 0:
                    result[other] = number
                    stack.append(other)
    return result
