"""`clew evaluate-skeletons`: segmentation and traced neurons → scores.

Expected run length, splits and merges.
"""

import dataclasses
import math
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
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import open_sized, refuse_existing_outputs, write_scores
from clew.pipeline._options import Comparison, Input, Output, VoxelSize
from clew.pipeline._progress import say
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import load_merge_tree
from clew.segmentation.relabel import segment_lookup
from clew.space import Box, Lengths
from clew.volumes.formats.nml import is_nml, read_nml
from clew.volumes.formats.swc import read_swc, swc_files

TOLERANT = 50
"""Nodes of a skeleton in a segment up to which a merge is tolerated, by the looser of the two usual conventions."""
LISTED = 5
"""Skeletons with most errors that are named."""


class ScoresAt(NamedTuple):
    """Scores at a threshold, over all skeletons and of each.

    `tolerant` are those where a segment counts as part of a skeleton from 50 nodes on. The threshold of a single segmentation
    is NaN.
    """

    threshold: float
    scores: SkeletonScores
    errors: SkeletonErrors
    tolerant: SkeletonScores


@stage
def evaluate_skeletons(
    segmentation: Input,
    skeletons: Input,
    *,
    voxel_size: VoxelSize,
    comparison: Comparison,
    unit: Literal["nm", "um", "voxels"] | None = None,
    minimum_nodes: Annotated[int, Gt(0)] = 1,
    json: str | None = None,
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
        Traced neurons: an .nml file (also zipped), an .swc file or a folder of such, one a neuron; nodes outside the
        segmentation are left out.
    unit
        Unit of SWC, which does not say it: nm, um, or voxels of the segmentation.
    minimum_nodes
        Nodes of a skeleton that a segment must hold to count as its part, in splits and merges.
    json
        Write the scores to this file.
    """
    if not is_nml(skeletons) and not swc_files(skeletons):
        raise InputError(
            f"evaluate-skeletons compares with an .nml or .swc file, not {skeletons}: use clew evaluate for labels"
        )
    if not is_nml(skeletons) and unit is None:
        raise InputError(f"{skeletons} is SWC, which does not say its unit: give --unit nm, --unit um or --unit voxels")
    refuse_overlap([segmentation, skeletons, comparison.merge_tree], [json])
    refuse_existing_outputs(output.overwrite, json)
    nodes, traced = _read(segmentation, skeletons, unit, comparison.box, voxel_size.voxel_size)
    if comparison.merge_tree:
        tree, _ = load_merge_tree(comparison.merge_tree)
        cuts = np.linspace(0, 1, comparison.thresholds).tolist()
        found = [(cut, relabel_nodes(nodes, tree.fragments, segment_lookup(tree, cut))) for cut in cuts]
    else:
        found = [(math.nan, nodes)]
    curve = [
        ScoresAt(
            cut,
            score_skeletons(segments, traced, minimum_nodes),
            skeleton_errors(segments, traced, minimum_nodes),
            score_skeletons(segments, traced, TOLERANT),
        )
        for cut, segments in found
    ]
    _say_table(curve)
    if json:
        write_scores([_plain(row) for row in curve], Path(json), record)
    return curve


def _read(
    segmentation: str, skeletons: str, unit: str | None, box: str | None, voxel_size: Lengths | None
) -> tuple[NDArray[np.uint64], Skeletons]:
    """Segments at the nodes inside a segmentation, and the skeletons cut to it.

    The segmentation may be cut to a box.
    """
    traced = read_nml(skeletons) if is_nml(skeletons) else None
    volume = open_sized(segmentation, voxel_size)
    if traced is None:
        traced = read_swc(skeletons, {"nm": (1.0,) * 3, "um": (1e3,) * 3}.get(unit or "", volume.voxel_size))
    part = Box.parse(box, volume.shape)
    segments, inside = read_nodes(volume, traced, volume.voxel_size, volume.offset)
    if box is not None:
        first = np.array(volume.offset) + np.array([axis.start - 0.5 for axis in part]) * volume.voxel_size
        last = np.array(volume.offset) + np.array([axis.stop - 0.5 for axis in part]) * volume.voxel_size
        inside &= ((traced.positions >= first) & (traced.positions < last)).all(axis=1)
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
    return segments[inside], cut


def _say_table(curve: list[ScoresAt]) -> None:
    best = max(curve, key=lambda row: row.scores.run_length)
    say("threshold  run length µm  of perfect  splits  merges  µm per split  per merge  per error")
    for row in curve:
        scores = row.scores
        distances = (scores.split_distance, scores.merge_distance, scores.error_distance)
        mark = "  <- best" if len(curve) > 1 and row is best else ""
        say(f"{row.threshold:9.3f}  {scores.run_length / 1000:13.3f}  {scores.normalised_run_length:10.4f}  {scores.splits:6} "
            f" {scores.merges:6}  " + "  ".join(f"{value / 1000:{width}.3f}" for value, width in
                                               zip(distances, (12, 9, 9), strict=True)) + mark)  # fmt: skip
    say(
        f"{1e6 / best.scores.error_distance:.4g} errors per mm of path; a segment that holds nodes of two skeletons gives no run. "
        f"Where it counts from {TOLERANT} nodes on: run length {best.tolerant.run_length / 1000:.3f} µm, "
        f"{best.tolerant.normalised_run_length:.4f} of perfect"
    )
    errors = best.errors
    worst = np.argsort(-(errors.splits + errors.merges), kind="stable")[:LISTED]
    for number in worst[(errors.splits + errors.merges)[worst] > 0]:
        say(f"  skeleton {errors.skeletons[number]}: {errors.length[number] / 1000:.3f} µm, run length "
            f"{errors.run_length[number] / 1000:.3f} µm, {errors.splits[number]} splits, merged in "
            f"{errors.merges[number]} segments")  # fmt: skip


def _plain(row: ScoresAt) -> dict[str, Any]:
    """A row for JSON, which knows neither NaN nor infinity."""
    values = {"threshold": row.threshold, **dataclasses.asdict(row.scores)}
    columns = {name: column.tolist() for name, column in dataclasses.asdict(row.errors).items()}
    names = list(columns)
    each = [dict(zip(names, entry, strict=True)) for entry in zip(*columns.values(), strict=True)]
    values |= {
        "errors_per_mm": 1e6 / row.scores.error_distance, "run_length_50_nodes": row.tolerant.run_length,
        "normalised_run_length_50_nodes": row.tolerant.normalised_run_length,
    }  # fmt: skip
    return {name: value if math.isfinite(value) else None for name, value in values.items()} | {"skeletons": each}
