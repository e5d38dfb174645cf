"""`python -m benchmarks.study --data FOLDER --out FOLDER`: train and judge, one run after the other.

Every run goes on from a start network of its own fold and seed, and is judged on tissue that neither has seen. What is kept
is not made again, so the command goes on where it was; `python -m benchmarks.study.compare` writes the tables.
"""

import argparse
from pathlib import Path
from typing import NamedTuple, Self

import torch

from benchmarks.study.folds import read_folds
from benchmarks.study.judge import Judge
from benchmarks.study.recipes import ARMS, RECIPES, START, STEPS, Recipe
from benchmarks.study.runs import Run, trained


class Start(NamedTuple):
    """A start network: kind of tissue, fold, seed, and its steps."""

    kind: str
    fold: str
    seed: int
    steps: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`isotropic-a-1-4000`."""
        kind, fold, seed, steps = text.split("-")
        return cls(kind, fold, int(seed), int(steps))


SCREENING = (Start("isotropic", "a", 1, 4000), Start("isotropic", "b", 2, 4000))
FRESH = (
    Start("isotropic", "a", 11, 2000), Start("isotropic", "b", 12, 2000), Start("isotropic", "a", 13, 2000),
    Start("sections", "a", 21, 2000), Start("sections", "b", 22, 2000), Start("sections", "a", 23, 2000),
)  # fmt: skip
"""Seeds that no recipe was chosen with."""


def main(arguments: list[str] | None = None) -> None:
    """Train and judge the start network, then every recipe, on every fold."""
    given = _parse(arguments)
    torch.set_num_threads(given.threads)
    folds = {(fold.kind.name, fold.name): fold for fold in read_folds(given.data)}
    for start in given.starts or (*SCREENING, *FRESH):
        for recipe in (START, *recipes_of(start, given.recipes)):
            steps = start.steps if recipe is START else given.steps
            _judge(Run(folds[start.kind, start.fold], start.seed, recipe, steps, start.steps), given)


def recipes_of(start: Start, names: list[str] | None) -> list[Recipe]:
    """Those of these names, by default all while screening, and the arms of the comparison with fresh seeds."""
    names = names or (ARMS if start in FRESH else [recipe.name for recipe in RECIPES])
    return [recipe for recipe in RECIPES if recipe.name in names]


def _judge(run: Run, given: argparse.Namespace) -> None:
    missing = [test for test in run.fold.tests if not judged_path(given.out, run, test.name).exists()]
    if not missing:
        return
    network, start = (trained(each, given.out, given.precision) for each in (run, run.start))
    for test in missing:
        Judge(start, test, given.precision).judge(network).save(judged_path(given.out, run, test.name))
    print(f"{run.name}: judged", flush=True)


def judged_path(out: Path, run: Run, test: str) -> Path:
    """Where what a run makes of a test is kept."""
    return out / "judged" / f"{run.name}; {test}.npz"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sample volumes")
    parser.add_argument("--out", type=Path, required=True, help="where weights, log and what was judged are kept")
    parser.add_argument("--starts", nargs="*", type=Start.parse, help="such as isotropic-a-1-4000 (%(default)s: all)")
    parser.add_argument("--recipes", nargs="*", help="names of those to run (%(default)s: all)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
