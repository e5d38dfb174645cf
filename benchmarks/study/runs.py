"""One training of the study: it goes on where it was, and leaves its half-precision weights and its log."""

import csv
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.study.folds import Fold
from benchmarks.study.recipes import START, Recipe
from clew.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from clew.network.options import PRESETS, Precision
from clew.network.unet import UNet
from clew.training.trainer import Trainer

LOG_EVERY = 10
STATE_EVERY = 100
"""Steps between two states on the disk: a run that was cut off loses no more."""


class Run(NamedTuple):
    """A recipe on a fold, with a seed that its start network has of its own."""

    fold: Fold
    seed: int
    recipe: Recipe
    steps: int
    start_steps: int

    @property
    def name(self) -> str:
        """Under which it is kept."""
        kind, fold = self.fold.kind.name, self.fold.name
        steps = "" if self.recipe is START else f", {self.steps} steps"
        return f"{kind}, fold {fold}, seed {self.seed}, {self.recipe.name}{steps}"

    @property
    def start(self) -> "Run":
        """The run that made the network from which this one goes on."""
        return self._replace(recipe=START, steps=self.start_steps)


def trained(run: Run, out: Path, precision: Precision) -> UNet:
    """The network of a run, which is trained unless it was kept; its start network, too."""
    kept = out / "weights" / f"{run.name}.pt"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        network = _first_network(run) if run.recipe is START else trained(run.start, out, precision)
        network = _train(run, network, out, precision)
        save_checkpoint(kept, Checkpoint(network, run.fold.kind.voxel_size), half=True)
    return load_checkpoint(kept).network


def _first_network(run: Run) -> UNet:
    torch.manual_seed(run.seed)
    return UNet(PRESETS[run.fold.kind.preset])


def _train(run: Run, network: UNet, out: Path, precision: Precision) -> UNet:
    fold = run.fold
    options = run.recipe.options(run.seed, run.steps, fold.kind)
    torch.manual_seed(run.seed)
    trainer = Trainer(
        network, fold.training, options, fold.kind.augmentation, voxel_size=fold.kind.voxel_size, precision=precision
    )
    unfinished = out / f"{run.name}.unfinished"
    if unfinished.exists():
        trainer.load_state(torch.load(unfinished, weights_only=True))
    _take_steps(trainer, run.name, unfinished, out / "log.csv")
    unfinished.unlink(missing_ok=True)
    return trainer.averaged_network


def _take_steps(trainer: Trainer, name: str, unfinished: Path, log: Path) -> None:
    began = time.process_time()
    for report in trainer:
        if report.step % LOG_EVERY == 0:
            seconds = f"{time.process_time() - began:.0f}"
            append_row(log, [name, report.step, f"{report.voxel_loss:.4f}", f"{report.malis_loss:.4f}", seconds])
        if report.step % STATE_EVERY == 0:
            torch.save(trainer.state(), unfinished)
            print(f"{name}: step {report.step} of {trainer.options.steps}", flush=True)
    print(f"{name}: {time.process_time() - began:.0f} CPU seconds", flush=True)


def append_row(path: Path, row: Iterable[object]) -> None:
    """Add a row to a table of comma-separated values."""
    with path.open("a", newline="") as file:
        csv.writer(file).writerow(row)
