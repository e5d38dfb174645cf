"""Contacts of a region graph against the truth: `clew evaluate --region-graph`.

They are a table, JSON and a plot.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clew.errors import InputError
from clew.evaluation.edges import (
    EdgeCurve,
    EdgeTruth,
    edge_curve,
    edge_error,
    edge_samples,
    judge_edges,
    smallest_error,
)
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.labels import Labels
from clew.pipeline._progress import say
from clew.segmentation.agglomeration import contact_scores
from clew.segmentation.options import COMPARED_SCORES
from clew.segmentation.region_graph import RegionGraph

OF_MAXIMA = "_init_max"
"""How the scores end that are, of a contact by itself, all the same: its largest affinity. One of them is enough."""
REPEATS = 200


@dataclass(frozen=True)
class ScoredEdges:
    """How well a score tells contacts inside a neuron from others.

    Parameters
    ----------
    score : str
    curve : EdgeCurve
    low, high : float
        Interval (95 %) of the area under the curve; NaN where there are too few neurons.
    best, smallest : float
        Threshold of the smallest share of wrong contacts, and that share.
    threshold, error : float
        Threshold that was used with this score, and the share of wrong contacts there; NaN where none was.
    """

    score: str
    curve: EdgeCurve
    low: float
    high: float
    best: float
    smallest: float
    threshold: float
    error: float


def refuse_other_fragments(path: str, graph: RegionGraph, ids: Labels, whole: bool) -> None:
    """Refuse a region graph that was not made of these fragments, by their sizes.

    Parameters
    ----------
    path : str
        Of the region graph.
    graph : RegionGraph
    ids : (z, y, x) uint64
        Fragments, or a part of them.
    whole : bool
        Whether they are all: each must then have the size that the graph says.
    """
    found = overlap_table(ids, np.ones(ids.shape, np.uint8))
    seen = found.segments != 0
    segments, voxels = found.segments[seen], found.counts[seen]
    positions = np.minimum(np.searchsorted(graph.fragments, segments), max(len(graph.fragments) - 1, 0))
    wrong = len(segments)
    if len(graph.fragments):
        sizes = np.where(graph.fragments[positions] == segments, graph.sizes[positions], 0)
        wrong = int(np.count_nonzero(voxels != sizes if whole else voxels > sizes))
    if wrong:
        raise InputError(
            f"{path} is a region graph of other fragments: {wrong} of {len(segments)} fragments are not in it with their "
            "size. Give the fragments it was made of (fragments.zarr beside it)"
        )


def score_edges(graph: RegionGraph, table: OverlapTable, used: tuple[str | None, float | None]) -> dict[str, Any]:
    """Judge the contacts, score them by each score, and say it as a table.

    `used` is the score and the threshold of the segmentation, where they are known. The result is what JSON holds.
    """
    truth = judge_edges(graph.edges, graph.fragments, table)
    if not truth.same.any():
        raise InputError("no contact of the region graph lies inside one true neuron: give a larger part of the truth")
    plain = [name for name in COMPARED_SCORES if not name.endswith(OF_MAXIMA)]
    own = used[0] or plain[0]
    largest = own if own.endswith(OF_MAXIMA) else COMPARED_SCORES[-1]
    names = list(dict.fromkeys([*plain, largest, own]))
    scored = _scored(graph, truth, names, used)
    judged = int(truth.judged.sum())
    say(
        f"edges: {judged} of {len(graph.edges)} contacts, weighted by their area; left out are {truth.small} fragments of "
        f"fewer than 100 annotated voxels and {truth.mixed} of less than 90 % in one neuron"
    )
    say("score                     area under curve, 95 %    smallest error  at threshold   error  at threshold used")
    for row in scored:
        say(_line(row))
    left_out = {"contacts": len(graph.edges), "judged": judged, "small": truth.small, "mixed": truth.mixed}
    return left_out | {"scores": [_plain(row) for row in scored]}


def _scored(
    graph: RegionGraph, truth: EdgeTruth, names: Sequence[str], used: tuple[str | None, float | None]
) -> list[ScoredEdges]:
    values = [contact_scores(graph, name) for name in names]
    areas, judged = graph.areas, truth.judged
    same, weights = truth.same[judged], areas[judged]
    lows = highs = np.full(len(names), math.nan)
    try:
        samples = edge_samples(values, truth, areas, repeats=REPEATS, rng=np.random.default_rng(0))
        lows, highs = np.nanpercentile(samples, (2.5, 97.5), axis=1)
    except InputError as few:
        say(f"edges: no interval: {few}")
    rows = []
    for name, each, low, high in zip(names, values, lows, highs, strict=True):
        best, smallest = smallest_error(each[judged], same, weights)
        threshold = used[1] if name == used[0] and used[1] is not None else math.nan
        error = math.nan if math.isnan(threshold) else edge_error(each[judged], same, threshold, weights)
        curve = edge_curve(each[judged], same, weights)
        rows.append(ScoredEdges(name, curve, float(low), float(high), best, smallest, threshold, error))
    return rows


def _line(row: ScoredEdges) -> str:
    spread = "" if math.isnan(row.low) else f"{row.low:.4f} to {row.high:.4f}"
    used = "" if math.isnan(row.threshold) else f"{row.error:7.4f}  {row.threshold:.3f}"
    return f"{row.score:24} {row.curve.area:7.4f} {spread:20} {row.smallest:10.4f}  {row.best:12.3f}  {used}".rstrip()


def _plain(row: ScoredEdges) -> dict[str, Any]:
    """As JSON holds it; None for what there is not."""
    numbers = {
        "area": row.curve.area, "low": row.low, "high": row.high, "best_threshold": row.best,
        "smallest_error": row.smallest, "threshold": row.threshold, "error": row.error,
    }  # fmt: skip
    known = {name: None if math.isnan(value) else value for name, value in numbers.items()}
    curve = {"recall": row.curve.recall.tolist(), "precision": row.curve.precision.tolist()}
    return {"score": row.score, **known, **curve}
