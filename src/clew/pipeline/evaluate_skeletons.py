"""`clew evaluate-skeletons`: segmentation and traced neurons → scores.

Expected run length, splits and merges.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from clew.errors import InputError
from clew.evaluation.nodes import read_nodes, relabel_nodes
from clew.evaluation.skeletons import (
    SkeletonErrors,
    Skeletons,
    SkeletonScores,
    crop_skeletons,
    score_skeletons,
    skeleton_errors,
)
from clew.evaluation.traced import merged_pairs
from clew.pipeline._constraints import LENGTHS
from clew.pipeline._curve import threshold_in_use
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import finite, open_sized, refuse_existing_outputs, write_scores
from clew.pipeline._options import Comparison, Input, Mask, Output, VoxelSize
from clew.pipeline._progress import say
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import load_merge_tree, load_region_graph
from clew.pipeline._verdicts import read_verdicts, score_traced_after
from clew.pipeline._where import Tree, check_where
from clew.pipeline._where_traced import Traced, report_traced, segments_at
from clew.ranges import Fraction
from clew.segmentation.relabel import segment_lookup
from clew.space import Box, Lengths
from clew.volumes.formats.nml import is_nml, read_nml
from clew.volumes.formats.swc import read_swc, swc_files
from clew.volumes.volume import Volume

TOLERANT = 50
"""Nodes of a skeleton in a segment up to which a merge is tolerated, by the looser of the two usual conventions."""
LISTED = 5
"""Skeletons with most errors that are named."""


class ScoresAt(NamedTuple):
    """Scores at a threshold, over all skeletons and of each.

    `tolerant` are those where a segment counts as part of a skeleton from 50 nodes on; `merged_pairs` are the pairs of skeletons
    that share a segment. The threshold of a single segmentation
    is NaN.
    """

    threshold: float
    scores: SkeletonScores
    errors: SkeletonErrors
    tolerant: SkeletonScores
    merged_pairs: int


@stage
def evaluate_skeletons(
    segmentation: Input,
    skeletons: Input,
    *,
    voxel_size: VoxelSize,
    comparison: Comparison,
    mask: Mask,
    unit: Literal["nm", "um", "voxels"] | None = None,
    minimum_nodes: Annotated[int, Gt(0)] = 1,
    json: str | None = None,
    region_graph: Input | None = None,
    where: str | None = None,
    where_table: str | None = None,
    threshold: Fraction | None = None,
    verdicts: Input | None = None,
    output: Output,
    record: Record,
) -> list[ScoresAt]:
    """Compare a segmentation with skeletons: run length, splits, merges.

    Prints a table and the skeletons with most errors, and returns the scores at each threshold.

    Parameters
    ----------
    segmentation
        Segmentation (z, y, x), or the fragments of the merge tree.
    skeletons
        Traced neurons: an .nml file, a .zip file of such, an .swc file or a folder of such, one a neuron; nodes outside the
        segmentation are left out.
    unit
        Unit of SWC, which does not say it: nm, um, or voxels of the segmentation.
    minimum_nodes
        Nodes of a skeleton that a segment must hold to count as its part, in splits and merges.
    json
        Write the scores of all thresholds to this file.
    region_graph
        Region graph of the fragments; with a merge tree, `--where` needs it to name the responsible contacts.
    where
        Write the splits and merges with the longest paths to this JSON file, for `clew view --errors`: places, and with a merge
        tree the contacts that are responsible. A pair of skeletons is one merge, however many segments it shares.
    where_table
        Write the same to this CSV file.
    threshold
        Threshold of the merge tree at which errors are looked for; by default the one that was used, or else the best.
    verdicts
        A file of `--where` or `--where-table` in which somebody filled in verdicts: `segmentation wrong`, `truth wrong` or
        `undecided`. Scores are then given after them, too.
    """
    if not is_nml(skeletons) and not swc_files(skeletons):
        raise InputError(
            f"evaluate-skeletons compares with an .nml or .swc file, not {skeletons}: use clew evaluate for labels"
        )
    if not is_nml(skeletons) and unit is None:
        raise InputError(f"{skeletons} is SWC, which does not say its unit: give --unit nm, --unit um or --unit voxels")
    refuse_overlap(
        [segmentation, skeletons, comparison.merge_tree, region_graph, mask.mask, verdicts], [json, where, where_table]
    )
    refuse_existing_outputs(output.overwrite, json, where, where_table)
    looking = where or where_table or verdicts
    if looking:
        check_where(comparison.merge_tree, region_graph, components=False)
    elif threshold is not None:
        raise InputError("evaluate-skeletons: --threshold says where errors are looked for: give --where, too")
    given, listed_at = read_verdicts(verdicts) if verdicts else ({}, None)
    volume, nodes, traced = _read(segmentation, skeletons, unit, comparison.box, mask.mask, voxel_size.voxel_size)
    tree = load_merge_tree(comparison.merge_tree)[0] if comparison.merge_tree else None

    def at_threshold(cut: float) -> ScoresAt:
        segments = nodes if tree is None else relabel_nodes(nodes, tree.fragments, segment_lookup(tree, cut))
        return _score(cut, segments, traced, minimum_nodes)

    cuts = [math.nan] if tree is None else np.linspace(0, 1, comparison.thresholds).tolist()
    curve = [at_threshold(cut) for cut in cuts]
    use = threshold_in_use(comparison.merge_tree) if comparison.merge_tree else None
    _say_table(curve, None if use is None else (use.why, at_threshold(use.threshold)))
    _say_errors(best_run(curve), traced)
    if len(curve) > 1:
        say(f"all {len(curve)} thresholds: {json or 'give --json FILE'}")
    judged = {}
    if looking:
        at = best_run(curve).threshold if use is None else use.threshold
        wanted = listed_at if threshold is None else threshold
        cut_tree = _tree(comparison.merge_tree, region_graph, at if wanted is None else wanted)
        looked_at = Traced(volume, nodes, traced, minimum_nodes)
        if verdicts:
            judged["after_verdicts"] = score_traced_after(
                segments_at(looked_at, cut_tree), traced, minimum_nodes, given, verdicts
            )
        if where or where_table:
            report_traced(looked_at, cut_tree, where, where_table, record, given)
    if json:
        write_scores([_plain(row) for row in curve], Path(json), record, judged)
    return curve


def best_run(curve: Sequence[ScoresAt]) -> ScoresAt:
    """The scores with the largest expected run length, and their threshold."""
    return max(curve, key=lambda row: row.scores.run_length)


def _tree(merge_tree: str | None, region_graph: str | None, threshold: float) -> Tree | None:
    if merge_tree is None or region_graph is None:
        return None
    return Tree(load_merge_tree(merge_tree)[0], load_region_graph(region_graph)[0], threshold)


def _read(
    segmentation: str, skeletons: str, unit: str | None, box: str | None, mask: str | None, voxel_size: Lengths | None
) -> tuple[Volume, NDArray[np.uint64], Skeletons]:
    """A segmentation, the segments at the nodes inside, and the skeletons cut to it.

    The segmentation may be cut to a box, and to a mask.
    """
    traced = read_nml(skeletons, say) if is_nml(skeletons) else None
    volume = open_sized(segmentation, voxel_size)
    if traced is None:
        traced = read_swc(skeletons, LENGTHS.get(unit or "", volume.voxel_size))
    part = Box.parse(box, volume.shape)
    segments, inside = read_nodes(volume, traced, volume.voxel_size, volume.offset)
    if box is not None:
        first = np.array(volume.offset) + np.array([axis.start - 0.5 for axis in part]) * volume.voxel_size
        last = np.array(volume.offset) + np.array([axis.stop - 0.5 for axis in part]) * volume.voxel_size
        inside &= ((traced.positions >= first) & (traced.positions < last)).all(axis=1)
    if mask is not None:
        allowed = open_sized(mask, volume.voxel_size)
        inside &= read_nodes(allowed, traced, allowed.voxel_size, allowed.offset)[0] > 0
    if not inside.any():
        raise InputError(f"no node of {skeletons} lies inside {segmentation}; check voxel size and offset")
    cut = crop_skeletons(traced, inside)
    if not cut.lengths.sum() > 0:
        raise InputError(
            f"no edge of {skeletons} has a length inside {segmentation}; check unit, voxel size and offset"
        )
    count = len(np.unique(cut.skeletons))
    outside = f"; {np.count_nonzero(~inside)} nodes lie outside and are left out" if not inside.all() else ""
    say(f"{count} skeletons, {cut.lengths.sum() / 1000:.4g} µm, {len(cut.positions)} nodes{outside}")
    return volume, segments[inside], cut


def _score(threshold: float, segments: NDArray[np.uint64], traced: Skeletons, minimum_nodes: int) -> ScoresAt:
    return ScoresAt(
        threshold,
        score_skeletons(segments, traced, minimum_nodes),
        skeleton_errors(segments, traced, minimum_nodes),
        score_skeletons(segments, traced, TOLERANT),
        merged_pairs(segments, traced, minimum_nodes),
    )


def _say_table(curve: Sequence[ScoresAt], in_use: tuple[str, ScoresAt] | None) -> None:
    """Scores as a table: of many thresholds only the best, and the one in use."""
    say(
        " " * 9
        + "threshold  run length nm  of perfect  splits  merges  pairs  µm per split  per merge  per error  errors per mm"
    )
    say(_line("best" if len(curve) > 1 else "", best_run(curve)))
    if in_use is not None:
        say(_line(*in_use))


def _line(name: str, row: ScoresAt) -> str:
    scores = row.scores
    at = "" if math.isnan(row.threshold) else f"{row.threshold:.3f}"
    distances = zip((scores.split_distance, scores.merge_distance, scores.error_distance), (12, 9, 9), strict=True)
    each = "  ".join(f"{value / 1000:{width}.3f}" for value, width in distances)
    return (
        f"{name:8} {at:>9}  {scores.run_length:13.0f}  {scores.normalised_run_length:10.4f}  {scores.splits:6}  {scores.merges:6}  "
        f"{row.merged_pairs:5}  {each}  {1e6 / scores.error_distance:13.4g}"
    )


def _say_errors(best: ScoresAt, traced: Skeletons) -> None:
    """The conventions of the run length, and the skeletons with most errors."""
    say(
        "expected run length: the path that one segment holds, from a random point of a skeleton; a segment that holds nodes of "
        "two skeletons gives none"
    )
    for tolerance, first, scores in ((0, 1, best.scores), (TOLERANT, TOLERANT, best.tolerant)):
        say(
            f"  merge tolerance {tolerance} (merges count from {first} node{'s' * (first > 1)} on): {scores.run_length:.0f} nm, "
            f"{scores.normalised_run_length:.4f} of a perfect segmentation"
        )
    say("per error: inter-error distance as of SegEM; pairs: of skeletons that share a segment, each counted once")
    errors = best.errors
    worst = np.argsort(-(errors.splits + errors.merges), kind="stable")[:LISTED]
    for number in worst[(errors.splits + errors.merges)[worst] > 0]:
        say(f"  skeleton {errors.skeletons[number]}: {errors.length[number] / 1000:.3f} µm, run length "
            f"{errors.run_length[number] / 1000:.3f} µm, {errors.splits[number]} splits, merged in "
            f"{errors.merges[number]} segments")  # fmt: skip


def _plain(row: ScoresAt) -> dict[str, Any]:
    """A row for JSON."""
    values = {"threshold": row.threshold, **dataclasses.asdict(row.scores)}
    columns = {name: column.tolist() for name, column in dataclasses.asdict(row.errors).items()}
    names = list(columns)
    each = [dict(zip(names, entry, strict=True)) for entry in zip(*columns.values(), strict=True)]
    values |= {"merged_pairs": row.merged_pairs, "errors_per_mm": 1e6 / row.scores.error_distance}
    values |= {
        f"{name}_{TOLERANT}_nodes": getattr(row.tolerant, name) for name in ("run_length", "normalised_run_length")
    }
    return finite(values) | {"skeletons": each}
