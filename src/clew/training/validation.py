"""Validation by segmentation: it asks how good the neurons are.

It does not ask how small the loss is.

Source: arXiv 1709.02974, section 4.
"""

from collections.abc import Sequence
from dataclasses import astuple
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_box
from clew.evaluation.border import annotated_sections, away_from_borders, section_runs
from clew.evaluation.overlap import overlap_table
from clew.evaluation.scores import Scores, best_threshold, score_thresholds
from clew.labels import as_labels
from clew.network.options import PredictionOptions
from clew.network.prediction import predict_affinities
from clew.network.unet import UNet
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.segmentation.relabel import relabel, segment_lookup
from clew.segmentation.segment import build_merge_tree
from clew.space import Box, Lengths
from clew.training.targets import split_components

THRESHOLDS = np.linspace(0.0, 1.0, 101)


class HeldOut(NamedTuple):
    """A part of a volume on which a network is judged.

    Parameters
    ----------
    raw : (z, y, x) uint8
        The whole volume; raw outside the box serves as context.
    labels : (z, y, x) whole numbers
        Of the whole volume.
    box : Box, or three slices
    voxel_size : (z, y, x) floats, nm
    border : float
        Truth within so many nm of a border between neurons is not scored, unless nothing is left then.
    """

    raw: NDArray[np.uint8]
    labels: NDArray
    box: Sequence[slice]
    voxel_size: Lengths = (1.0, 1.0, 1.0)
    border: float = 0.0

    def truth(self) -> NDArray[np.uint64]:
        """The neurons in the box, (z, y, x)."""
        neurons = _neurons(self.labels[Box(*self.box)])
        if self.border:
            far = np.where(away_from_borders(neurons, self.voxel_size, self.border), neurons, 0)
            neurons = far if far.any() else neurons
        return neurons


class Validation(NamedTuple):
    """The best threshold on held-out parts, and the scores there.

    `scores` are the mean over the parts, `parts` those of each; `segmentation` (z, y, x) is that of the first part at the
    threshold.
    """

    threshold: float
    scores: Scores
    parts: tuple[Scores, ...]
    segmentation: NDArray[np.uint64]


class _Segmented(NamedTuple):
    """Fragments of a part, their merge tree, and the scores at all thresholds."""

    fragments: NDArray[np.uint64]
    tree: MergeTree
    curve: list[Scores]


def validate(
    network: UNet,
    raw: NDArray[np.uint8],
    labels: NDArray,
    box: Sequence[slice],
    *,
    surroundings: int,
    prediction_options: PredictionOptions = PredictionOptions(),
    fragment_options: FragmentOptions = FragmentOptions(),
    agglomeration_options: AgglomerationOptions = AgglomerationOptions(),
) -> Validation:
    """Segment a held-out box with a network and score it at its best threshold.

    Parameters
    ----------
    network : UNet
        With valid convolutions.
    raw : (z, y, x) uint8
        Whole volume; raw outside the box serves as context.
    labels : (z, y, x) whole numbers
        Of the whole volume. They are split into connected components inside the box.
    box : Box, or three slices
        Held-out part.
    surroundings : int
        Voxels around the box that are segmented with it; only the box is scored.
    prediction_options : PredictionOptions
        How affinities are predicted.
    fragment_options : FragmentOptions
    agglomeration_options : AgglomerationOptions
        How the box is segmented; the threshold belongs to their score.

    Returns
    -------
    Validation
    """
    return validate_parts(
        network, [HeldOut(raw, labels, box)], surroundings=surroundings, prediction_options=prediction_options,
        fragment_options=fragment_options, agglomeration_options=agglomeration_options,
    )  # fmt: skip


def validate_parts(
    network: UNet,
    parts: Sequence[HeldOut],
    *,
    surroundings: int,
    prediction_options: PredictionOptions = PredictionOptions(),
    fragment_options: FragmentOptions = FragmentOptions(),
    agglomeration_options: AgglomerationOptions = AgglomerationOptions(),
) -> Validation:
    """Score a network on several held-out parts at the threshold best for all.

    That is the one of the smallest VOI sum, as the mean over the parts, each of which counts alike.

    Parameters as of `validate`.
    """
    first, *others = (
        _segment(network, part, surroundings, prediction_options, fragment_options, agglomeration_options)
        for part in parts
    )
    curves = [first.curve, *(each.curve for each in others)]
    means = [_mean(scores) for scores in zip(*curves, strict=True)]
    threshold, scores = best_threshold(THRESHOLDS.tolist(), means)
    segments = relabel(first.fragments, first.tree.fragments, segment_lookup(first.tree, threshold))
    return Validation(threshold, scores, tuple(curve[means.index(scores)] for curve in curves), segments)


def _mean(scores: Sequence[Scores]) -> Scores:
    return Scores(*np.mean([astuple(each) for each in scores], axis=0).tolist())


def _segment(
    network: UNet, part: HeldOut, surroundings: int, prediction_options: PredictionOptions, fragment_options: FragmentOptions,
    agglomeration_options: AgglomerationOptions,
) -> _Segmented:  # fmt: skip
    """Segment a part, and score it at all thresholds."""
    box, margin = as_box(part.box, part.raw.shape, "box"), (surroundings, surroundings, surroundings)
    wide = box.grown(margin, margin, inside=Box.whole(part.raw.shape))
    affinities = predict_affinities(network, part.raw, box=wide, options=prediction_options)
    fragments, _, tree = build_merge_tree(
        affinities, fragment_options=fragment_options, agglomeration_options=agglomeration_options
    )
    inner = fragments[box.within(wide)]
    table = overlap_table(inner, part._replace(box=box).truth())
    curve = score_thresholds(table, tree.fragments, (segment_lookup(tree, float(t)) for t in THRESHOLDS))
    return _Segmented(inner, tree, curve)


def _neurons(labels: NDArray) -> NDArray[np.uint64]:
    """Labels of which what is not connected inside the box counts as several neurons.

    Where single sections are annotated, nobody can tell: ids then stay as they are.
    """
    neurons = as_labels(labels, "labels")
    single = any(run.stop - run.start == 1 for run in section_runs(annotated_sections(neurons)))
    return neurons if single and len(neurons) > 1 else split_components(neurons)
