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
from clew.evaluation.border import annotated_sections, section_runs
from clew.evaluation.overlap import overlap_table
from clew.evaluation.scores import Scores, best_threshold, score_thresholds
from clew.labels import as_labels
from clew.network.options import PredictionOptions
from clew.network.prediction import predict_affinities
from clew.network.unet import UNet
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.segmentation.relabel import segment_lookup
from clew.segmentation.segment import build_merge_tree
from clew.space import Box
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
    """

    raw: NDArray[np.uint8]
    labels: NDArray
    box: Sequence[slice]


class Validation(NamedTuple):
    """The best threshold on held-out parts, and the scores there.

    `scores` are the mean over the parts, `parts` those of each.
    """

    threshold: float
    scores: Scores
    parts: tuple[Scores, ...]


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
    curves = [
        _curve(network, part, surroundings, prediction_options, fragment_options, agglomeration_options)
        for part in parts
    ]
    means = [_mean(scores) for scores in zip(*curves, strict=True)]
    threshold, scores = best_threshold(THRESHOLDS.tolist(), means)
    return Validation(threshold, scores, tuple(curve[means.index(scores)] for curve in curves))


def _mean(scores: Sequence[Scores]) -> Scores:
    return Scores(*np.mean([astuple(each) for each in scores], axis=0).tolist())


def _curve(
    network: UNet, part: HeldOut, surroundings: int, prediction_options: PredictionOptions, fragment_options: FragmentOptions,
    agglomeration_options: AgglomerationOptions,
) -> list[Scores]:  # fmt: skip
    """Scores of a part at all thresholds."""
    raw, labels = part.raw, part.labels
    box, margin = as_box(part.box, raw.shape, "box"), (surroundings, surroundings, surroundings)
    wide = box.grown(margin, margin, inside=Box.whole(raw.shape))
    affinities = predict_affinities(network, raw, box=wide, options=prediction_options)
    fragments, _, tree = build_merge_tree(
        affinities, fragment_options=fragment_options, agglomeration_options=agglomeration_options
    )
    table = overlap_table(fragments[box.within(wide)], _neurons(labels[box]))
    return score_thresholds(table, tree.fragments, (segment_lookup(tree, float(t)) for t in THRESHOLDS))


def _neurons(labels: NDArray) -> NDArray[np.uint64]:
    """Labels of which what is not connected inside the box counts as several neurons.

    Where single sections are annotated, nobody can tell: ids then stay as they are.
    """
    neurons = as_labels(labels, "labels")
    single = any(run.stop - run.start == 1 for run in section_runs(annotated_sections(neurons)))
    return neurons if single and len(neurons) > 1 else split_components(neurons)
