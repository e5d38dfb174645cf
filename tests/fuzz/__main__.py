"""Try many seeds: `python -m fuzz --seeds 0:5000`; what is wrong is written to a file, with a command that repeats it."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from fuzz.workers import try_seeds


def main() -> None:
    from fuzz.inputs import make_inputs

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:5000", help="FIRST:STOP")
    parser.add_argument("--inputs", type=Path, help="folder of the valid inputs; made where it is not there")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings.txt"))
    options = parser.parse_args()
    first, _, stop = options.seeds.partition(":")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="clew-fuzz-") as folder:
        good, scratch = Path(folder) / "good", Path(folder)
        good = options.inputs or good
        if not good.exists():
            make_inputs(good)
        count, found = 0, []
        for case in try_seeds(range(int(first), int(stop or int(first) + 1)), good, scratch):
            count += 1
            if case.finding:
                found.append(case)
                print(f"seed {case.seed}: {case.name}: {case.finding.strip().splitlines()[-1][:150]}", flush=True)
    repeats = "".join(f"{case}\n  repeat: python -m fuzz --seeds {case.seed}\n\n" for case in found)
    options.findings.write_text(repeats)
    print(f"{count} seeds in {time.perf_counter() - start:.0f} s: {len(found)} findings, in {options.findings}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
