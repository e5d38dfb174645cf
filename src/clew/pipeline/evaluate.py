"""`clew evaluate`, `clew evaluate-blocks`: segmentation and truth → scores.

The truth is true labels; scores are a table, JSON and a plot.
"""

from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.blockwise.store import as_record
from clew.errors import InputError
from clew.evaluation.border import (
    Mask,
    annotated_sections,
    away_from_borders,
    mask_borders,
    section_runs,
)
from clew.evaluation.in_blocks import Border, overlap_tasks
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.labels import without_special
from clew.pipeline._block_run import BlockWork, absolute, run_in_blocks
from clew.pipeline._calibres import calibre_rows, classes_of, overlap_by_calibre
from clew.pipeline._curve import (
    Curve,
    Measured,
    best_of,
    curve_figure,
    cut_at_best,
    measure,
    save_scores,
    used_threshold,
)
from clew.pipeline._declare import Record, stage
from clew.pipeline._edges import refuse_other_fragments, score_edges
from clew.pipeline._files import (
    read_ids,
    read_truth,
    refuse_existing_outputs,
)
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import BlockRun, Blocks, Input, LabelComparison, Output, VoxelSize
from clew.pipeline._pair import match_volumes, other_place
from clew.pipeline._progress import say, warn
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import load_merge_tree, load_region_graph
from clew.pipeline._verdicts import read_verdicts, score_after
from clew.pipeline._where import Compared, Tree, check_where, report_errors, table_of_segments
from clew.ranges import Fraction
from clew.space import TOPOLOGY_BORDER, Box, Lengths, Triple, triple
from clew.training.targets import split_components
from clew.view.figures import edge_figure, save_figure
from clew.volumes.formats.nml import is_nml
from clew.volumes.formats.swc import SUFFIX as SWC_SUFFIX
from clew.volumes.run_store import FileStore

BYTES_A_VOXEL = 50
"""Memory of a worker for each voxel of a block, at most."""
SCORES = "scores.json"


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
    where: str | None = None,
    where_table: str | None = None,
    threshold: Fraction | None = None,
    verdicts: Input | None = None,
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
    where
        Write the costliest splits and merges to this JSON file: places, and with a merge tree and its region graph the contacts
        that are responsible. Truth within 20 nm of borders, or `--border`, does not count.
    where_table
        Write the same to this CSV file.
    threshold
        Threshold of the merge tree at which errors are looked for; by default the one that was used, or else the best.
    verdicts
        A file of `--where` or `--where-table` in which somebody filled in verdicts: `segmentation wrong`, `truth wrong` or
        `undecided`. Scores are then given after them, too.
    """
    refuse_skeletons("evaluate", truth)
    refuse_overlap(
        [segmentation, truth, comparison.merge_tree, region_graph, verdicts],
        [json, plot, edge_plot, where, where_table],
    )
    refuse_existing_outputs(output.overwrite, json, plot, edge_plot, where, where_table)
    looking = where or where_table or verdicts
    if looking:
        check_where(comparison.merge_tree, region_graph, components)
    elif threshold is not None:
        raise InputError("evaluate: --threshold says where errors are looked for: give --where, too")
    given, listed_at = read_verdicts(verdicts) if verdicts else ({}, None)
    if edge_plot and not region_graph:
        raise InputError("evaluate: a plot of the contacts needs --region-graph")
    if plot and not comparison.merge_tree:
        raise InputError("evaluate: a plot over the thresholds needs --merge-tree")
    pair = match_volumes(segmentation, truth, comparison.box, voxel_size.voxel_size)
    options = {"components": components, "where": looking, "border": comparison.border}
    work = next((f"evaluate --{option}" for option, used in options.items() if used), "evaluate")
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
        costs = calibre_rows(cut_at_best(tables, (topology or whole).curve, comparison), calibres)
    judged = None
    if looking:
        border = comparison.border or TOPOLOGY_BORDER
        if clear is None:
            away = overlap_table(ids, np.where(away_from_borders(labels, pair.truth.voxel_size, border), labels, 0))
        tree = None
        if comparison.merge_tree and graph is not None:
            at = _threshold_of_errors(
                listed_at if threshold is None else threshold, comparison.merge_tree, (topology or whole).curve
            )
            tree = Tree(load_merge_tree(comparison.merge_tree)[0], graph, at)
        compared = Compared(pair, ids, labels, table, away, border)
        if verdicts:
            judged = score_after(table_of_segments(compared, tree), given, verdicts)
        if where or where_table:
            report_errors(compared, tree, where, where_table, record, given)
    save_scores(whole, Path(json) if json else None, record, topology, edges, costs, judged)
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


def compare(segmentation: str, truth: str) -> Compared:
    """Read a segmentation and its truth whole, with their overlap."""
    pair = match_volumes(segmentation, truth, None, None)
    ids, labels = read_ids(pair.segmentation, pair.here), without_special(read_truth(pair.truth, pair.there))
    clear = away_from_borders(labels, pair.truth.voxel_size, TOPOLOGY_BORDER)
    away = overlap_table(ids, np.where(clear, labels, 0))
    return Compared(pair, ids, labels, overlap_table(ids, labels), away, TOPOLOGY_BORDER)


def _threshold_of_errors(given: float | None, merge_tree: str, curve: Curve) -> float:
    """The threshold that was given, or used, or else is best."""
    used = used_threshold(merge_tree) if given is None else given
    return best_of(curve)[0] if used is None else used


def _used_score(merge_tree: str | None, attributes: dict[str, Any]) -> tuple[str | None, float | None]:
    """Score and threshold of the segmentation beside a merge tree.

    Without a tree they are what the network suggested.
    """
    if merge_tree is None:
        return attributes.get("suggested_score"), attributes.get("suggested_threshold")
    return load_merge_tree(merge_tree)[0].score, used_threshold(merge_tree)


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
