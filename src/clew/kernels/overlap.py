"""Overlap of two label volumes: how many voxels carry each pair of ids.

Runs of equal pairs along x are counted before they are looked up in an open-addressed table. The table never grows
here: a kernel that finds it half full says how far it came, the caller makes it larger and goes on.
"""

import numpy as np

from clew.kernels._jit import inline, kernel

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_FACTORS = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F], np.uint64)


@inline
def _slot(segments, truths, counts, segment, truth):
    """Slot of a pair of ids in the table, or the free one where it belongs; its size is a power of two."""
    mask = np.uint64(counts.shape[0] - 1)
    mixed = ((segment & _LOW) * _FACTORS[0]) ^ ((segment >> _HALF) * _FACTORS[1])
    mixed ^= ((truth & _LOW) * _FACTORS[2]) ^ ((truth >> _HALF) * _FACTORS[3])
    slot = (mixed ^ (mixed >> _HALF)) & mask
    while counts[slot] != 0 and (segments[slot] != segment or truths[slot] != truth):
        slot = (slot + _ONE) & mask
    return slot


@inline
def _add(segments, truths, counts, segment, truth, number):
    """Add voxels to a pair; returns 1 if the pair is new."""
    slot = _slot(segments, truths, counts, segment, truth)
    new = counts[slot] == 0
    if new:
        segments[slot] = segment
        truths[slot] = truth
    counts[slot] += number
    return np.int64(new)


@kernel
def count_overlap(segmentation, truth, position, filled, segments, truths, counts):
    """Count pairs of ids from voxel `position` on, leaving out voxels of truth 0.

    segmentation and truth (voxels,) uint64; the table: segments and truths uint64, counts int64, 0 = free slot. Returns
    (position, filled): where it stopped, and the slots in use. The table is half full if position < voxels.
    """
    voxels = np.int64(truth.shape[0])
    room = np.int64(counts.shape[0] // 2)
    while position < voxels and filled < room:
        segment, object_ = segmentation[position], truth[position]
        end = position + 1
        while end < voxels and segmentation[end] == segment and truth[end] == object_:
            end += 1
        if object_ != 0:
            filled += _add(segments, truths, counts, segment, object_, end - position)
        position = end
    return position, filled


@kernel
def add_entries(new_segments, new_truths, new_counts, segments, truths, counts):
    """Add the used slots of one table to another that has room for them."""
    for i in range(new_counts.shape[0]):
        if new_counts[i] != 0:
            _add(segments, truths, counts, new_segments[i], new_truths[i], new_counts[i])


@kernel
def measure_pairs(segmentation, truth, first_section, segments, truths, counts, found):
    """Extent of the voxels of a few pairs of ids.

    segmentation and truth (z, y, x) uint64, the sections from `first_section` on; the table's counts hold 1 + the
    number of each pair wanted. found (pairs, 10) int64: voxels, sum of z, y, x, smallest z, y, x, largest z, y, x; set
    by the caller to 0, 0, large and -1.
    """
    depth, height, width = truth.shape
    for z in range(depth):
        for y in range(height):
            segment_row, truth_row = segmentation[z, y], truth[z, y]
            start = 0
            while start < width:
                segment, object_ = segment_row[start], truth_row[start]
                end = start + 1
                while end < width and segment_row[end] == segment and truth_row[end] == object_:
                    end += 1
                slot = _slot(segments, truths, counts, segment, object_)
                if counts[slot] != 0:
                    row, number, section = found[counts[slot] - 1], end - start, z + first_section
                    row[0] += number
                    row[1] += number * section
                    row[2] += number * y
                    row[3] += number * (start + end - 1) // 2
                    row[4], row[7] = min(row[4], section), max(row[7], section)
                    row[5], row[8] = min(row[5], y), max(row[8], y)
                    row[6], row[9] = min(row[6], start), max(row[9], end - 1)
                start = end
