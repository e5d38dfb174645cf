"""The same affinities through waterz and through clew: watershed, region graph, agglomeration, ten thresholds."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.child import measure_child
from benchmarks.fragment_speed import WATERSHED
from benchmarks.measure import Row, Table, thread_seconds
from benchmarks.workload import Workload
from clew.evaluation.scores import Scores, best_threshold, evaluate
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import build_region_graph
from clew.segmentation.relabel import relabel, segment_lookup
from clew.segmentation.segment import build_merge_tree

THRESHOLDS = tuple(np.linspace(0.1, 0.82, 10).round(2).tolist())
"""Merge while 1 − score is below; neither program needs to go on to merges beyond the last."""
Segmentations = Iterator[np.ndarray]


def clew_chain(score: str) -> Callable[[np.ndarray], Segmentations]:
    """Segmentations at all thresholds, by clew."""

    def chain(affinities: np.ndarray) -> Segmentations:
        options = AgglomerationOptions(score=score, floor=1 - THRESHOLDS[-1])
        fragments, _, tree = build_merge_tree(affinities, fragment_options=WATERSHED, agglomeration_options=options)
        for threshold in THRESHOLDS:
            yield relabel(fragments, tree.fragments, segment_lookup(tree, threshold))

    return chain


def waterz_chain(score: str, bins: int) -> Callable[[np.ndarray], Segmentations]:
    """Segmentations at all thresholds, by waterz; the array is the same each time."""

    def chain(affinities: np.ndarray) -> Segmentations:
        import waterz

        segmentations = waterz.agglomerate(
            affinities,
            THRESHOLDS,
            aff_threshold_low=WATERSHED.low,
            aff_threshold_high=WATERSHED.high,
            scoring_function=score,
            discretize_queue=bins,
        )
        for _ in THRESHOLDS:
            with _silence():
                segmentation = next(segmentations)
            yield segmentation

    return chain


CHAINS = {
    "clew mean": clew_chain("mean"),
    "waterz mean": waterz_chain("OneMinus<MeanAffinity<RegionGraphType,ScoreValue>>", 0),
    "clew quantile": clew_chain("hist_quant_75"),
    "waterz quantile": waterz_chain(
        "OneMinus<HistogramQuantileAffinity<RegionGraphType,75,ScoreValue,256,false>>", 256
    ),
}


def measure(work: Workload, repeats: int) -> list[Table]:
    """Time per voxel, peak memory and VOI of both, and the ratios (waterz / clew)."""
    title = "Beside waterz: affinity watershed, region graph, agglomeration, 10 thresholds"
    missing = _why_missing()
    if missing:
        return [Table(title, [Row("waterz", None, "", None, missing)])]
    jobs = {name: lambda chain=chain: count_segmentations(chain(work.affinities)) for name, chain in CHAINS.items()}
    jobs["waterz watershed + region graph"] = lambda: next(CHAINS["waterz mean"](work.affinities))
    jobs["clew watershed + region graph"] = lambda: build_region_graph(
        work.affinities, extract_fragments(work.affinities, options=WATERSHED)
    )
    seconds = thread_seconds(jobs, repeats)
    rows = [
        *_time_rows("watershed + region graph", seconds, work.voxels, "{program} watershed + region graph"),
        *(row for kind in ("mean", "quantile") for row in _chain_rows(kind, seconds, work)),
    ]
    return [Table(title, rows)]


def count_segmentations(segmentations: Segmentations) -> int:
    """Take all of them, keep none."""
    count = 0
    for segmentation in segmentations:
        del segmentation
        count += 1
    return count


def _chain_rows(kind: str, seconds: dict[str, float], work: Workload) -> list[Row]:
    rows = _time_rows(kind, seconds, work.voxels, "{program} " + kind)
    peaks = {name: measure_child(f"chain {name} {kind}", work.files).peak for name in ("clew", "waterz")}
    for name, peak in peaks.items():
        rows.append(Row(f"{name}, {kind}: peak memory beyond the affinities", peak / work.voxels, "bytes/voxel"))
    rows.append(Row(f"**{kind}: memory, waterz / clew**", peaks["waterz"] / max(peaks["clew"], 1), "×"))
    for name in ("clew", "waterz"):
        threshold, scores = _best(CHAINS[f"{name} {kind}"](work.affinities), work.labels)
        note = f"split {scores.voi_split:.3f}, merge {scores.voi_merge:.3f}, at threshold {threshold:g}"
        rows.append(Row(f"{name}, {kind}: best VOI", scores.voi_sum, "bits", None, note))
    return rows


def _time_rows(kind: str, seconds: dict[str, float], voxels: int, name: str) -> list[Row]:
    clew, waterz = (seconds[name.format(program=program)] for program in ("clew", "waterz"))
    return [
        Row(f"clew, {kind}", 1e9 * clew / voxels, "ns/voxel", 1e9 * waterz / voxels, "target: waterz in this run"),
        Row(f"waterz, {kind}", 1e9 * waterz / voxels, "ns/voxel"),
        Row(f"**{kind}: time, waterz / clew**", waterz / clew, "×"),
    ]


def _best(segmentations: Segmentations, truth: np.ndarray) -> tuple[float, Scores]:
    scores = [evaluate(segmentation, truth) for segmentation in segmentations]
    return best_threshold(THRESHOLDS, scores)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing on standard output, which waterz's C++ writes to directly."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def _why_missing() -> str:
    """Empty where waterz works on a tiny volume."""
    try:
        next(CHAINS["waterz mean"](np.zeros((3, 2, 2, 2), np.float32)))
    except Exception as error:
        return f"waterz cannot be used here: {type(error).__name__}: {error}"
    return ""
