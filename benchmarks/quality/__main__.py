"""`python -m benchmarks.quality --data FOLDER`: run what is missing, and write the page.

Every run appends its rows to `docs/explanation/study.csv` when it is done; runs that are there are skipped, so the study
can be stopped at any time and goes on where it was. `--minutes` stops it after the run in which they are over. On a machine
of few cores two runs side by side, one for each `--volume` and with one thread each (OMP_NUM_THREADS=1), finish sooner.
"""

import argparse
import time
from pathlib import Path

from benchmarks.quality.page import PAGE, ROWS, VOLUMES, read_rows, write_page
from benchmarks.quality.recipes import RECIPES, SEEDS, STEPS
from benchmarks.quality.runs import append_rows, run
from benchmarks.quality.volumes import read_studies


def main(arguments: list[str] | None = None) -> None:
    """Take the runs seed by seed, so that every recipe has its first seed early."""
    given = _parse(arguments)
    start = time.monotonic()
    studies = [study for study in read_studies(given.data) if given.volume in (None, study.name)]
    done = {(row.volume, row.recipe, row.seed) for row in read_rows(given.rows)}
    plan = [(seed, study, recipe) for seed in SEEDS for study in studies for recipe in RECIPES]
    for seed, study, recipe in plan:
        if (study.name, recipe.name, seed) in done:
            continue
        if (time.monotonic() - start) / 60 > given.minutes:
            break
        print(f"{study.name}: {recipe.name}, seed {seed}", flush=True)
        append_rows(given.rows, run(study, recipe, seed, given.steps))
    write_page(given.page, read_rows(given.rows))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of fib25_sample2.h5")
    parser.add_argument("--volume", choices=VOLUMES, help="only the runs on this one")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each run (%(default)s)")
    parser.add_argument("--rows", type=Path, default=ROWS, help="results so far (%(default)s)")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write (%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
