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


def expected_run_length(segments, skeletons, edges, lengths, minimum_nodes):
    """Run length of all skeletons, edge by edge; a segment that holds nodes of two skeletons is left out."""
    nodes = Counter((segment, skeleton) for segment, skeleton in zip(segments, skeletons, strict=True) if segment)
    parts = {pair for pair, count in nodes.items() if count >= minimum_nodes}
    holders = Counter(segment for segment, _ in parts)
    runs = Counter()
    for (first, second), length in zip(edges, lengths, strict=True):
        segment = segments[first]
        if segment and segment == segments[second] and holders[segment] < 2:
            runs[segment, skeletons[first]] += length
    return sum(run**2 for run in runs.values()) / sum(lengths)


def splits_and_merges(segments, skeletons, minimum_nodes):
    """Segments of each skeleton less one, and skeletons of each segment less one."""
    nodes = Counter((segment, skeleton) for segment, skeleton in zip(segments, skeletons, strict=True) if segment)
    parts = [pair for pair, count in nodes.items() if count >= minimum_nodes]
    return tuple(sum(count - 1 for count in Counter(pair[part] for pair in parts).values()) for part in (1, 0))


def away_from_borders(truth, voxel_size, distance):
    """Voxels of the truth that are farther than a distance from every voxel beside one of another neuron.

    And from every voxel of 0 with two neurons in the box around it. No distance is measured across a section without annotation.
    """
    border = []
    for voxel in np.ndindex(truth.shape):
        around = {
            int(truth[other])
            for other in np.ndindex(truth.shape)
            if all(abs(a - b) * size <= distance for a, b, size in zip(voxel, other, voxel_size, strict=True))
            and all(truth[z].any() for z in range(min(voxel[0], other[0]), max(voxel[0], other[0]) + 1))
        }
        if truth[voxel] == 0 and len(around - {0}) > 1:
            border.append(voxel)
        for axis in range(3):
            for step in (-1, 1):
                other = list(voxel)
                other[axis] += step
                if 0 <= other[axis] < truth.shape[axis] and 0 != truth[voxel] != truth[tuple(other)] != 0:
                    border.append(voxel)
    result = truth != 0
    for voxel in np.ndindex(truth.shape):
        for other in border:
            low, high = sorted((voxel[0], other[0]))
            if not all(truth[z].any() for z in range(low, high)):
                continue
            if sum(((a - b) * size) ** 2 for a, b, size in zip(voxel, other, voxel_size, strict=True)) <= distance**2:
                result[voxel] = False
    return result


def depths(labels, voxel_size, known):
    """Distance of each voxel of a neuron to the nearest voxel of a neuron with a known neighbour of another label.

    Infinite where there is none; no distance is measured across a section that nobody annotated.
    """
    result = np.full(labels.shape, -1.0)
    ends = []
    for voxel in np.ndindex(labels.shape):
        for axis in range(3):
            for step in (-1, 1):
                other = list(voxel)
                other[axis] += step
                if 0 <= other[axis] < labels.shape[axis] and known[voxel] and known[tuple(other)]:
                    ends += [voxel] * int(labels[voxel] != labels[tuple(other)])
    for voxel in np.ndindex(labels.shape):
        if labels[voxel] and known[voxel]:
            reached = [other for other in ends if together(voxel, other, known)]
            result[voxel] = min((between(voxel, other, voxel_size) for other in reached), default=np.inf)
    return result


def together(voxel, other, known):
    """Whether all sections from one voxel to another are annotated."""
    low, high = sorted((voxel[0], other[0]))
    return all(known[z].any() for z in range(low, high + 1))


def between(voxel, other, voxel_size):
    """Distance in nm."""
    return sum(((a - b) * size) ** 2 for a, b, size in zip(voxel, other, voxel_size, strict=True)) ** 0.5


def beside(labels, deep, voxel):
    """A voxel and its face neighbours in the same neuron."""
    found = [voxel]
    for axis in range(3):
        for step in (-1, 1):
            other = tuple(at + step * (axis == a) for a, at in enumerate(voxel))
            inside = all(0 <= at < size for at, size in zip(other, labels.shape, strict=True))
            found += [other] * int(inside and labels[other] == labels[voxel] and deep[other] >= 0)
    return found


def calibre_class(labels, voxel_size, bounds, known, deep, voxel):
    """The class of a voxel: of the widest ball of at least a bound that lies in its neuron and holds it or a neighbour."""
    result = int(deep[voxel] >= 0)
    for number, bound in enumerate(bounds, start=2):
        radius = max(bound - min(voxel_size), 0) / 2
        for held in beside(labels, deep, voxel) if result else ():
            for other in np.ndindex(labels.shape):
                wide = deep[other] >= radius and between(held, other, voxel_size) <= radius
                result = number if wide and together(held, other, known) else result
    return result


def calibre(labels, voxel_size, known, deep, voxel):
    """The width of the widest ball around a voxel of its neuron that holds a voxel or a neighbour of it.

    What is annotated of the ball belongs to the neuron.
    """
    widths = [0]
    for held in beside(labels, deep, voxel) if deep[voxel] >= 0 else ():
        for other in np.ndindex(labels.shape):
            near = together(held, other, known) and between(held, other, voxel_size) <= deep[other]
            assert not near or labels[other] == labels[voxel] or not known.all()
            if near and labels[other] == labels[voxel]:
                widths.append(2 * deep[other] + min(voxel_size))
    return max(widths)
