"""Which fragments and which score segment best: `python -m benchmarks.fragments --data FOLDER`.

Predicts the sections of the FIB-SEM sample that were held out from training (with a network that has not seen them:
`--checkpoint`) and those around them, makes fragments in every way, agglomerates with every score, and prints VOI and
adapted Rand error of the held-out sections at the best threshold as Markdown. Objects of the truth are re-labelled inside
these sections; voxels without a fragment count as one segment.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import SAMPLE
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.evaluation.scores import Scores, best_threshold, score_thresholds
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.dust import join_dust
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from clew.segmentation.relabel import segment_lookup
from clew.training.targets import split_components

SCORES = (
    "mean",
    *(f"hist_quant_{percent}" for percent in (25, 50, 75, 85)),
    *(f"hist_quant_{percent}_init_max" for percent in (50, 75)),
)
THRESHOLDS = np.linspace(0, 1, 41).tolist()
Lookups = Iterator[NDArray[np.uint64]]


class Way(NamedTuple):
    """A way to make fragments; with `dust` above 0 segments of fewer voxels join their best neighbour after the cut."""

    name: str
    options: FragmentOptions
    dust: int = 0


class Line(NamedTuple):
    """Best scores of one way to make fragments and one agglomeration score."""

    way: str
    fragments: int
    score: str
    threshold: float
    scores: Scores


def ways(dust: int) -> list[Way]:
    """All ways to make fragments."""
    watershed = FragmentOptions(method="affinity-watershed")
    return [
        Way("seeded flood of the boundary map", FragmentOptions(method="seeded-flood")),
        Way("seeded forest", FragmentOptions()),
        Way("seeded forest, per section", FragmentOptions(per_section=True)),
        Way("affinity watershed", watershed),
        Way(f"affinity watershed, dust below {dust} joined", watershed, dust),
    ]


def compare(
    affinities: NDArray[np.uint8],
    truth: NDArray[Any],
    chosen: list[Way],
    scored: slice,
    thresholds: list[float] = THRESHOLDS,
) -> Iterator[Line]:
    """Best VOI of the ways and of all scores; everything is segmented, of which the sections `scored` have a truth."""
    for way in chosen:
        fragments = extract_fragments(affinities, options=way.options)
        graph = build_region_graph(affinities, fragments)
        table = overlap_table(fragments[scored], truth)
        for score in SCORES:
            threshold, scores = _best(graph, table, score, way.dust, thresholds)
            yield Line(way.name, len(graph.fragments), score, threshold, scores)


def markdown(lines: list[Line]) -> str:
    """A row for each way to make fragments, a column for each score: VOI / adapted Rand error; the best in bold."""
    cells = {(line.way, line.score): line for line in lines}
    least = min(line.scores.voi_sum for line in lines)
    rows = ["| fragments | number | " + " | ".join(SCORES) + " |", "|---|---:|" + "---|" * len(SCORES)]
    for way in dict.fromkeys(line.way for line in lines):
        found = [cells[way, score] for score in SCORES]
        rows.append(f"| {way} | {found[0].fragments:,} | " + " | ".join(_cell(line, least) for line in found) + " |")
    return "\n".join(rows) + "\n"


def predict_sections(
    data: Path, sections: slice, checkpoint: str | None, surroundings: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], slice]:
    """Affinities of some sections of the sample and of those around them; their truth; where they lie in the affinities."""
    import h5py

    from clew.network.bundled import bundled_names, open_checkpoint
    from clew.network.prediction import predict_affinities

    with h5py.File(data / SAMPLE) as file:
        raw, labels = file["volumes/raw"][()], file["volumes/labels/neuron_ids"][sections]
    network = open_checkpoint(checkpoint or bundled_names()[0]).network
    wide = slice(max(sections.start - surroundings, 0), min(sections.stop + surroundings, len(raw)))
    box = (wide, slice(0, raw.shape[1]), slice(0, raw.shape[2]))
    scored = slice(sections.start - wide.start, sections.stop - wide.start)
    return predict_affinities(network, raw, box=box), split_components(labels), scored


def main(arguments: list[str] | None = None) -> None:
    """Print the table and what wins."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fragments", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"folder of {SAMPLE}")
    parser.add_argument("--checkpoint", help="a network by name or file (the bundled one)")
    parser.add_argument("--sections", default="120:150", help="annotated sections to score (%(default)s)")
    parser.add_argument("--surroundings", type=int, default=40, help="sections segmented on each side (%(default)s)")
    parser.add_argument("--dust", type=int, default=500, help="voxels below which a segment is dust (%(default)s)")
    given = parser.parse_args(arguments)
    start, stop = (int(word) for word in given.sections.split(":"))
    predicted = predict_sections(given.data, slice(start, stop), given.checkpoint, given.surroundings)
    affinities, truth, scored = predicted
    lines = list(compare(affinities, truth, ways(given.dust), scored))
    print(markdown(lines))
    for line in sorted(lines, key=lambda line: line.scores.voi_sum)[:3]:
        print(
            f"{line.way}, {line.score}, threshold {line.threshold:.3f}: VOI {line.scores.voi_sum:.3f}"
            f" (split {line.scores.voi_split:.3f}, merge {line.scores.voi_merge:.3f}),"
            f" adapted Rand error {line.scores.adapted_rand_error:.3f}"
        )


def _best(
    graph: RegionGraph, table: OverlapTable, score: str, dust: int, thresholds: list[float]
) -> tuple[float, Scores]:
    options = AgglomerationOptions(score=score)
    tree = agglomerate(graph, options=options)

    def lookups(thresholds: list[float]) -> Lookups:
        for threshold in thresholds:
            lookup = segment_lookup(tree, threshold)
            yield join_dust(graph, lookup, minimum_size=dust, options=options) if dust else lookup

    scores = score_thresholds(table, tree.fragments, lookups(thresholds))
    return best_threshold(thresholds, scores)


def _cell(line: Line, least: float) -> str:
    text = f"{line.scores.voi_sum:.2f} / {line.scores.adapted_rand_error:.3f}"
    return f"**{text}**" if line.scores.voi_sum == least else text


if __name__ == "__main__":
    main()
