"""Is this tree as fast as another revision? `python -m benchmarks.against REVISION`, on an otherwise idle machine.

One process for each revision; every job runs in both in turn, in changing order, many times. Ratios of CPU seconds are given with
their 95 % interval over the turns: a job is slower where the interval lies above 1.03.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.stats import t

from benchmarks.same_arrays import ROOT, worktree
from benchmarks.workload import load_workload

SLOWER = 1.03
TURNS = 20


class Side:
    """The process of one revision."""

    def __init__(self, tree: Path, files: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
        call = [sys.executable, str(ROOT / "benchmarks" / "turns.py"), str(files)]
        self._process = subprocess.Popen(
            call, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.jobs = self._answer().split(";")

    def turn(self, job: str) -> float:
        """CPU seconds of one turn of a job."""
        assert self._process.stdin is not None
        print(job, file=self._process.stdin, flush=True)
        return float(self._answer())

    def end(self) -> None:
        """Let the process go."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise SystemExit("a process of the comparison ended early; its message is above")
        return line


def interval(before: list[float], now: list[float]) -> tuple[float, float, float]:
    """Geometric mean of the ratios of paired turns, and its 95 % interval."""
    logs = np.log(np.array(now) / np.array(before))
    half = t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, middle, high = np.exp(logs.mean() + np.array([-half, 0.0, half]))
    return float(middle), float(low), float(high)


def main(arguments: list[str] | None = None) -> None:
    """Print a table of ratios; SystemExit where a job is slower."""
    given = _parse(arguments)
    work = load_workload(given.size, given.data)
    np.save(work.files / "levels.npy", work.levels)
    slower = []
    with worktree(given.revision) as earlier:
        sides = [Side(tree, work.files) for tree in (earlier, ROOT)]
        print(f"| job | {given.revision}, ms | now, ms | ratio | 95 % |\n|---|---:|---:|---:|---|")
        for job in [job for job in sides[1].jobs if job in sides[0].jobs and given.only in job]:
            spent = _spent(sides, job, given.turns)
            ratio, low, high = interval(*spent)
            slower += [job] * (low > SLOWER)
            middles = " | ".join(f"{1e3 * np.median(turns):.1f}" for turns in spent)
            print(f"| {job} | {middles} | {ratio:.3f} | {low:.3f} to {high:.3f} |", flush=True)
        for side in sides:
            side.end()
    if slower:
        raise SystemExit(f"slower than {given.revision}: {'; '.join(slower)}")


def _spent(sides: list[Side], job: str, turns: int) -> tuple[list[float], list[float]]:
    """CPU seconds of both sides, the first turn of each left out."""
    spent: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns + 1):
        for number in (0, 1) if turn % 2 else (1, 0):
            spent[number].append(sides[number].turn(job))
    return spent[0][1:], spent[1][1:]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("revision", help="of git, such as f1cede6")
    parser.add_argument("--size", type=int, default=160, help="edge of the volume in voxels (%(default)s)")
    parser.add_argument("--data", type=Path, help="folder of the sample volumes (without: synthetic labels)")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--only", default="", help="jobs with this in their name")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
