"""A step of training: with squared error alone, with MALIS beside it, and what of it is spent waiting."""

import dataclasses
import os
import statistics
import time
from itertools import islice

import numpy as np
import torch

from benchmarks.measure import Row, Table
from benchmarks.workload import Workload
from clew.network.options import PRESETS
from clew.network.unet import UNet
from clew.synthetic.volume import synthesize
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.sampling import TrainingVolume
from clew.training.trainer import StepReport, Trainer

EDGE = 96
STEPS = 4
"""Steps of a turn; one before them does not count, because crops are prepared for it while the other recipe has its turn."""
TARGETS = {"cpu": 1.3, "cuda": 1.15}
THREADS = 2
RECIPES = {"squared error": {"malis_weight": 0.0}, "squared error and MALIS": {"malis_after": 0}}


def measure(work: Workload, repeats: int) -> list[Table]:
    """Seconds per step of the small network with outputs of 96³ voxels, or what of it fits the workload.

    The recipes take turns; the best turn of each counts, on a GPU its best step. On a CPU, that is what two free cores
    would need: half of the CPU seconds while both work on the network, all of those in which MALIS has one core alone. On a
    GPU, two crops a step are worked through one after the other, so that one is weighed while the other is on the device.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    factor = max(PRESETS["small"].factor)
    edge = max(factor, min(EDGE, work.labels.shape[0]) // factor * factor)
    trainers = {name: _trainer(edge, device, recipe) for name, recipe in RECIPES.items()}
    steps = {name: iter(trainer) for name, trainer in trainers.items()}
    reports: dict[str, list[StepReport]] = {name: [] for name in RECIPES}
    processor: dict[str, list[float]] = {name: [] for name in RECIPES}
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, THREADS) if device == "cpu" else before)
    for _ in range(repeats + 1):
        for name in RECIPES:
            next(steps[name])
            start = time.process_time()
            taken = list(islice(steps[name], STEPS))
            spent = time.process_time() - start + (THREADS - 1) * sum(step.waited_for_malis for step in taken)
            processor[name].append(spent / THREADS / STEPS)
            reports[name] += taken
    for iterator in steps.values():
        iterator.close()
    torch.set_num_threads(before)
    return [_table(edge, device, reports, processor)]


def _trainer(edge: int, device: str, recipe: dict[str, float]) -> Trainer:
    torch.manual_seed(0)
    scene = synthesize((edge + 32,) * 3)
    volume = TrainingVolume(scene.raw, scene.labels, np.ones(scene.labels.shape, bool))
    options = TrainingOptions(
        steps=10**6, crop=(edge,) * 3, margin=min(TrainingOptions.margin, edge // 4), loss="squared-error", warmup=10**6,
        accumulate=1 if device == "cpu" else 2,
    )  # fmt: skip
    options = dataclasses.replace(options, **recipe)
    return Trainer(UNet(PRESETS["small"]), [volume], options, AugmentationOptions(), device=device)


def _table(edge: int, device: str, reports: dict[str, list[StepReport]], processor: dict[str, list[float]]) -> Table:
    wall = {name: [report.seconds for report in reports[name]] for name in RECIPES}
    judged, unit = (processor, "s on two cores") if device == "cpu" else (wall, "s")
    rows = []
    for name in RECIPES:
        best = min(judged[name])
        rows.append(
            Row(name, best, unit, note=f"wall {min(wall[name]):.2f}, median {statistics.median(wall[name]):.2f}")
        )
        for waited, what in (("waited_for_crops", "crops"), ("waited_for_malis", "MALIS")):
            shares = [100 * getattr(report, waited) / report.seconds for report in reports[name]]
            rows.append(Row(f"{name}: waiting for {what}", statistics.median(shares), "%"))
    plain, malis = (min(judged[name]) for name in RECIPES)
    rows.append(Row("**MALIS / squared error alone**", malis / plain, "×", TARGETS[device]))
    return Table(f"A training step, outputs of {edge}³, {device}, {os.cpu_count()} cores", rows)
