"""Jobs in processes of their own, for peak memory: `python -m benchmarks.child JOB FOLDER` prints one line of JSON."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import peak_bytes


class Spent(NamedTuple):
    """Peak memory beyond the inputs in bytes, and how many edges or segmentations the job made."""

    peak: int
    count: int


class Prepared(NamedTuple):
    """A job that is ready to run: everything it needs is in memory."""

    run: Callable[[], int]


def measure_child(job: str, files: Path) -> Spent:
    """Run one of `JOBS` on the affinities in the folder, in a new process."""
    command = [sys.executable, "-m", "benchmarks.child", job, str(files)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Spent(**json.loads(done.stdout.splitlines()[-1]))


def _fragments(method: str, per_section: bool = False) -> Callable[[np.ndarray], Prepared]:
    def prepare(affinities: np.ndarray) -> Prepared:
        from clew.segmentation.affinities import quantise
        from clew.segmentation.fragment_options import FragmentOptions
        from clew.segmentation.fragments import extract_fragments

        low = 0.1 if method == "affinity-watershed" else FragmentOptions().low
        options = FragmentOptions(method=method, per_section=per_section, low=low)
        levels = quantise(affinities)
        return Prepared(lambda: extract_fragments(levels, options=options).size)

    return prepare


def _graph(affinities: np.ndarray) -> Prepared:
    from benchmarks.fragment_speed import WATERSHED
    from clew.segmentation.affinities import quantise
    from clew.segmentation.fragments import extract_fragments
    from clew.segmentation.region_graph import build_region_graph

    levels = quantise(affinities)
    fragments = extract_fragments(levels, options=WATERSHED)
    return Prepared(lambda: len(build_region_graph(levels, fragments).edges))


def _agglomeration(score: str) -> Callable[[np.ndarray], Prepared]:
    def prepare(affinities: np.ndarray) -> Prepared:
        from benchmarks.fragment_speed import WATERSHED
        from clew.segmentation.affinities import quantise
        from clew.segmentation.agglomeration import agglomerate
        from clew.segmentation.agglomeration_options import AgglomerationOptions
        from clew.segmentation.fragments import extract_fragments
        from clew.segmentation.region_graph import build_region_graph

        levels = quantise(affinities)
        graph = build_region_graph(levels, extract_fragments(levels, options=WATERSHED))

        def run() -> int:
            agglomerate(graph, options=AgglomerationOptions(score=score))
            return len(graph.edges)

        return Prepared(run)

    return prepare


def _malis(affinities: np.ndarray) -> Prepared:
    from clew.training.malis import malis_weights

    edge = min(160, affinities.shape[1])
    inner = np.ascontiguousarray(affinities[:, :edge, :edge, :edge])
    objects = np.arange(edge**3, dtype=np.uint64).reshape(inner.shape[1:]) // np.uint64(edge) // np.uint64(8) + 1
    return Prepared(lambda: malis_weights(inner, objects)[0].size // 3)


def _chain(name: str) -> Callable[[np.ndarray], Prepared]:
    def prepare(affinities: np.ndarray) -> Prepared:
        from benchmarks.peers import CHAINS, count_segmentations

        return Prepared(lambda: count_segmentations(CHAINS[name](affinities)))

    return prepare


JOBS: dict[str, Callable[[np.ndarray], Prepared]] = {
    "affinity watershed": _fragments("affinity-watershed"),
    "seeded forest, 3D": _fragments("seeded-forest"),
    "seeded forest, per section": _fragments("seeded-forest", per_section=True),
    "seeded flood": _fragments("seeded-flood"),
    "region graph": _graph,
    "agglomeration, mean": _agglomeration("mean"),
    "agglomeration, hist_quant_75": _agglomeration("hist_quant_75"),
    "MALIS": _malis,
    **{f"chain {name}": _chain(name) for name in ("clew mean", "clew quantile", "waterz mean", "waterz quantile")},
}


def _run(job: str, files: Path) -> Spent:
    """Warm up on a corner, load, then measure how far the peak rises.

    Freed memory is given back before the run (glibc), so that it is not used again unseen.
    """
    affinities = np.load(files / "affinities.npy", mmap_mode="r")
    edge = min(24, affinities.shape[1])
    JOBS[job](np.ascontiguousarray(affinities[:, :edge, :edge, :edge])).run()
    prepared = JOBS[job](np.array(affinities))
    before = _settled_bytes()
    count = prepared.run()
    return Spent(max(0, peak_bytes() - before), count)


def _settled_bytes() -> int:
    """Resident bytes now, with the recorded peak set back to it where the system allows; else the peak so far."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    return peak_bytes()


def main(arguments: Iterable[str] = tuple(sys.argv[1:])) -> None:
    """Print the figures of one job."""
    job, files = arguments
    values: dict[str, Any] = _run(job, Path(files))._asdict()
    print(json.dumps(values))


if __name__ == "__main__":
    main()
