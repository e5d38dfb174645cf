"""How good is the topology of what a network predicts? All scores and thresholds, and every contact by itself."""

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.study.folds import Test
from clew.evaluation.border import away_from_borders
from clew.evaluation.edges import EdgeTruth, judge_edges
from clew.evaluation.overlap import OverlapTable, overlap_table, relabel_table
from clew.evaluation.scores import score_table
from clew.evaluation.spread import object_bits
from clew.network.options import Precision, PredictionOptions
from clew.network.prediction import predict_affinities
from clew.network.unet import UNet
from clew.segmentation.agglomeration import agglomerate, contact_scores
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from clew.segmentation.relabel import segment_lookup
from clew.space import TOPOLOGY_BORDER

SCORES = (
    "mean", "hist_quant_50", "hist_quant_75", "hist_quant_85", "hist_quant_50_init_max", "hist_quant_75_init_max",
)  # fmt: skip
THRESHOLDS = np.round(np.linspace(0.02, 0.98, 49), 2)


class Judged(NamedTuple):
    """What one network makes of one test: its own segmentations, and the contacts of fragments that all networks share.

    `bits` (scores, thresholds, objects) is what each true object adds to the VOI sum, `voxels` (objects,) its size, and
    `rand` (scores, thresholds) the adapted Rand error. `contacts` (scores, n) holds the scores of the judged contacts,
    `same` (n,) whether they are inside a neuron, `neurons` (n, 2) which they join, `areas` (n,) voxel pairs.
    `left_out` is the number of fragments with too little annotation, and of several neurons.
    """

    bits: NDArray[np.float32]
    voxels: NDArray[np.int64]
    rand: NDArray[np.float32]
    contacts: NDArray[np.float32]
    same: NDArray[np.bool_]
    neurons: NDArray[np.uint64]
    areas: NDArray[np.int64]
    left_out: NDArray[np.int64]

    @property
    def voi(self) -> NDArray[np.float64]:
        """VOI sum in bits, (scores, thresholds)."""
        return self.bits.sum(-1, dtype=np.float64) / self.voxels.sum()

    @property
    def truth(self) -> EdgeTruth:
        """What the truth says of the contacts."""
        small, mixed = self.left_out
        return EdgeTruth(np.ones(len(self.same), bool), self.same, self.neurons, int(small), int(mixed))

    def save(self, path: Path) -> None:
        """Write a file that `read` reads; whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished.npz")
        np.savez_compressed(unfinished, allow_pickle=False, **self._asdict())
        unfinished.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as file:
            return cls(**{name: file[name] for name in cls._fields})


class Judge:
    """Judges networks on one test, all on the fragments that the first network makes of it."""

    def __init__(self, first: UNet, test: Test, precision: Precision) -> None:
        self._test, self._precision = test, precision
        inside = away_from_borders(test.truth, test.voxel_size, TOPOLOGY_BORDER)
        self._truth = np.where(inside, test.truth, 0)
        self._shared = extract_fragments(self._predict(first), options=FragmentOptions())
        self._shared_overlap = overlap_table(self._shared, self._truth)

    def judge(self, network: UNet) -> Judged:
        """Segment the test with a network at all scores and thresholds, and score the shared contacts."""
        affinities = self._predict(network)
        fragments = extract_fragments(affinities, options=FragmentOptions())
        overlap = overlap_table(fragments, self._truth)
        return Judged(
            **_segmentations(build_region_graph(affinities, fragments), overlap),
            **_contacts(build_region_graph(affinities, self._shared), self._shared_overlap),
        )

    def _predict(self, network: UNet) -> NDArray[np.uint8]:
        _, height, width = self._test.raw.shape
        box = (self._test.sections, slice(0, height), slice(0, width))
        return predict_affinities(
            network, self._test.raw, box=box, options=PredictionOptions(precision=self._precision)
        )


def _segmentations(graph: RegionGraph, overlap: OverlapTable) -> dict[str, Any]:
    voxels, _ = object_bits(overlap)
    bits = np.empty((len(SCORES), len(THRESHOLDS), len(voxels)), np.float32)
    rand = np.empty(bits.shape[:2], np.float32)
    for row, score in enumerate(SCORES):
        tree = agglomerate(graph, options=AgglomerationOptions(score=score))
        for column, threshold in enumerate(THRESHOLDS):
            table = relabel_table(overlap, tree.fragments, segment_lookup(tree, float(threshold)))
            bits[row, column] = object_bits(table)[1]
            rand[row, column] = score_table(table).adapted_rand_error
    return {"bits": bits, "voxels": voxels.astype(np.int64), "rand": rand}


def _contacts(graph: RegionGraph, overlap: OverlapTable) -> dict[str, Any]:
    truth = judge_edges(graph.edges, graph.fragments, overlap)
    judged = truth.judged
    return {
        "contacts": np.stack([contact_scores(graph, score)[judged] for score in SCORES]),
        "same": truth.same[judged],
        "neurons": truth.neurons[judged],
        "areas": graph.areas[judged].astype(np.int64),
        "left_out": np.array([truth.small, truth.mixed]),
    }
