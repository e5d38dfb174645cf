"""Scores of a segmentation, or of all thresholds of a merge tree, from files to table, JSON and plot."""

import dataclasses
import math
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clew.errors import InputError
from clew.evaluation.border import mask_borders
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.evaluation.scores import Scores, best_threshold, score_table, score_thresholds
from clew.labels import without_special
from clew.replace import refuse_existing
from clew.segmentation.relabel import segment_lookup
from clew.space import Box, Triple
from clew.stages.declaration import Record
from clew.stages.files import as_ids, write_scores
from clew.stages.memory import refuse_too_large
from clew.stages.progress import say
from clew.stages.protection import refuse_overlap
from clew.stages.skeleton_scoring import Followed, score_against_skeletons
from clew.stages.tables import load_merge_tree
from clew.training.targets import split_components
from clew.volumes.formats.nml import is_nml
from clew.volumes.open import open_volume
from clew.volumes.volume import Volume

Curve = list[tuple[float, Scores]]


class Pair(NamedTuple):
    """Segmentation and truth, and the box of each in which both are."""

    segmentation: Volume
    truth: Volume
    here: Box
    there: Box


def score_paths(
    segmentation: str,
    truth: str,
    *,
    merge_tree: str | None,
    thresholds: int,
    border: float,
    minimum_nodes: int,
    box: str | None,
    components: bool,
    json: str | None,
    plot: str | None,
    overwrite: bool,
    record: Record,
) -> Curve | list[Followed]:
    """Score files; prints a table and returns (threshold, scores), threshold NaN for a single segmentation."""
    refuse_overlap([segmentation, truth, merge_tree], [json, plot])
    for output in (json, plot):
        if output is not None:
            refuse_existing(Path(output), overwrite)
    if plot and not merge_tree:
        raise InputError("evaluate: a plot over the thresholds needs --merge-tree")
    if is_nml(truth):
        if border or components or plot:
            raise InputError("evaluate: border, components and plot are for a volume as truth, not for skeletons")
        return score_against_skeletons(segmentation, truth, merge_tree=merge_tree, thresholds=thresholds,
                                       minimum_nodes=minimum_nodes, box=box, json=json, record=record)  # fmt: skip
    pair = match_volumes(segmentation, truth, box)
    work = "evaluate --components" if components else "evaluate --border" if border else "evaluate"
    refuse_too_large(work, segmentation, prod(pair.here.shape), 16)
    ids, labels = as_ids(pair.segmentation.read(pair.here), segmentation), as_ids(pair.truth.read(pair.there), truth)
    labels = without_special(labels)
    if border:
        labels = mask_borders(labels, pair.truth.voxel_size, border)
    if components:
        ids, labels = ids if merge_tree else split_components(ids), split_components(labels)
    curve = score_overlap(overlap_table(ids, labels), merge_tree, thresholds)
    say_scores(curve)
    if json:
        save_scores(curve, Path(json), record)
    if plot:
        from clew.view.figures import save_figure

        save_figure(curve_figure(curve), plot)
    return curve


def score_overlap(table: OverlapTable, merge_tree: str | None, thresholds: int) -> Curve:
    """Scores of a segmentation, or, if the segments of the table are those of a merge tree, of so many thresholds."""
    if merge_tree is None:
        return [(float("nan"), score_table(table))]
    tree, _ = load_merge_tree(merge_tree)
    steps = [float(threshold) for threshold in np.linspace(0, 1, thresholds)]
    scores = score_thresholds(table, tree.fragments, (segment_lookup(tree, threshold) for threshold in steps))
    return list(zip(steps, scores, strict=True))


def best_of(curve: Curve) -> tuple[float, Scores]:
    """The threshold with the smallest VOI, and its scores."""
    return best_threshold([threshold for threshold, _ in curve], [scores for _, scores in curve])


def curve_figure(curve: Curve) -> Any:
    """VOI split, merge and sum over the threshold."""
    from clew.view.figures import threshold_figure

    thresholds = [threshold for threshold, _ in curve]
    splits, merges = ([getattr(scores, name) for _, scores in curve] for name in ("voi_split", "voi_merge"))
    return threshold_figure(thresholds, splits, merges, chosen=best_of(curve)[0])


def match_volumes(segmentation: str, truth: str, box: str | None) -> Pair:
    """Open segmentation and truth, and find where both are; if one is larger, it is cut to the other by the offsets in nm."""
    labels = open_volume(truth)
    ids = open_volume(segmentation, voxel_size=labels.voxel_size)
    part = Box.parse(box, ids.shape)
    start = (0, 0, 0) if ids.shape == labels.shape else _start(ids, labels)
    there = part.shifted(start).overlap(Box.whole(labels.shape))
    here = there.shifted(-first for first in start)
    if here != part:
        if there != Box.whole(labels.shape):
            raise _apart(ids, labels)
        say(f"compared where the truth lies: {here} of {segmentation}")
    return Pair(ids, labels, here, there)


def save_scores(curve: Curve, path: Path, record: Record) -> None:
    """Write scores as JSON, with what they were made from; a file that is there is replaced."""
    rows = [
        {"threshold": None if math.isnan(threshold) else threshold, **dataclasses.asdict(scores)}
        for threshold, scores in curve
    ]
    write_scores(rows, path, record)


def _start(ids: Volume, labels: Volume) -> Triple:
    """The voxel (z, y, x) of the truth at which the segmentation begins, by their offsets; may be negative."""
    steps = [(i - o) / size for i, o, size in zip(ids.offset, labels.offset, labels.voxel_size, strict=True)]
    z, y, x = (round(step) for step in steps)
    if any(abs(step - start) >= 0.01 for step, start in zip(steps, (z, y, x), strict=True)):
        raise _apart(ids, labels)
    return z, y, x


def _apart(ids: Volume, labels: Volume) -> InputError:
    return InputError(
        f"{ids.source} (shape {ids.shape}, offset {ids.offset} nm) does not lie inside "
        f"{labels.source} (shape {labels.shape}, offset {labels.offset} nm), nor the other way round"
    )


def say_scores(curve: Curve) -> None:
    """Scores as a table."""
    say("threshold  VOI split  VOI merge    VOI sum  adapted Rand  CREMI score")
    best = best_of(curve)[0] if len(curve) > 1 else None
    for threshold, scores in curve:
        mark = "  <- best" if threshold == best else ""
        say(f"{threshold:9.3f} " + " ".join(f"{value:10.4f}" for value in dataclasses.astuple(scores)) + mark)
