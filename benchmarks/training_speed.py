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
"""Steps for each repeat."""
TARGETS = {"cpu": 1.3, "cuda": 1.15}
THREADS = 2
RECIPES = {"squared error": {"malis_weight": 0.0}, "squared error and MALIS": {"malis_after": 0}}


def measure(work: Workload, repeats: int) -> list[Table]:
    """Seconds per step of the small network with outputs of 96³ voxels, or what of it fits the workload.

    The recipes take turns, step by step on one batch, and the smallest figure counts. On a CPU, that is what two free cores
    would need: half of the CPU seconds while both work on the network, all of those in which MALIS has one core alone. On a
    GPU, two crops a step are worked through one after the other, so that one is weighed while the other is on the device.
    What is waited for is seen in steps on crops that are drawn meanwhile.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, THREADS) if device == "cpu" else before)
    factor = max(PRESETS["small"].factor)
    edge = max(factor, min(EDGE, work.labels.shape[0]) // factor * factor)
    trainers = {name: _trainer(edge, device, recipe) for name, recipe in RECIPES.items()}
    batches = {name: [trainer._prepare((0, part)) for part in range(trainer.options.accumulate)]
               for name, trainer in trainers.items()}  # fmt: skip
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in RECIPES}
    for _ in range(1 + repeats * STEPS):
        for name, trainer in trainers.items():
            start = time.process_time()
            report = trainer._take_step(iter(batches[name]))
            processor = time.process_time() - start
            on_two_cores = processor / THREADS + report.waited_for_malis * (1 - 1 / THREADS)
            spent[name].append((on_two_cores if device == "cpu" else report.seconds, report.seconds))
    running = list(islice(trainers["squared error and MALIS"], 1 + STEPS))[1:]
    torch.set_num_threads(before)
    return [_table(edge, device, {name: taken[1:] for name, taken in spent.items()}, running)]


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


def _table(edge: int, device: str, spent: dict[str, list[tuple[float, float]]], running: list[StepReport]) -> Table:
    best = {name: min(seconds for seconds, _ in taken) for name, taken in spent.items()}
    unit = "s on two cores" if device == "cpu" else "s"
    rows = [
        Row(name, seconds, unit, note=f"wall {min(wall for _, wall in spent[name]):.2f}")
        for name, seconds in best.items()
    ]
    plain, malis = best.values()
    rows.append(Row("**MALIS / squared error alone**", malis / plain, "×", TARGETS[device]))
    for waited, what in (("waited_for_crops", "crops"), ("waited_for_malis", "MALIS")):
        shares = [100 * getattr(report, waited) / report.seconds for report in running]
        rows.append(Row(f"share of a step waiting for {what}", statistics.median(shares), "%"))
    return Table(f"A training step, outputs of {edge}³, {device}, {os.cpu_count()} cores", rows)
