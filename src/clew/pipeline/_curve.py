"""Scores of a segmentation at one threshold or many: table, JSON and plot."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable, relabel_table
from clew.evaluation.scores import Scores, best_threshold, score_table, score_thresholds
from clew.evaluation.spread import check_spread, voi_intervals
from clew.pipeline._declare import Record
from clew.pipeline._files import FILE_NAMES, SUGGESTED, write_scores
from clew.pipeline._identity import identify
from clew.pipeline._options import Comparison
from clew.pipeline._progress import say
from clew.pipeline._tables import load_merge_tree
from clew.segmentation.relabel import segment_lookup
from clew.view.figures import threshold_figure
from clew.volumes.open import open_volume

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


class Use(NamedTuple):
    """A threshold, and why it matters: `used`, or `stored` with the network."""

    why: str
    threshold: float


def measure(table: OverlapTable, comparison: Comparison) -> Measured:
    """Score a segmentation, or many thresholds, and say the best and the used one.

    Each score comes with its spread over true objects.
    """
    curve = score_overlap(table, comparison)
    try:
        measured = Measured(curve, voi_intervals(_cut_tables(table, comparison)))
    except InputError as few:
        measured = Measured(curve, None)
        say(f"no interval of VOI: {few}")
    say_scores(measured, scores_in_use(table, comparison))
    return measured


def scores_in_use(table: OverlapTable, comparison: Comparison) -> tuple[Use, Scores] | None:
    """The scores at the threshold in use, where there is one."""
    if comparison.merge_tree is None:
        return None
    use = threshold_in_use(comparison.merge_tree)
    if use is None:
        return None
    tree, _ = load_merge_tree(comparison.merge_tree)
    lookup = segment_lookup(tree, use.threshold)
    return use, score_thresholds(table, tree.fragments, [lookup])[0]


def threshold_in_use(merge_tree: str) -> Use | None:
    """The threshold of the segmentation beside a tree, else that of the network."""
    used = used_threshold(merge_tree)
    if used is not None:
        return Use("used", used)
    tree, attributes = load_merge_tree(merge_tree)
    threshold, score = (attributes.get(name) for name in SUGGESTED)
    return Use("stored", float(threshold)) if threshold is not None and score == tree.score else None


def used_threshold(merge_tree: str, segmentation: str | None = None) -> float | None:
    """The threshold at which a segmentation was cut.

    By default it is the one beside the merge tree. None where there is none that was made of this tree.
    """
    with suppress(InputError):
        made = open_volume(segmentation or Path(merge_tree).parent / FILE_NAMES["segmentation"]).attributes
        trees = made.get("inputs", {}).get("merge_tree")
        if made.get("stage") == "relabel" and trees == identify(merge_tree):
            return float(made["threshold"])
        if made.get("stage") == "segment-blocks":
            given = made["parameters"]["threshold"]
            return float(made["suggested_threshold"] if given is None else given)
    return None


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
    path: Path | None,
    record: Record,
    topology: Measured | None = None,
    edges: Any = None,
    calibres: Any = None,
    after_verdicts: Any = None,
) -> None:
    """Write all scores as JSON, with what they were made from, and say where.

    An existing file is replaced. Without a path it is said how to get one.
    """
    if len(whole.curve) > 1:
        say(f"all {len(whole.curve)} thresholds: {path or 'give --json FILE, or --plot FILE.png'}")
    if path is None:
        return
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


def say_scores(measured: Measured, in_use: tuple[Use, Scores] | None) -> None:
    """Scores as a table: of many thresholds only the best, and the one in use."""
    curve, intervals = measured
    spread = "" if intervals is None else "  VOI sum, 95 % of objects"
    say(" " * 9 + "threshold  VOI split  VOI merge    VOI sum  adapted Rand  CREMI score" + spread)
    at = min(range(len(curve)), key=lambda index: curve[index][1].voi_sum)
    ends = "" if intervals is None else "  {:10.4f} to {:.4f}".format(*intervals[at])
    say(_line("best" if len(curve) > 1 else "", *curve[at]) + ends)
    if in_use is not None:
        say(_line(in_use[0].why, in_use[0].threshold, in_use[1]))


def _line(name: str, threshold: float, scores: Scores) -> str:
    at = "" if math.isnan(threshold) else f"{threshold:.3f}"
    return f"{name:8} {at:>9} " + " ".join(f"{value:10.4f}" for value in dataclasses.astuple(scores))
