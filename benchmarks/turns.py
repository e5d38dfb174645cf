"""The jobs of `benchmarks.against`, as a process that knows one revision only: a name in, CPU seconds out.

Run by its path, so that nothing but the `clew` on PYTHONPATH is imported; only names of the public interface are used.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import clew

Jobs = dict[str, Callable[[], Any]]


def jobs_on(files: Path) -> Jobs:
    """All jobs on the workload in a folder."""
    levels, labels = np.load(files / "levels.npy"), np.load(files / "labels.npy")
    floats = np.load(files / "affinities.npy")
    jobs: Jobs = {
        "fragments, seeded forest": lambda: clew.extract_fragments(levels),
        "fragments, per section": lambda: clew.extract_fragments(levels, options=_method(per_section=True)),
        "fragments, affinity watershed": lambda: clew.extract_fragments(levels, options=_watershed()),
        "fragments, seeded flood": lambda: clew.extract_fragments(levels, options=_method(method="seeded-flood")),
        "fragments, from float32": lambda: clew.extract_fragments(floats),
        "components of labels": lambda: clew.split_components(labels),
        "erosion of labels": lambda: clew.grow_boundaries(labels, 2),
        "borders, as CREMI": lambda: clew.mask_borders(labels, (10, 10, 10)),
        "MALIS weights of 84³": lambda: clew.malis_weights(*_crop(floats, labels, 84)),
        "MALIS weights of 56³, one pass": lambda: clew.malis_weights(*_crop(floats, labels, 56), passes=1),
        "overlap of labels": lambda: clew.overlap_table(labels, labels),
    }
    for name, options in (("forest", _method()), ("watershed", _watershed())):
        jobs |= _chain(name, levels, labels, clew.extract_fragments(levels, options=options))
    return jobs


def _chain(name: str, levels: np.ndarray, labels: np.ndarray, fragments: np.ndarray) -> Jobs:
    graph = clew.build_region_graph(levels, fragments)
    tree = clew.agglomerate(graph)
    lookup = clew.segment_lookup(tree, 0.5)
    scores = {score: clew.AgglomerationOptions(score=score) for score in ("mean", "hist_quant_75")}
    return {
        f"region graph, {name}": lambda: clew.build_region_graph(levels, fragments),
        f"agglomeration by mean, {name}": lambda: clew.agglomerate(graph, options=scores["mean"]),
        f"agglomeration by 75 % quantile, {name}": lambda: clew.agglomerate(graph, options=scores["hist_quant_75"]),
        f"cut of the tree, {name}": lambda: clew.segment_lookup(tree, 0.5),
        f"relabelling, {name}": lambda: clew.relabel(fragments, tree.fragments, lookup),
        f"overlap, {name}": lambda: clew.overlap_table(fragments, labels),
    }


def _method(**options: Any) -> Any:
    return clew.FragmentOptions(**options)


def _watershed() -> Any:
    return _method(method="affinity-watershed", low=0.1)


def _crop(affinities: np.ndarray, labels: np.ndarray, edge: int) -> tuple[np.ndarray, np.ndarray]:
    inner = (slice(0, edge),) * 3
    return np.ascontiguousarray(affinities[(slice(None), *inner)]), np.ascontiguousarray(labels[inner])


def main(files: Path) -> None:
    """Answer each line with the CPU seconds of one turn of the job that it names; an empty line ends."""
    jobs = jobs_on(files)
    print(";".join(jobs), flush=True)
    for line in sys.stdin:
        if not line.strip():
            return
        start = time.process_time()
        result = jobs[line.strip()]()
        print(time.process_time() - start, flush=True)
        del result


if __name__ == "__main__":
    main(Path(sys.argv[1]))
