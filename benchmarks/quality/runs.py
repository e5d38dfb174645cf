"""One run of the study: train for a few steps, segment the held-out part in several ways, give the scores."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.fragments import Way, compare, ways
from benchmarks.quality.recipes import RICHEST, Recipe
from benchmarks.quality.volumes import Study
from clew.evaluation.border import away_from_borders
from clew.network.prediction import predict_affinities
from clew.network.unet import UNet
from clew.segmentation.options import FragmentOptions
from clew.training.trainer import Trainer

DUST = 500
BORDERS = (0.0, 25.0)
"""Truth is scored whole and away from borders, to tell topology from the place of membranes."""
THRESHOLDS = np.linspace(0, 1, 21).tolist()


class Row(NamedTuple):
    """Scores of one way to segment what one run predicts, at its best threshold on the held-out part."""

    volume: str
    recipe: str
    seed: int
    steps: int
    seconds: float
    fragments: str
    score: str
    threshold: float
    voi_split: float
    voi_merge: float
    adapted_rand_error: float
    border: float = 0.0
    """Truth within this distance (nm) of a border is left out of the scores."""

    @property
    def voi_sum(self) -> float:
        """VOI split and merge together, in bits."""
        return self.voi_split + self.voi_merge


def run(study: Study, recipe: Recipe, seed: int, steps: int) -> list[Row]:
    """All rows of one run."""
    torch.manual_seed(seed)
    start = time.perf_counter()
    options = recipe.training_options(seed, steps, study.per_section)
    network = UNet(recipe.network_options(study.per_section))
    trainer = Trainer(network, study.training, options, study.augmentation, voxel_size=study.voxel_size)
    for report in trainer:
        if report.step % 100 == 0:
            print(f"  step {report.step}: loss {report.loss:.4f}", flush=True)
    seconds = time.perf_counter() - start
    return list(_rows(study, recipe, seed, steps, seconds, trainer.averaged_network))


def append_rows(path: Path, rows: list[Row]) -> None:
    """Add the rows of a finished run."""
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(Row._fields)
        writer.writerows([f"{value:.4f}" if isinstance(value, float) else value for value in row] for row in rows)


def usual_way(per_section: bool) -> Way:
    """The fragments by which the recipes are compared."""
    return Way(
        "seeded forest, per section" if per_section else "seeded forest", FragmentOptions(per_section=per_section)
    )


def _rows(study: Study, recipe: Recipe, seed: int, steps: int, seconds: float, network: UNet) -> Iterator[Row]:
    affinities = predict_affinities(network, study.raw, box=study.segmented)
    for border in BORDERS:
        everything = recipe.name == RICHEST and not border
        chosen = ways(DUST) if everything else [usual_way(study.per_section)]
        truth = study.truth
        if border:
            truth = np.where(away_from_borders(truth, study.voxel_size, border), truth, 0)
        for line in compare(affinities, truth, chosen, study.scored, THRESHOLDS):
            scores = line.scores
            yield Row(
                study.name, recipe.name, seed, steps, seconds, line.way, line.score, line.threshold,
                scores.voi_split, scores.voi_merge, scores.adapted_rand_error, border,
            )  # fmt: skip
