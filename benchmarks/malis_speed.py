"""Constrained MALIS: weights of both passes for a training crop, and how their cost grows with the crop."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Row, Table, thread_seconds
from benchmarks.workload import Workload
from clew.training.malis import malis_pairs, malis_weights
from clew.training.targets import affinity_targets, split_components

TARGETS = {56: 66.0, 84: 80.0, 160: 118.0}
GROWTH = (28, 56, 112, 224)
PAIR_BY_PAIR = (6, 8, 10, 12, 14)
OFFSETS = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))

Affinities = NDArray[np.float32]
Labels = NDArray[np.uint64]


def measure(work: Workload, repeats: int) -> list[Table]:
    """CPU time per voxel of crops that fit the workload, one thread."""
    return [_speed(work, repeats), _growth(work, repeats)]


def _speed(work: Workload, repeats: int) -> Table:
    rows = []
    for edge in _that_fit(tuple(TARGETS), work):
        affinities, labels = _crop(work, edge)
        jobs = {
            "weights": lambda a=affinities, t=labels: malis_weights(a, t),
            "pairs": lambda a=affinities, t=labels: malis_pairs(a, t),
            "weights of one unconstrained pass": lambda a=affinities, t=labels: malis_weights(a, t, passes=1),
        }
        for name, seconds in thread_seconds(jobs, repeats * max(1, 100**3 // edge**3)).items():
            target = TARGETS.get(edge) if name == "weights" else None
            rows.append(Row(f"{name} of a crop of {edge}³", 1e9 * seconds / edge**3, "ns/voxel", target))
    return Table("Constrained MALIS, both passes", rows)


def _growth(work: Workload, repeats: int) -> Table:
    """Beside each figure, what it would be if the cost grew from the smallest crop as n log n, or as n²."""
    ours = _costs(malis_weights, _that_fit(GROWTH, work), work, repeats)
    plain = _costs(weights_pair_by_pair, _that_fit(PAIR_BY_PAIR, work), work, repeats)
    start, first = ours[0]
    rows = []
    for edge, spent in ours:
        expected = first * math.log(edge) / math.log(start)
        rows.append(Row(f"clew, {edge}³", spent, "ns/voxel", note=f"as n log n: {expected:,.0f}"))
    start, first = plain[0]
    for edge, spent in plain:
        expected = first * (edge / start) ** 3
        rows.append(Row(f"pair by pair, plain Python, {edge}³", spent, "ns/voxel", note=f"as n²: {expected:,.0f}"))
    return Table("Constrained MALIS: how the cost of the gradient grows with the crop of n voxels", rows)


def _costs(
    weigh: Callable[[Affinities, Labels], Any], edges: list[int], work: Workload, repeats: int
) -> list[tuple[int, float]]:
    """Edge and ns per voxel of each crop."""
    jobs = {str(edge): partial(weigh, *_crop(work, edge)) for edge in edges}
    seconds = thread_seconds(jobs, repeats)
    return [(edge, 1e9 * seconds[str(edge)] / edge**3) for edge in edges]


def weights_pair_by_pair(affinities: Affinities, labels: Labels) -> tuple[Affinities, Affinities]:
    """`malis_weights` in the obvious way: every pair of voxels is looked at when an edge joins it, n² in all."""
    objects = split_components(labels)
    targets, valid = affinity_targets(objects, OFFSETS)
    positive = np.where(targets, _visit_pairs(np.minimum(affinities, targets), objects, targets, valid, True), 0)
    negative = np.where(targets, 0, _visit_pairs(np.maximum(affinities, targets), objects, targets, valid, False))
    weights, against = ((pairs / max(pairs.sum(), 1)).astype(np.float32) for pairs in (positive, negative))
    return weights, against


def _visit_pairs(
    strengths: Affinities, objects: Labels, targets: NDArray[np.bool_], valid: NDArray[np.bool_], same: bool
) -> NDArray[np.int64]:
    """Pairs of equal or of different object per maximin edge."""
    candidates = np.flatnonzero(valid)
    order = candidates[np.lexsort((~targets.ravel()[candidates], -strengths.ravel()[candidates]))]
    channel, voxel = np.divmod(order, objects.size)
    steps = np.array([objects.shape[1] * objects.shape[2], objects.shape[2], 1])
    label = objects.ravel().tolist()
    members = [[number] for number in range(objects.size)]
    pairs = np.zeros(strengths.size, np.int64)
    for edge, one, other in zip(order.tolist(), voxel.tolist(), (voxel - steps[channel]).tolist(), strict=True):
        here, there = members[one], members[other]
        if here is there:
            continue
        found = 0
        for a in here:
            for b in there:
                found += label[a] != 0 and label[b] != 0 and (label[a] == label[b]) == same
        pairs[edge] = found
        larger, smaller = (here, there) if len(here) > len(there) else (there, here)
        larger += smaller
        for number in smaller:
            members[number] = larger
    return pairs.reshape(strengths.shape)


def _that_fit(edges: tuple[int, ...], work: Workload) -> list[int]:
    return sorted({min(edge, work.labels.shape[0]) for edge in edges})


def _crop(work: Workload, edge: int) -> tuple[Affinities, Labels]:
    """Affinities and labels of the middle of the workload."""
    start = (work.labels.shape[0] - edge) // 2
    inner = (slice(start, start + edge),) * 3
    return np.ascontiguousarray(work.affinities[(slice(None), *inner)]), np.ascontiguousarray(work.labels[inner])
