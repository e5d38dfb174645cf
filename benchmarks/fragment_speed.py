"""Fragments: affinity watershed, seeded forest in 3D and per section, seeded flood, and what scipy takes for a part."""

import numpy as np
from scipy.ndimage import distance_transform_edt, maximum_filter

from benchmarks.measure import Row, Table, thread_seconds
from benchmarks.workload import Workload
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import FragmentOptions
from clew.segmentation.seeds import find_seeds

WATERSHED = FragmentOptions(method="affinity-watershed", low=0.1)
FOREST = FragmentOptions()
SECTIONS = FragmentOptions(per_section=True)
FLOOD = FragmentOptions(method="seeded-flood")


def measure(work: Workload, repeats: int) -> list[Table]:
    """One table; nanoseconds of CPU per voxel, one thread."""
    everywhere = np.empty((0, 0, 0), np.uint8)
    floats, levels = work.affinities, work.levels
    jobs = {
        "affinity watershed, uint8": lambda: extract_fragments(levels, options=WATERSHED),
        "affinity watershed, float32": lambda: extract_fragments(floats, options=WATERSHED),
        "seeded forest, 3D, uint8": lambda: extract_fragments(levels, options=FOREST),
        "seeded forest, 3D, float32": lambda: extract_fragments(floats, options=FOREST),
        "seeded forest, per section, uint8": lambda: extract_fragments(levels, options=SECTIONS),
        "seeded flood, 3D, uint8": lambda: extract_fragments(levels, options=FLOOD),
        "of which distance transform and seeds, 3D": lambda: find_seeds(levels, everywhere, FOREST),
        "of which distance transform and seeds, per section": lambda: find_seeds(levels, everywhere, SECTIONS),
        "scipy: distance transform and window maximum, 3D": lambda: _seeds_by_scipy(levels),
    }
    targets = {
        "affinity watershed, uint8": 12.0,
        "affinity watershed, float32": 12.0,
        "seeded forest, 3D, uint8": 100.0,
        "seeded forest, 3D, float32": 100.0,
        "seeded flood, 3D, uint8": 165.0,
    }
    notes = {
        "affinity watershed, float32": "quantising included",
        "seeded forest, 3D, uint8": "distance transform and seeds included",
        "seeded flood, 3D, uint8": "everything; target: the prototypes",
        "scipy: distance transform and window maximum, 3D": "not capped; for comparison",
    }
    seconds = thread_seconds(jobs, repeats)
    rows = [
        Row(name, 1e9 * spent / work.voxels, "ns/voxel", targets.get(name), notes.get(name, ""))
        for name, spent in seconds.items()
    ]
    rows += [_count(name, work, options) for name, options in (("affinity watershed", WATERSHED), ("forest", FOREST))]
    return [Table("Fragments", rows)]


def _seeds_by_scipy(levels: np.ndarray) -> np.ndarray:
    depth = distance_transform_edt(levels.mean(axis=0, dtype=np.float32) > 127.5)
    return maximum_filter(depth, FOREST.seed_window) == depth


def _count(name: str, work: Workload, options: FragmentOptions) -> Row:
    fragments = extract_fragments(work.levels, options=options)
    return Row(f"number of fragments, {name}", float(len(np.unique(fragments)) - 1), "")
