"""`clew choose-threshold`: segmentations with truth → one score and threshold.

They are the best over all of them together.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from clew.errors import InputError
from clew.evaluation.border import away_from_borders
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.evaluation.scores import score_thresholds
from clew.labels import without_special
from clew.pipeline._declare import Record, stage
from clew.pipeline._edges import refuse_other_fragments
from clew.pipeline._files import FILE_NAMES, read_ids, read_truth, refuse_existing_outputs, write_scores
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import Comparison, Input, Output, VoxelSize
from clew.pipeline._pair import Pair, match_volumes, other_place
from clew.pipeline._progress import say
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import load_region_graph
from clew.pipeline.evaluate import refuse_skeletons
from clew.ranges import NotNegative
from clew.segmentation.agglomeration import agglomerate, parse_score
from clew.segmentation.options import COMPARED_SCORES, AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph
from clew.segmentation.relabel import segment_lookup
from clew.space import TOPOLOGY_BORDER, Box, Lengths
from clew.training.targets import split_components
from clew.view.figures import choice_figure, save_figure


class Point(NamedTuple):
    """A score, a threshold and the VOI sum of a volume there.

    The regret is by how much that is more than the best of all scores and thresholds of this volume.
    """

    score: str
    threshold: float
    voi_sum: float
    regret: float


class Judged(NamedTuple):
    """A segmentation with truth: its VOI sums, and those of what is stored.

    `curves` is (score, threshold); `default` is the score and threshold stored with the region graph, where there are any.
    """

    run: str
    truth: str
    objects: int
    voxels: int
    curves: NDArray[np.float64]
    default: tuple[str, float, float] | None


class Choice(NamedTuple):
    """The best score and threshold over all volumes, and the best of each score.

    `mean` is the mean VOI sum, (score, threshold); `best` the index of a score, `at` that of the best threshold of each.
    """

    mean: NDArray[np.float64]
    at: NDArray[np.int64]
    best: int


@stage
def choose_threshold(
    *,
    data: list[Input],
    voxel_size: VoxelSize,
    score: list[str] | None = None,
    thresholds: Annotated[int, Gt(1)] = Comparison.thresholds,
    border: NotNegative = TOPOLOGY_BORDER,
    components: bool = False,
    json: str | None = None,
    plot: str | None = None,
    output: Output,
    record: Record,
) -> tuple[str, float]:
    """Choose the score and threshold that are best over several segmentations.

    Prints tables and returns score and threshold: those of the smallest VOI sum, as the mean over the volumes. Each volume counts
    alike. For each the regret is given: how much worse than its own best the choice is, and what is stored with it.

    Parameters
    ----------
    data
        RUN,TRUTH: a folder of segment, and true neuron ids (z, y, x), compared where both are; give several by repeating the
        option.
    score
        Agglomeration score, as for agglomerate; give several by repeating the option. By default the usual ones.
    thresholds
        Number of thresholds from 0 to 1.
    border
        Distance in nm from borders between neurons, within which truth does not count; 0 counts all.
    components
        Split the truth into connected components inside the box first.
    json
        Write all scores to this file.
    plot
        Write a plot of the VOI sums over the thresholds to this PNG file.
    """
    pairs = [_paths(item) for item in data]
    refuse_overlap([path for pair in pairs for path in pair], [json, plot])
    refuse_existing_outputs(output.overwrite, json, plot)
    if not pairs or len(set(pairs)) < len(pairs):
        raise InputError("choose-threshold needs each volume once: --data RUN,TRUTH --data RUN,TRUTH …")
    names = list(dict.fromkeys(score or COMPARED_SCORES))
    for name in names:
        parse_score(name)
    steps: list[float] = np.linspace(0, 1, thresholds).tolist()
    opened = [_open(*pair, voxel_size.voxel_size) for pair in pairs]
    judged = [_judge(*pair, each, names, steps, border, components) for pair, each in zip(pairs, opened, strict=True)]
    choice = choose([each.curves for each in judged])
    chosen = names[choice.best], steps[choice.at[choice.best]]
    _say_choice(judged, names, steps, choice, border)
    if json:
        further = {
            "chosen": _chosen(choice, *chosen),
            "volumes": [_volume(each, names, steps, choice) for each in judged],
        }
        write_scores(_rows(judged, names, steps, choice), Path(json), record, further)
    if plot:
        curves = np.stack([each.curves[choice.best] for each in judged])
        save_figure(choice_figure(steps, choice.mean, names, curves, [each.run for each in judged], chosen), plot)
    return chosen


def choose(curves: Sequence[NDArray[np.float64]]) -> Choice:
    """Find the score and threshold of the smallest mean.

    Of equally good ones it is the first.

    Parameters
    ----------
    curves : sequence of (score, threshold) float64
        VOI sums, of each volume.
    """
    mean = np.mean(curves, axis=0)
    at = mean.argmin(axis=1)
    return Choice(mean, at, int(mean.min(axis=1).argmin()))


def _paths(item: str) -> tuple[str, str]:
    run, comma, truth = item.partition(",")
    if not (run and comma and truth):
        raise InputError(f"data are RUN,TRUTH (a folder of clew segment, and true labels), not {item!r}")
    refuse_skeletons("choose-threshold", truth)
    return run, truth


def _open(run: str, truth: str, voxel_size: Lengths | None) -> Pair:
    """Fragments of a run with their truth; nothing is read yet."""
    graph = Path(run) / FILE_NAMES["region_graph"]
    fragments = str(graph.with_name(FILE_NAMES["fragments"]))
    if not graph.exists():
        raise InputError(
            f"{run} holds no {graph.name}, as clew segment leaves it; without one: clew build-region-graph AFFINITIES {fragments} "
            f"{graph}"
        )
    pair = match_volumes(fragments, truth, None, voxel_size)
    refuse_too_large("choose-threshold", fragments, prod(pair.here.shape), 16)
    return pair


def _judge(
    run: str, truth: str, pair: Pair, names: Sequence[str], steps: Sequence[float], border: float, components: bool
) -> Judged:
    """VOI sums of a volume by all scores at all thresholds."""
    ids, labels = read_ids(pair.segmentation, pair.here), without_special(read_truth(pair.truth, pair.there))
    path = str(Path(run) / FILE_NAMES["region_graph"])
    graph, attributes = load_region_graph(path)
    refuse_other_fragments(path, graph, ids, pair.here == Box.whole(pair.segmentation.shape))
    if other := other_place(pair, ids, labels):
        raise InputError(other)
    labels = split_components(labels) if components else labels
    if border:
        labels = np.where(away_from_borders(labels, pair.truth.voxel_size, border), labels, 0)
    table = overlap_table(ids, labels)
    if not len(table.counts):
        raise InputError(
            f"{truth} holds no annotated voxel" + f" farther than {border:g} nm from a border" * (border > 0)
        )
    curves = np.array([_voi_sums(graph, table, name, steps) for name in names])
    objects, voxels = len(np.unique(table.truths)), int(table.counts.sum())
    say(f"{run}: {objects} true objects, {voxels:,} voxels of truth")
    return Judged(run, truth, objects, voxels, curves, _default(graph, table, attributes))


def _voi_sums(graph: RegionGraph, table: OverlapTable, name: str, steps: Sequence[float]) -> list[float]:
    """VOI sums by a score at some thresholds."""
    tree = agglomerate(graph, options=AgglomerationOptions(name))
    lookups = (segment_lookup(tree, step) for step in steps)
    return [scores.voi_sum for scores in score_thresholds(table, tree.fragments, lookups)]


def _default(graph: RegionGraph, table: OverlapTable, attributes: dict[str, Any]) -> tuple[str, float, float] | None:
    """The stored score and threshold and their VOI sum, where they are stored."""
    name, threshold = attributes.get("suggested_score"), attributes.get("suggested_threshold")
    if name is None or threshold is None:
        return None
    return str(name), float(threshold), _voi_sums(graph, table, str(name), [float(threshold)])[0]


def _points(judged: Judged, names: Sequence[str], steps: Sequence[float], choice: Choice) -> dict[str, Point | None]:
    """What is best for a volume, what was chosen, and what is stored with it."""
    lowest = float(judged.curves.min())
    lowest = lowest if judged.default is None else min(lowest, judged.default[2])

    def point(score: int, threshold: int) -> Point:
        voi = float(judged.curves[score, threshold])
        return Point(names[score], steps[threshold], voi, voi - lowest)

    score, threshold = divmod(int(judged.curves.argmin()), len(steps))
    stored = judged.default
    return {
        "best": point(score, threshold),
        "chosen": point(choice.best, int(choice.at[choice.best])),
        "default": None if stored is None else Point(*stored, stored[2] - lowest),
    }


def _say_choice(
    judged: Sequence[Judged], names: Sequence[str], steps: Sequence[float], choice: Choice, border: float
) -> None:
    what = f"topology, {border:g} nm away from borders" if border else "all truth"
    say(f"VOI sum in bits, of {what}; the best threshold of each score, as the mean over the volumes")
    say("score                     threshold  mean VOI  " + "".join(f"{n:>9}" for n in range(1, len(judged) + 1)))
    for score in np.argsort(choice.mean.min(axis=1), kind="stable").tolist():
        at = choice.at[score]
        each = "".join(f"{one.curves[score, at]:9.4f}" for one in judged)
        mark = "  <- best" if score == choice.best else ""
        say(f"{names[score]:24} {steps[at]:10.3f} {choice.mean[score, at]:9.4f}  {each}{mark}")
    say("volume                            VOI sum   regret  threshold  score")
    for number, one in enumerate(judged, 1):
        say(f"{number} {one.run}")
        for kind, point in _points(one, names, steps, choice).items():
            if point is None:
                say("    default: no score and threshold are stored with its region graph")
            else:
                say(f"    {kind:27} {point.voi_sum:9.4f} {point.regret:8.4f} {point.threshold:10.3f}  {point.score}")
    name, threshold = names[choice.best], steps[choice.at[choice.best]]
    say(f"best over all: clew segment AFFINITIES FOLDER --score {name} --threshold {threshold:g}")


def _chosen(choice: Choice, score: str, threshold: float) -> dict[str, Any]:
    return {"score": score, "threshold": threshold, "voi_sum": float(choice.mean[choice.best].min())}


def _volume(judged: Judged, names: Sequence[str], steps: Sequence[float], choice: Choice) -> dict[str, Any]:
    """A volume, as JSON holds it."""
    found = _points(judged, names, steps, choice)
    points = {kind: None if point is None else point._asdict() for kind, point in found.items()}
    return {"run": judged.run, "truth": judged.truth, "objects": judged.objects, "voxels": judged.voxels} | points


def _rows(
    judged: Sequence[Judged], names: Sequence[str], steps: Sequence[float], choice: Choice
) -> list[dict[str, Any]]:
    """Every score at every threshold, as JSON holds it."""
    return [
        {"score": name, "threshold": step, "voi_sum": float(choice.mean[score, at]),
         "volumes": [float(one.curves[score, at]) for one in judged]}
        for score, name in enumerate(names)
        for at, step in enumerate(steps)
    ]  # fmt: skip
