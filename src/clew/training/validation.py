"""Validation by segmentation: it asks how good the neurons are.

It does not ask how small the loss is.

Source: arXiv 1709.02974, section 4.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_box
from clew.evaluation.overlap import overlap_table
from clew.evaluation.scores import Scores, best_threshold, score_thresholds
from clew.network.options import PredictionOptions
from clew.network.prediction import predict_affinities
from clew.network.unet import UNet
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.segmentation.relabel import segment_lookup
from clew.segmentation.segment import build_merge_tree
from clew.space import Box
from clew.training.targets import split_components

THRESHOLDS = np.linspace(0.0, 1.0, 101)


class Validation(NamedTuple):
    """The best threshold on a held-out part and the scores there."""

    threshold: float
    scores: Scores


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
    box, margin = as_box(box, raw.shape, "box"), (surroundings, surroundings, surroundings)
    wide = box.grown(margin, margin, inside=Box.whole(raw.shape))
    affinities = predict_affinities(network, raw, box=wide, options=prediction_options)
    fragments, _, tree = build_merge_tree(
        affinities, fragment_options=fragment_options, agglomeration_options=agglomeration_options
    )
    table = overlap_table(fragments[box.within(wide)], split_components(labels[box]))
    scores = score_thresholds(table, tree.fragments, (segment_lookup(tree, float(t)) for t in THRESHOLDS))
    return Validation(*best_threshold([float(t) for t in THRESHOLDS], scores))
