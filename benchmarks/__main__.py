"""`python -m benchmarks`: speed and memory, printed as Markdown, each figure beside its target."""

import argparse
import dataclasses
import importlib
import json
import platform
from pathlib import Path

from benchmarks.measure import Table
from benchmarks.workload import Workload, load_workload

CONCERNS = {
    "fragments": "fragment_speed",
    "graph": "graph_speed",
    "malis": "malis_speed",
    "memory": "memory",
    "peers": "peers",
    "start": "start",
    "prediction": "prediction_speed",
    "training": "training_speed",
}


def main(arguments: list[str] | None = None) -> list[Table]:
    """Run the chosen concerns one after the other and print each table as soon as it is there."""
    given = _parse(arguments)
    work = load_workload(given.size, given.data)
    print(f"{given.size}³ voxels from {work.origin}; Python {platform.python_version()}, {platform.machine()}\n")
    tables: list[Table] = []
    for concern in given.only or CONCERNS:
        found = measure(concern, work, given.repeats)
        print("\n".join(table.markdown() for table in found), flush=True)
        tables += found
        if given.json:
            given.json.write_text(json.dumps([dataclasses.asdict(table) for table in tables], indent=1) + "\n")
    return tables


def measure(concern: str, work: Workload, repeats: int) -> list[Table]:
    """Tables of one concern."""
    found: list[Table] = importlib.import_module(f"benchmarks.{CONCERNS[concern]}").measure(work, repeats)
    return found


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", type=int, default=250, help="edge of the cube in voxels (%(default)s)")
    parser.add_argument(
        "--data", type=Path, help="folder of fib25_sample2.h5, for real labels instead of synthetic ones"
    )
    parser.add_argument("--only", nargs="+", choices=CONCERNS, help="these tables only")
    parser.add_argument("--repeats", type=int, default=3, help="the smallest of so many is shown (%(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
