"""`clew evaluate`, `clew evaluate-blocks`: segmentation and truth → scores.

The truth is true labels; scores are a table, JSON and a plot.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.blockwise.store import as_record
from clew.errors import InputError
from clew.evaluation.border import (
    Mask,
    annotated_sections,
    away_from_borders,
    border_agreement,
    mask_borders,
    section_runs,
)
from clew.evaluation.in_blocks import Border, overlap_tasks
from clew.evaluation.overlap import OverlapTable, overlap_table, relabel_table
from clew.evaluation.scores import Scores, best_threshold, score_table, score_thresholds
from clew.evaluation.spread import check_spread, voi_intervals
from clew.labels import Labels, without_special
from clew.pipeline._block_run import BlockWork, absolute, run_in_blocks
from clew.pipeline._calibres import calibre_rows, classes_of, overlap_by_calibre
from clew.pipeline._declare import Record, stage
from clew.pipeline._edges import refuse_other_fragments, score_edges
from clew.pipeline._files import (
    FILE_NAMES,
    open_together,
    read_ids,
    read_truth,
    refuse_existing_outputs,
    share,
    write_scores,
)
from clew.pipeline._identity import identify
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import BlockRun, Blocks, Comparison, Input, LabelComparison, Output, VoxelSize
from clew.pipeline._progress import say, warn
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import load_merge_tree, load_region_graph
from clew.segmentation.relabel import segment_lookup
from clew.space import Box, Lengths, Triple, triple
from clew.training.targets import split_components
from clew.view.figures import edge_figure, save_figure, threshold_figure
from clew.volumes.formats.nml import is_nml
from clew.volumes.formats.swc import SUFFIX as SWC_SUFFIX
from clew.volumes.open import open_volume
from clew.volumes.run_store import FileStore
from clew.volumes.volume import Volume

Curve = list[tuple[float, Scores]]
BYTES_A_VOXEL = 50
"""Memory of a worker for each voxel of a block, at most."""
SCORES = "scores.json"
LEAST_AGREEMENT = 1.5
"""Times as often as by chance. Measured on FIB-SEM: 7 to 17, shifted by 5 voxels 1.7 to 2.8, of another place 0.9 to 1.0."""


@stage
def evaluate(
    segmentation: Input,
    truth: Input,
    *,
    voxel_size: VoxelSize,
    comparison: LabelComparison,
    components: bool = False,
    region_graph: Input | None = None,
    json: str | None = None,
    plot: str | None = None,
    edge_plot: str | None = None,
    calibres: tuple[float, ...] | None = None,
    output: Output,
    record: Record,
) -> Curve:
    """Compare a segmentation with true labels: VOI, adapted Rand error, CREMI score.

    Prints a table and returns (threshold, scores) of all truth (`--border-rule cremi`: of what is left); the threshold of a
    single segmentation is NaN. They are compared where both are, by their offsets.

    Parameters
    ----------
    segmentation
        Segmentation (z, y, x), or the fragments of the merge tree.
    truth
        True neuron ids (z, y, x), of which voxels with 0 are ignored.
    components
        Split both volumes into connected components inside the box first.
    json
        Write the scores to this file.
    plot
        Write a plot of the scores over the thresholds to this PNG file.
    region_graph
        Region graph of the fragments: scores of its contacts are compared with the truth, by precision and recall.
    edge_plot
        Write a plot of precision over recall of the contacts to this PNG file.
    calibres
        Bounds in nm between thin, medium and thick neurites, such as 100,300: says what of VOI lies in each (with a merge
        tree, at the best threshold). The calibre of a voxel is the width of the widest ball in its neuron that holds it.
    """
    refuse_skeletons("evaluate", truth)
    refuse_overlap([segmentation, truth, comparison.merge_tree, region_graph], [json, plot, edge_plot])
    refuse_existing_outputs(output.overwrite, json, plot, edge_plot)
    if edge_plot and not region_graph:
        raise InputError("evaluate: a plot of the contacts needs --region-graph")
    if plot and not comparison.merge_tree:
        raise InputError("evaluate: a plot over the thresholds needs --merge-tree")
    pair = match_volumes(segmentation, truth, comparison.box, voxel_size.voxel_size)
    work = "evaluate --components" if components else "evaluate --border" if comparison.border else "evaluate"
    refuse_too_large(work, segmentation, prod(pair.here.shape), 16)
    ids, labels = read_ids(pair.segmentation, pair.here), read_truth(pair.truth, pair.there)
    classes = None if calibres is None else classes_of(labels, pair.truth.voxel_size, calibres)
    labels = without_special(labels)
    if other := other_place(pair, ids, labels):
        warn(other)
    clear = graph = None
    if region_graph:
        graph, attributes = load_region_graph(region_graph)
        refuse_other_fragments(region_graph, graph, ids, pair.here == Box.whole(pair.segmentation.shape))
    if comparison.border and comparison.border_rule == "cremi":
        labels = mask_borders(labels, pair.truth.voxel_size, comparison.border)
    elif comparison.border:
        clear = away_from_borders(labels, pair.truth.voxel_size, comparison.border)
        sections = annotated_sections(labels)
    if components:
        ids, labels = ids if comparison.merge_tree or region_graph else split_components(ids), split_components(labels)
    table = overlap_table(ids, labels)
    whole = measure(table, comparison)
    edges = topology = None
    if graph is not None:
        edges = score_edges(graph, table, _used_score(comparison.merge_tree, attributes))
    if clear is not None:
        away = overlap_table(ids, np.where(clear, labels, 0))
        topology = score_topology(away, comparison, sections, int(np.count_nonzero(labels)))
    costs = None
    if calibres and classes is not None:
        tables = overlap_by_calibre(
            ids, labels if clear is None else np.where(clear, labels, 0), classes, len(calibres) + 1
        )
        costs = calibre_rows(_cut_at_best(tables, (topology or whole).curve, comparison), calibres)
    if json:
        save_scores(whole, Path(json), record, topology, edges, costs)
    if plot:
        title = "" if topology is None else f"{comparison.border:g} nm away from borders"
        save_figure(curve_figure(*(topology or whole), used_threshold(str(comparison.merge_tree)), title), plot)
    if edge_plot and edges:
        save_figure(edge_figure(edges["scores"]), edge_plot)
    return whole.curve


@stage
def evaluate_blocks(
    segmentation: Input,
    truth: Input,
    folder: str,
    *,
    voxel_size: VoxelSize,
    comparison: LabelComparison,
    blocks: Blocks,
    block_run: BlockRun,
    record: Record,
) -> None:
    """Compare a segmentation with true labels in blocks: the scores of evaluate.

    They are compared where both are, by their offsets.

    Parameters
    ----------
    segmentation
        Segmentation (z, y, x), or the fragments of the merge tree.
    truth
        True neuron ids (z, y, x), of which voxels with 0 are ignored.
    folder
        Where scores.json and the state of the run are written.
    """
    refuse_skeletons("evaluate-blocks", truth)
    run_in_blocks(
        lambda: _lay_out(segmentation, truth, Path(folder), comparison, voxel_size.voxel_size, blocks.block_shape),
        record, block_run,
    )  # fmt: skip


def refuse_skeletons(command: str, truth: str) -> None:
    """Send those who compare with skeletons to the command for it."""
    if is_nml(truth) or Path(truth).suffix.lower() == SWC_SUFFIX:
        raise InputError(f"{command} compares with labels, and {truth} holds skeletons: use clew evaluate-skeletons")


class Pair(NamedTuple):
    """Segmentation and truth, and the box of each in which both are."""

    segmentation: Volume
    truth: Volume
    here: Box
    there: Box


def score_overlap(table: OverlapTable, comparison: Comparison) -> Curve:
    """Scores of a segmentation, or of many thresholds.

    Of thresholds if the segments of the table are those of a merge tree.
    """
    if comparison.merge_tree is None:
        return [(float("nan"), score_table(table))]
    tree, _ = load_merge_tree(comparison.merge_tree)
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


def _cut_at_best(tables: Sequence[OverlapTable], curve: Curve, comparison: Comparison) -> list[OverlapTable]:
    """Tables of fragments as those of the segments at the best threshold."""
    if comparison.merge_tree is None:
        return list(tables)
    tree, _ = load_merge_tree(comparison.merge_tree)
    lookup = segment_lookup(tree, best_of(curve)[0])
    return [relabel_table(table, tree.fragments, lookup) for table in tables]


def score_topology(table: OverlapTable, comparison: LabelComparison, annotated: Mask, voxels: int) -> Measured:
    """Score what is away from borders, and say how that was measured."""
    if not len(table.counts):
        raise InputError(f"no annotated voxel is farther than {comparison.border:g} nm from a border: lower --border")
    runs = [run.stop - run.start for run in section_runs(annotated)]
    single = runs.count(1)
    kinds = [f"in 3D in {sum(runs) - single} sections"] * (single < len(runs))
    kinds += [f"in the section in {single} that are annotated singly"] * (single > 0)
    share = table.counts.sum() / voxels
    say(
        f"topology: {comparison.border:g} nm away from borders, {' and '.join(kinds)}; {share:.0%} of the annotated voxels"
    )
    return measure(table, comparison)


def best_of(curve: Curve) -> tuple[float, Scores]:
    """The threshold with the smallest VOI, and its scores."""
    return best_threshold([threshold for threshold, _ in curve], [scores for _, scores in curve])


def used_threshold(merge_tree: str) -> float | None:
    """The threshold at which the segmentation beside a merge tree was cut.

    None where there is none that was made of this tree.
    """
    with suppress(InputError):
        made = open_volume(Path(merge_tree).parent / FILE_NAMES["segmentation"]).attributes
        trees = made.get("inputs", {}).get("merge_tree")
        if made.get("stage") == "relabel" and trees == identify(merge_tree):
            return float(made["threshold"])
        if made.get("stage") == "segment-blocks":
            given = made["parameters"]["threshold"]
            return float(made["suggested_threshold"] if given is None else given)
    return None


def _used_score(merge_tree: str | None, attributes: dict[str, Any]) -> tuple[str | None, float | None]:
    """Score and threshold of the segmentation beside a merge tree.

    Without a tree they are what the network suggested.
    """
    if merge_tree is None:
        return attributes.get("suggested_score"), attributes.get("suggested_threshold")
    return load_merge_tree(merge_tree)[0].score, used_threshold(merge_tree)


def curve_figure(curve: Curve, intervals: NDArray[np.float64] | None, used: float | None, title: str = "") -> Any:
    """VOI split, merge and sum over the threshold, and the one that was used."""
    thresholds = [threshold for threshold, _ in curve]
    splits, merges = ([getattr(scores, name) for _, scores in curve] for name in ("voi_split", "voi_merge"))
    return threshold_figure(thresholds, splits, merges, chosen=used, intervals=intervals, title=title)


def match_volumes(segmentation: str, truth: str, box: str | None, voxel_size: Lengths | None) -> Pair:
    """Open segmentation and truth, and find where both are, by the offsets in nm."""
    ids, labels = open_together([segmentation, truth], voxel_size)
    part = Box.parse(box, ids.shape)
    both = share(labels, ids)
    here = both.part.overlap(part)
    if here not in (part, both.part):
        raise InputError(f"the box {part} does not lie inside {truth}, which covers {both.part} of {segmentation}")
    if here != part:
        say(f"compared where the truth lies: {here} of {segmentation}")
    return Pair(ids, labels, here, here.within(both.part).shifted(both.outer.low))


def other_place(pair: Pair, ids: Labels, labels: Labels) -> str:
    """Words for a truth that seems to be of another place; "" for others.

    Parameters
    ----------
    pair
        The volumes.
    ids, labels
        What was read of them, (z, y, x).
    """
    agreement = border_agreement(ids, labels)
    if not agreement < LEAST_AGREEMENT:
        return ""
    return (
        f"{pair.truth.source} seems to be the truth of another place, or mirrored or shifted: its borders are borders of "
        f"{pair.segmentation.source} {agreement:.1f} times as often as by chance, and about 10 times where they belong together. "
        "Look at both with clew view"
    )


def save_scores(
    whole: Measured,
    path: Path,
    record: Record,
    topology: Measured | None = None,
    edges: Any = None,
    calibres: Any = None,
) -> None:
    """Write scores as JSON, with what they were made from.

    An existing file is replaced.
    """
    further = {"topology": None if topology is None else _rows(topology), "edges": edges, "calibres": calibres}
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


def _lay_out(
    segmentation: str, truth: str, folder: Path, comparison: LabelComparison, voxel_size: Lengths | None,
    block_shape: Triple | None,
) -> BlockWork:  # fmt: skip
    """Open the inputs and lay out the run; nothing is written."""
    segmentation, truth, folder = absolute(segmentation), absolute(truth), folder.absolute()
    pair = match_volumes(segmentation, truth, comparison.box, voxel_size)
    shape = pair.there.shape
    block_shape = block_shape or even_blocks(shape)
    grid = Grid(Domain(pair.there, triple(pair.truth.shape)), block_shape)
    inputs, places = {"segmentation": segmentation, "truth": truth}, {"segmentation": pair.there.within(pair.here).low}
    store = FileStore(folder / "tables", inputs, {}, pair.truth.voxel_size, places)
    cremi = comparison.border_rule == "cremi"
    tasks = overlap_tasks(grid, Border(pair.truth.voxel_size, comparison.border, cremi) if comparison.border else None)
    return BlockWork(
        folder, store, tasks, (pair.segmentation, pair.truth), prod(shape), BYTES_A_VOXEL * prod(block_shape),
        partial(_finish, folder=folder, store=store, comparison=comparison),
        tables=(SCORES,),
    )  # fmt: skip


def _finish(record: Record, *, folder: Path, store: FileStore, comparison: LabelComparison) -> None:
    table = as_record(OverlapTable, store.load(("overlap",)))
    whole, topology = measure(table, comparison), None
    if comparison.border and comparison.border_rule == "topology":
        away, sections = as_record(OverlapTable, store.load(("topology",))), store.load(("annotated",))["sections"]
        annotated = np.bincount(sections).astype(bool)
        topology = score_topology(away, comparison, annotated, int(table.counts.sum()))
    save_scores(whole, folder / SCORES, record, topology)
