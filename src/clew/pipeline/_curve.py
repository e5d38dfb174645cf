"""Scores of a segmentation at one threshold or many: table, JSON and plot."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable, relabel_table
from clew.evaluation.scores import Scores, best_threshold, score_table, score_thresholds
from clew.evaluation.spread import check_spread, voi_intervals
from clew.pipeline._declare import Record
from clew.pipeline._files import write_scores
from clew.pipeline._options import Comparison
from clew.pipeline._progress import say
from clew.pipeline._tables import load_merge_tree
from clew.segmentation.relabel import segment_lookup
from clew.view.figures import threshold_figure

Curve = list[tuple[float, Scores]]


def score_overlap(table: OverlapTable, comparison: Comparison) -> Curve:
    """Scores of a segmentation, or of many thresholds.

    Of thresholds if the segments of the table are those of a merge tree.
    """
    if comparison.merge_tree is None:
        return [(float("nan"), score_table(table))]
    tree, _ = load_merge_tree(comparison.merge_tree)
    strange = table.segments[(table.segments != 0) & ~np.isin(table.segments, tree.fragments)]
    if len(strange):
        raise InputError(
            f"{comparison.merge_tree} is a merge tree of other fragments: {strange[0]} is not in it. Give the fragments it was "
            "made of (fragments.zarr beside it), not a segmentation"
        )
    steps = _steps(comparison)
    scores = score_thresholds(table, tree.fragments, (segment_lookup(tree, threshold) for threshold in steps))
    return list(zip(steps, scores, strict=True))


class Measured(NamedTuple):
    """Scores, and the intervals of their VOI sums over true objects.

    None where the objects are too few.
    """

    curve: Curve
    intervals: NDArray[np.float64] | None


def measure(table: OverlapTable, comparison: Comparison) -> Measured:
    """Score a segmentation, or many thresholds, and say it as a table.

    Each score comes with its spread over true objects.
    """
    curve = score_overlap(table, comparison)
    try:
        measured = Measured(curve, voi_intervals(_cut_tables(table, comparison)))
    except InputError as few:
        measured = Measured(curve, None)
        say(f"no interval of VOI: {few}")
    say_scores(measured)
    return measured


def _steps(comparison: Comparison) -> list[float]:
    return [float(threshold) for threshold in np.linspace(0, 1, comparison.thresholds)]


def _cut_tables(table: OverlapTable, comparison: Comparison) -> Iterator[OverlapTable]:
    """The table, or that of each threshold."""
    check_spread(len(np.unique(table.truths)), "true objects")
    if comparison.merge_tree is None:
        yield table
        return
    tree, _ = load_merge_tree(comparison.merge_tree)
    for threshold in _steps(comparison):
        yield relabel_table(table, tree.fragments, segment_lookup(tree, threshold))


def cut_at_best(tables: Sequence[OverlapTable], curve: Curve, comparison: Comparison) -> list[OverlapTable]:
    """Tables of fragments as those of the segments at the best threshold."""
    if comparison.merge_tree is None:
        return list(tables)
    tree, _ = load_merge_tree(comparison.merge_tree)
    lookup = segment_lookup(tree, best_of(curve)[0])
    return [relabel_table(table, tree.fragments, lookup) for table in tables]


def best_of(curve: Curve) -> tuple[float, Scores]:
    """The threshold with the smallest VOI, and its scores."""
    return best_threshold([threshold for threshold, _ in curve], [scores for _, scores in curve])


def curve_figure(curve: Curve, intervals: NDArray[np.float64] | None, used: float | None, title: str = "") -> Any:
    """VOI split, merge and sum over the threshold, and the one that was used."""
    thresholds = [threshold for threshold, _ in curve]
    splits, merges = ([getattr(scores, name) for _, scores in curve] for name in ("voi_split", "voi_merge"))
    return threshold_figure(thresholds, splits, merges, chosen=used, intervals=intervals, title=title)


def save_scores(
    whole: Measured,
    path: Path,
    record: Record,
    topology: Measured | None = None,
    edges: Any = None,
    calibres: Any = None,
    after_verdicts: Any = None,
) -> None:
    """Write scores as JSON, with what they were made from.

    An existing file is replaced.
    """
    further = {
        "topology": None if topology is None else _rows(topology), "edges": edges, "calibres": calibres,
        "after_verdicts": after_verdicts,
    }  # fmt: skip
    write_scores(_rows(whole), path, record, {name: made for name, made in further.items() if made is not None})


def _rows(measured: Measured) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"threshold": None if math.isnan(threshold) else threshold, **dataclasses.asdict(scores)}
        for threshold, scores in measured.curve
    ]
    if measured.intervals is not None:
        for row, (low, high) in zip(rows, measured.intervals, strict=True):
            row |= {"voi_sum_low": float(low), "voi_sum_high": float(high)}
    return rows


def say_scores(measured: Measured) -> None:
    """Scores as a table."""
    curve, intervals = measured
    spread = "" if intervals is None else "  VOI sum, 95 % of objects"
    say("threshold  VOI split  VOI merge    VOI sum  adapted Rand  CREMI score" + spread)
    best = best_of(curve)[0] if len(curve) > 1 else None
    for index, (threshold, scores) in enumerate(curve):
        values = " ".join(f"{value:10.4f}" for value in dataclasses.astuple(scores))
        ends = "" if intervals is None else "  {:10.4f} to {:.4f}".format(*intervals[index])
        say(f"{threshold:9.3f} {values}{ends}" + ("  <- best" if threshold == best else ""))
