"""`python -m benchmarks.study --data FOLDER --starts FOLDER --out FOLDER`: screen recipes, one after the other.

Every run goes on from the start network of its fold (`start-a.pt`, `start-b.pt`), is judged on what neither has seen, and
leaves its half-precision weights, its log and its rows. Runs that have rows are skipped, so the command goes on where it was.
"""

import argparse
import csv
import time
from pathlib import Path

import torch

from benchmarks.study.folds import VOXEL_SIZE, Fold, read_folds
from benchmarks.study.judge import append_rows, judge
from benchmarks.study.recipes import AUGMENTATION, RECIPES, STEPS, Recipe
from clew.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from clew.network.unet import UNet
from clew.training.trainer import Trainer


def main(arguments: list[str] | None = None) -> None:
    """Judge the start networks, then run and judge every recipe on every fold."""
    given = _parse(arguments)
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    chosen = [recipe for recipe in RECIPES if not given.recipes or recipe.name in given.recipes]
    for fold in read_folds(given.data):
        start = given.starts / f"start-{fold.name}.pt"
        if not start.exists() or (given.folds and fold.name not in given.folds):
            continue
        _judge_all(f"start-{fold.name}", load_checkpoint(start).network, fold, given)
        for recipe in chosen:
            name = f"{recipe.name}, {given.steps} steps, fold {fold.name}, seed {given.seed}"
            if name not in judged(given.out):
                _judge_all(name, train(recipe, fold, start, name, given), fold, given)


def train(recipe: Recipe, fold: Fold, start: Path, name: str, given: argparse.Namespace) -> UNet:
    """One run; its weights and its log are kept."""
    torch.manual_seed(given.seed)
    options = recipe.options(given.seed, given.steps)
    network = load_checkpoint(start).network
    trainer = Trainer(network, fold.training, options, AUGMENTATION, voxel_size=VOXEL_SIZE, precision=given.precision)
    began = time.process_time()
    with (given.out / "log.csv").open("a", newline="") as file:
        writer = csv.writer(file)
        for report in trainer:
            if report.step % 10 == 0:
                seconds = f"{time.process_time() - began:.0f}"
                writer.writerow([name, report.step, f"{report.voxel_loss:.4f}", f"{report.malis_loss:.4f}", seconds])
    print(f"{name}: trained in {time.process_time() - began:.0f} CPU s", flush=True)
    save_checkpoint(given.out / f"{name}.pt", Checkpoint(trainer.averaged_network, VOXEL_SIZE), half=True)
    return trainer.averaged_network


def judged(out: Path) -> set[str]:
    """Names of the networks whose rows are there."""
    path = out / "edges.csv"
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {row["network"] for row in csv.DictReader(file)}


def _judge_all(name: str, network: UNet, fold: Fold, given: argparse.Namespace) -> None:
    if name in judged(given.out):
        return
    found = [judge(network, name, test, given.precision) for test in fold.tests]
    append_rows(given.out / "rows.csv", [row for rows, _ in found for row in rows])
    append_rows(given.out / "edges.csv", [row for _, rows in found for row in rows])
    print(f"{name}: judged", flush=True)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sample volumes")
    parser.add_argument("--starts", type=Path, required=True, help="folder of start-a.pt and start-b.pt")
    parser.add_argument("--out", type=Path, required=True, help="where weights, log and rows are kept")
    parser.add_argument("--recipes", nargs="*", help="names of those to run (%(default)s: all)")
    parser.add_argument("--folds", nargs="*", help="a, b (%(default)s: both)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
