"""Scores of a segmentation, or of all thresholds of a merge tree, from files to table, JSON and plot."""

import dataclasses
import json as json_text
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.evaluation.border import mask_borders
from clew.evaluation.overlap import overlap_table
from clew.evaluation.scores import Scores, best_threshold, score_table, score_thresholds
from clew.segmentation.relabel import segment_lookup
from clew.stages.boxes import parse_box
from clew.stages.files import as_ids
from clew.stages.progress import say
from clew.stages.tables import load_merge_tree
from clew.training.targets import split_components
from clew.volumes.open import open_volume
from clew.volumes.volume import Volume

Curve = list[tuple[float, Scores]]


def score_paths(
    segmentation: str,
    truth: str,
    *,
    merge_tree: str | None,
    thresholds: int,
    border: float,
    box: str | None,
    components: bool,
    json: str | None,
    plot: str | None,
    overwrite: bool,
) -> Curve:
    """Score files; prints a table and returns (threshold, scores), threshold NaN for a single segmentation."""
    for output in (json, plot):
        if output is not None and Path(output).exists() and not overwrite:
            raise InputError(f"{output} exists already: choose another name or give --overwrite")
    if plot and not merge_tree:
        raise InputError("evaluate: a plot over the thresholds needs --merge-tree")
    ids, labels, voxel_size = _read_pair(segmentation, truth, box)
    if border:
        labels = mask_borders(labels, voxel_size, border)
    labels = split_components(labels) if components else labels
    if merge_tree:
        curve = score_tree(ids, labels, merge_tree, np.linspace(0, 1, thresholds))
    else:
        curve = [(float("nan"), score_table(overlap_table(split_components(ids) if components else ids, labels)))]
    _say_table(curve)
    if json:
        rows = [{"threshold": threshold, **dataclasses.asdict(scores)} for threshold, scores in curve]
        Path(json).write_text(json_text.dumps(rows, indent=1).replace("NaN", "null") + "\n")
    if plot:
        from clew.view.figures import save_figure

        save_figure(curve_figure(curve), plot)
    return curve


def score_tree(ids: NDArray[np.uint64], labels: NDArray[Any], merge_tree: str, thresholds: NDArray[Any]) -> Curve:
    """Scores of all thresholds from one pass over the voxels of the fragments."""
    tree, _ = load_merge_tree(merge_tree)
    table = overlap_table(ids, labels)
    lookups = (segment_lookup(tree, float(threshold)) for threshold in thresholds)
    scores = score_thresholds(table, tree.fragments, lookups)
    return [(float(threshold), score) for threshold, score in zip(thresholds, scores, strict=True)]


def best_of(curve: Curve) -> tuple[float, Scores]:
    """The threshold with the smallest VOI, and its scores."""
    return best_threshold([threshold for threshold, _ in curve], [scores for _, scores in curve])


def curve_figure(curve: Curve) -> Any:
    """VOI split, merge and sum over the threshold."""
    from clew.view.figures import threshold_figure

    thresholds = [threshold for threshold, _ in curve]
    splits, merges = ([getattr(scores, name) for _, scores in curve] for name in ("voi_split", "voi_merge"))
    return threshold_figure(thresholds, splits, merges, chosen=best_of(curve)[0])


def _read_pair(
    segmentation: str, truth: str, box: str | None
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], tuple[float, float, float]]:
    """Segmentation and the truth at the same place; a larger truth is cut to the segmentation by the offsets in nm."""
    labels = open_volume(truth)
    ids = open_volume(segmentation, voxel_size=labels.voxel_size)
    place = tuple(slice(0, size) for size in ids.shape) if ids.shape == labels.shape else _place(ids, labels)
    part = parse_box(box, ids.shape)
    there = tuple(slice(p.start + b.start, p.start + b.stop) for p, b in zip(place, part, strict=True))
    return as_ids(ids.read(part), segmentation), as_ids(labels.read(there), truth), labels.voxel_size


def _place(inner: Volume, outer: Volume) -> tuple[slice, ...]:
    """Where one volume lies in another, by their offsets."""
    steps = [(i - o) / size for i, o, size in zip(inner.offset, outer.offset, outer.voxel_size, strict=True)]
    starts = [round(step) for step in steps]
    fits = all(abs(step - start) < 0.01 for step, start in zip(steps, starts, strict=True))
    ends = [start + size for start, size in zip(starts, inner.shape, strict=True)]
    if not fits or min(starts) < 0 or any(end > size for end, size in zip(ends, outer.shape, strict=True)):
        raise InputError(
            f"{inner.source} (shape {inner.shape}, offset {inner.offset} nm) does not lie inside "
            f"{outer.source} (shape {outer.shape}, offset {outer.offset} nm)"
        )
    return tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))


def _say_table(curve: Curve) -> None:
    say("threshold  VOI split  VOI merge    VOI sum  adapted Rand  CREMI score")
    best = best_of(curve)[0] if len(curve) > 1 else None
    for threshold, scores in curve:
        mark = "  <- best" if threshold == best else ""
        say(f"{threshold:9.3f} " + " ".join(f"{value:10.4f}" for value in dataclasses.astuple(scores)) + mark)
