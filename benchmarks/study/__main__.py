"""`python -m benchmarks.study --data FOLDER --out FOLDER`: train and judge, one run after the other.

Every run goes on from a start network of its own fold and seed, and is judged on tissue that neither has seen. What is kept
is not made again, so the command goes on where it was; `python -m benchmarks.study.compare` writes the tables.
"""

import argparse
from pathlib import Path

import torch

from benchmarks.study.folds import KINDS, read_folds
from benchmarks.study.judge import Judge
from benchmarks.study.recipes import RECIPES, START, START_STEPS, STEPS
from benchmarks.study.runs import Run, trained


def main(arguments: list[str] | None = None) -> None:
    """Train and judge the start network, then every recipe, on every fold."""
    given = _parse(arguments)
    torch.set_num_threads(given.threads)
    recipes = [START, *(recipe for recipe in RECIPES if not given.recipes or recipe.name in given.recipes)]
    for fold in read_folds(given.data):
        if fold.kind.name == given.kind and fold.name == given.fold:
            for recipe in recipes:
                steps = given.start_steps if recipe is START else given.steps
                _judge(Run(fold, given.seed, recipe, steps, given.start_steps), given)


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
    parser.add_argument("--kind", choices=[kind.name for kind in KINDS], default=KINDS[0].name)
    parser.add_argument("--fold", choices=["a", "b"], default="a")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recipes", nargs="*", help="names of those to run (%(default)s: all)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--start-steps", type=int, default=START_STEPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
