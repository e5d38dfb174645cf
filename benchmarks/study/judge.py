"""How good is the topology of what a network predicts? All scores and thresholds, and every contact by itself."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.study.folds import VOXEL_SIZE, Test
from clew.evaluation.border import away_from_borders
from clew.evaluation.edges import edge_curve, judge_edges
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.evaluation.scores import score_thresholds
from clew.network.options import Precision, PredictionOptions
from clew.network.prediction import predict_affinities
from clew.network.unet import UNet
from clew.segmentation.agglomeration import agglomerate, contact_scores
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from clew.segmentation.relabel import segment_lookup

SCORES = (
    "mean", "hist_quant_50", "hist_quant_75", "hist_quant_85", "hist_quant_50_init_max", "hist_quant_75_init_max",
)  # fmt: skip
THRESHOLDS = np.round(np.linspace(0.02, 0.98, 49), 2)
BORDER = 20.0
"""Truth within so many nm of a border is left out: how membranes are placed is not topology."""


class Row(NamedTuple):
    """One segmentation of one test by one network: bits of VOI and adapted Rand error away from borders."""

    network: str
    test: str
    score: str
    threshold: float
    voi_split: float
    voi_merge: float
    adapted_rand_error: float


class EdgeRow(NamedTuple):
    """How well a score tells which contacts to merge: areas under precision and recall, by contacts and by their area."""

    network: str
    test: str
    score: str
    area: float
    area_by_size: float
    contacts: int
    small_fragments: int
    mixed_fragments: int


def judge(network: UNet, name: str, test: Test, precision: Precision) -> tuple[list[Row], list[EdgeRow]]:
    """Segment a test with a network at all scores and thresholds."""
    _, height, width = test.raw.shape
    box = (test.sections, slice(0, height), slice(0, width))
    affinities = predict_affinities(network, test.raw, box=box, options=PredictionOptions(precision=precision))
    fragments = extract_fragments(affinities, options=FragmentOptions())
    graph = build_region_graph(affinities, fragments)
    inside = away_from_borders(test.truth, VOXEL_SIZE, BORDER)
    overlap = overlap_table(fragments, np.where(inside, test.truth, 0))
    return list(_rows(name, test, graph, overlap)), list(_edge_rows(name, test, graph, overlap))


def _rows(network: str, test: Test, graph: RegionGraph, overlap: OverlapTable) -> Iterator[Row]:
    for score in SCORES:
        tree = agglomerate(graph, options=AgglomerationOptions(score=score))
        lookups = (segment_lookup(tree, float(threshold)) for threshold in THRESHOLDS)
        for threshold, found in zip(THRESHOLDS, score_thresholds(overlap, tree.fragments, lookups), strict=True):
            yield Row(network, test.name, score, float(threshold), found.voi_split, found.voi_merge,
                      found.adapted_rand_error)  # fmt: skip


def _edge_rows(network: str, test: Test, graph: RegionGraph, overlap: OverlapTable) -> Iterator[EdgeRow]:
    truth = judge_edges(graph.edges, graph.fragments, overlap)
    judged, same = truth.judged, truth.same[truth.judged]
    for score in SCORES:
        values = contact_scores(graph, score)[judged]
        by_contact, by_size = edge_curve(values, same), edge_curve(values, same, graph.areas[judged])
        yield EdgeRow(network, test.name, score, by_contact.area, by_size.area, len(same), truth.small, truth.mixed)


def append_rows(path: Path, rows: list[Row] | list[EdgeRow]) -> None:
    """Add rows to a table."""
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(rows[0]._fields)
        writer.writerows([f"{value:.5f}" if isinstance(value, float) else value for value in row] for row in rows)
