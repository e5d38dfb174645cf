"""Jobs in processes of their own, for peak memory: `python -m benchmarks.child JOB FOLDER` prints one line of JSON."""

import contextlib
import ctypes
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.fragment_speed import FLOOD, FOREST, SECTIONS, WATERSHED
from benchmarks.graph_speed import MEAN, QUANTILE
from benchmarks.measure import peak_bytes
from clew.segmentation.affinities import quantise
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.segmentation.region_graph import build_region_graph


class Spent(NamedTuple):
    """Peak memory beyond the inputs in bytes, and how many edges or segmentations the job made."""

    peak: int
    count: int


Run = Callable[[], int]
Prepare = Callable[[np.ndarray], Run]
"""Puts everything that a job needs in memory; what it returns is measured."""


def measure_child(job: str, files: Path) -> Spent:
    """Run one of `JOBS` on the affinities in the folder, in a new process."""
    command = [sys.executable, "-m", "benchmarks.child", job, str(files)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Spent(**json.loads(done.stdout.splitlines()[-1]))


def _fragments(options: FragmentOptions) -> Prepare:
    def prepare(affinities: np.ndarray) -> Run:
        levels = quantise(affinities)
        return lambda: extract_fragments(levels, options=options).size

    return prepare


def _graph(affinities: np.ndarray) -> Run:
    levels = quantise(affinities)
    fragments = extract_fragments(levels, options=WATERSHED)
    return lambda: len(build_region_graph(levels, fragments).edges)


def _agglomeration(options: AgglomerationOptions) -> Prepare:
    def prepare(affinities: np.ndarray) -> Run:
        levels = quantise(affinities)
        graph = build_region_graph(levels, extract_fragments(levels, options=WATERSHED))

        def run() -> int:
            agglomerate(graph, options=options)
            return len(graph.edges)

        return run

    return prepare


def _malis(affinities: np.ndarray) -> Run:
    from clew.training.malis import malis_weights

    edge = min(160, affinities.shape[1])
    inner = np.ascontiguousarray(affinities[:, :edge, :edge, :edge])
    objects = np.arange(edge**3, dtype=np.uint64).reshape(inner.shape[1:]) // np.uint64(edge) // np.uint64(8) + 1
    return lambda: malis_weights(inner, objects)[0].size // 3


def _chain(name: str) -> Prepare:
    def prepare(affinities: np.ndarray) -> Run:
        from benchmarks.peers import CHAINS, count_segmentations  # which measures children itself

        return lambda: count_segmentations(CHAINS[name](affinities))

    return prepare


JOBS: dict[str, Prepare] = {
    "affinity watershed": _fragments(WATERSHED),
    "seeded forest, 3D": _fragments(FOREST),
    "seeded forest, per section": _fragments(SECTIONS),
    "seeded flood": _fragments(FLOOD),
    "region graph": _graph,
    "agglomeration, mean": _agglomeration(MEAN),
    "agglomeration, hist_quant_75": _agglomeration(QUANTILE),
    "MALIS": _malis,
    **{f"chain {name}": _chain(name) for name in ("clew mean", "clew quantile", "waterz mean", "waterz quantile")},
}


def _run(job: str, files: Path) -> Spent:
    """Warm up on a corner, load, then measure how far the peak rises.

    Freed memory is given back before the run (glibc), so that it is not used again unseen.
    """
    affinities = np.load(files / "affinities.npy", mmap_mode="r")
    edge = min(24, affinities.shape[1])
    JOBS[job](np.ascontiguousarray(affinities[:, :edge, :edge, :edge]))()
    run = JOBS[job](np.array(affinities))
    before = _settled_bytes()
    count = run()
    return Spent(max(0, peak_bytes() - before), count)


def _settled_bytes() -> int:
    """Resident bytes now, with the recorded peak set back to it where the system allows; else the peak so far."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def main(arguments: Iterable[str] = tuple(sys.argv[1:])) -> None:
    """Print the figures of one job."""
    job, files = arguments
    values: dict[str, Any] = _run(job, Path(files))._asdict()
    print(json.dumps(values))


if __name__ == "__main__":
    main()
