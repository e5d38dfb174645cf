"""`python -m benchmarks.ways_to_predict --data FOLDER --keep FOLDER`: what do other arithmetics, runtimes and flips change?

One network predicts tissue that it has not seen in several ways. For each way: CPU time, how far affinities are from those of
PyTorch in float32, the area under the curve of contacts (of the same fragments, weighed by area), and the VOI of topology of
its own segmentation, both as differences with their interval over true objects. Affinities are kept: the command goes on
where it was.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.study.folds import ISOTROPIC, Test, read_folds
from benchmarks.study.judge import THRESHOLDS
from clew.evaluation.border import away_from_borders
from clew.evaluation.edges import edge_curve, edge_samples, judge_edges
from clew.evaluation.overlap import overlap_table, relabel_table
from clew.evaluation.spread import object_bits
from clew.network.bundled import open_checkpoint
from clew.network.options import BUNDLED, PredictionOptions
from clew.network.prediction import predict_affinities
from clew.network.unet import UNet
from clew.segmentation.agglomeration import agglomerate, contact_scores
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import build_region_graph
from clew.segmentation.relabel import segment_lookup
from clew.space import TOPOLOGY_BORDER, triple

REFERENCE = "float32"
WAYS = {
    REFERENCE: PredictionOptions(precision="float32", runtime="torch"),
    "float32, OpenVINO": PredictionOptions(precision="float32", runtime="openvino"),
    "bfloat16": PredictionOptions(precision="bfloat16", runtime="torch"),
    "bfloat16, OpenVINO": PredictionOptions(precision="bfloat16", runtime="openvino"),
    "flips, float32": PredictionOptions(precision="float32", runtime="torch", test_time_augmentation="flips"),
    "flips, bfloat16, OpenVINO": PredictionOptions(
        precision="bfloat16", runtime="openvino", test_time_augmentation="flips"
    ),
}
SCORES = ("hist_quant_75_init_max", "hist_quant_75", "mean")
REPEATS = 1000
COLUMNS = (
    "way", "CPU time", "from float32: mean, 99.9 %, largest (1/255)", "score", "area of contacts (difference)", "VOI, best",
    "VOI at the threshold that is best for float32 (difference)",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Print a row for each way and score."""
    given = _parse(arguments)
    tests = {test.name: test for fold in read_folds(given.data) if fold.kind is ISOTROPIC for test in fold.tests}
    torch.set_num_threads(given.threads)
    given.keep.mkdir(parents=True, exist_ok=True)
    network = open_checkpoint(given.checkpoint).network
    ways = dict.fromkeys([REFERENCE, *given.ways])
    predicted = {way: _predicted(network, tests[given.test], way, given.keep) for way in ways}
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for row in compare(tests[given.test], predicted, {way: _seconds(given.keep, way) for way in predicted}):
        print("| " + " | ".join(row) + " |", flush=True)


def compare(
    test: Test, predicted: dict[str, NDArray[np.uint8]], seconds: dict[str, float]
) -> Iterator[tuple[str, ...]]:
    """Rows of the table: each way beside the reference."""
    truth = np.where(away_from_borders(test.truth, test.voxel_size, TOPOLOGY_BORDER), test.truth, 0)
    fragments = extract_fragments(predicted[REFERENCE])
    shared = overlap_table(fragments, truth)
    graphs = {way: build_region_graph(affinities, fragments) for way, affinities in predicted.items()}
    edges, areas = graphs[REFERENCE].edges, graphs[REFERENCE].areas
    judged = judge_edges(edges, graphs[REFERENCE].fragments, shared)
    for score in SCORES:
        bits = {way: _bits(affinities, truth, score) for way, affinities in predicted.items()}
        best = int(bits[REFERENCE][0].sum(1).argmin())
        values = {way: contact_scores(graph, score) for way, graph in graphs.items()}
        samples = edge_samples(list(values.values()), judged, areas, repeats=REPEATS, rng=np.random.default_rng(0))
        for place, way in enumerate(predicted):
            own = edge_curve(values[way][judged.judged], judged.same[judged.judged], areas[judged.judged]).area
            gain = samples[place] - samples[0]
            yield (
                way, f"{seconds[way] / seconds[REFERENCE]:.2f} ×", _distance(predicted[way], predicted[REFERENCE]), score,
                f"{own:.4f} ({np.nanmean(gain):+.4f}, {_interval(gain)})",
                f"{bits[way][0].sum(1).min() / bits[way][1].sum():.3f}",
                _voi(bits[way], bits[REFERENCE], best),
            )  # fmt: skip


def _bits(affinities: NDArray[np.uint8], truth: NDArray, score: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bits that true objects add to VOI, (thresholds, objects), and their voxels."""
    fragments = extract_fragments(affinities)
    overlap = overlap_table(fragments, truth)
    tree = agglomerate(build_region_graph(affinities, fragments), options=AgglomerationOptions(score=score))
    cuts = (relabel_table(overlap, tree.fragments, segment_lookup(tree, float(cut))) for cut in THRESHOLDS)
    return np.stack([object_bits(cut)[1] for cut in cuts]), object_bits(overlap)[0]


def _voi(own: tuple[NDArray, NDArray], reference: tuple[NDArray, NDArray], place: int) -> str:
    """VOI at a threshold, and its difference from that of the reference over resampled objects."""
    voxels, objects = own[1], len(own[1])
    rng = np.random.default_rng(0)
    drawn = np.stack([np.bincount(rng.integers(objects, size=objects), minlength=objects) for _ in range(REPEATS)])
    gain = drawn @ (own[0][place] - reference[0][place]) / (drawn @ voxels)
    return f"{own[0][place].sum() / voxels.sum():.3f} ({_interval(gain)}) at {THRESHOLDS[place]:.2f}"


def _interval(values: NDArray[np.float64]) -> str:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return f"{low:+.4f} to {high:+.4f}"


def _distance(affinities: NDArray[np.uint8], reference: NDArray[np.uint8]) -> str:
    steps = np.abs(affinities.astype(np.int16) - reference)
    return f"{steps.mean():.2f}, {np.percentile(steps, 99.9):.0f}, {steps.max()}"


def _predicted(network: UNet, test: Test, way: str, folder: Path) -> NDArray[np.uint8]:
    """Affinities of a test, predicted now or earlier."""
    path = folder / f"{way}.npy"
    if not path.exists():
        start = time.process_time()
        box = (test.sections, slice(0, test.raw.shape[1]), slice(0, test.raw.shape[2]))
        affinities = predict_affinities(
            network, test.raw, box=box, options=WAYS[way], voxel_size=triple(test.voxel_size)
        )
        path.with_suffix(".json").write_text(json.dumps(time.process_time() - start))
        np.save(path, affinities)
    return np.load(path)


def _seconds(folder: Path, way: str) -> float:
    return float(json.loads((folder / f"{way}.json").read_text()))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ways_to_predict", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sample volumes")
    parser.add_argument("--keep", type=Path, required=True, help="folder for affinities, of one network and test")
    parser.add_argument("--checkpoint", default=BUNDLED, help="a network that has not seen the test (%(default)s)")
    parser.add_argument("--test", default="sections of sample 1", help="name of a test of the study (%(default)s)")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), help=f"of {', '.join(WAYS)}")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
