"""Constrained MALIS: weights of both passes for a training crop."""

import numpy as np

from benchmarks.measure import Row, Table, thread_seconds
from benchmarks.workload import Workload
from clew.training.malis import malis_pairs, malis_weights

TARGETS = {56: 66.0, 84: 80.0, 160: 118.0}


def measure(work: Workload, repeats: int) -> list[Table]:
    """CPU time per voxel of crops that fit the workload, one thread."""
    length = work.labels.shape[0]
    rows = []
    for edge in sorted({min(edge, length) for edge in TARGETS}):
        start = (length - edge) // 2
        inner = (slice(start, start + edge),) * 3
        labels = np.ascontiguousarray(work.labels[inner])
        affinities = np.ascontiguousarray(work.affinities[(slice(None), *inner)])
        again = repeats * max(1, 100**3 // edge**3)
        jobs = {
            "weights": lambda a=affinities, t=labels: malis_weights(a, t),
            "pairs": lambda a=affinities, t=labels: malis_pairs(a, t),
        }
        for name, seconds in thread_seconds(jobs, again).items():
            target = TARGETS.get(edge) if name == "weights" else None
            rows.append(Row(f"{name} of a crop of {edge}³", 1e9 * seconds / edge**3, "ns/voxel", target))
    return [Table("Constrained MALIS, both passes", rows)]
