"""Peak memory of each stage beyond its inputs, in processes of their own."""

from benchmarks.child import measure_child
from benchmarks.measure import Row, Table
from benchmarks.workload import Workload

TARGETS = {
    "affinity watershed": ("bytes/voxel", 8.0, "the result is 8 of it; the prototypes' 32-bit one: 7 in all"),
    "seeded forest, 3D": ("bytes/voxel", 12.0, "target: the prototypes' seeded flood"),
    "seeded forest, per section": ("bytes/voxel", None, ""),
    "seeded flood": ("bytes/voxel", 12.0, "target: the prototypes"),
    "region graph": ("bytes/voxel", 4.2, "target: the prototypes, at 0.41 links/voxel"),
    "agglomeration, mean": ("bytes/edge", 86.0, "target: the prototypes"),
    "agglomeration, hist_quant_75": ("bytes/edge", 168.0, "target: the prototypes"),
    "MALIS": ("bytes/voxel", 83.0, "weights of a crop of 160³; target: the prototypes"),
}


def measure(work: Workload, repeats: int) -> list[Table]:
    """One table; memory does not vary, so each job runs once whatever `repeats` is."""
    rows = []
    for job, (unit, target, note) in TARGETS.items():
        spent = measure_child(job, work.files)
        count = spent.count if unit == "bytes/edge" or job == "MALIS" else work.voxels
        rows.append(Row(job, spent.peak / max(count, 1), unit, target, note))
    return [Table("Peak memory beyond the inputs", rows)]
