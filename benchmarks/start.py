"""How soon something comes back from a new process, with a warm numba cache."""

import os
import subprocess
import sys
import time

from benchmarks.measure import Row, Table
from benchmarks.workload import Workload

FIRST_RESULT = """
import numpy
import clew
affinities = numpy.random.default_rng(0).integers(0, 256, (3, 64, 64, 64), numpy.uint8)
clew.extract_fragments(affinities)
"""
HELP = ["-c", "from clew.cli import main; main(['--help'])"]
JOBS = {
    "import clew, extract_fragments of 64³": (["-c", FIRST_RESULT], 1.5),
    "clew --help": (HELP, 0.3),
    "the interpreter alone": (["-c", "pass"], None),
    "import numpy alone": (["-c", "import numpy"], None),
}


def measure(work: Workload, repeats: int) -> list[Table]:
    """CPU seconds of the whole process, judged; wall seconds beside, which other load on the machine lengthens."""
    rows = []
    for name, (arguments, target) in JOBS.items():
        runs = [_run(arguments) for _ in range(repeats + 1)]
        cpu, wall = min(run[0] for run in runs), min(run[1] for run in runs)
        rows.append(Row(name, cpu, "CPU s", target, f"wall {wall:.2f} s"))
    return [Table("Start of a new process (numba cache warm)", rows)]


def _run(arguments: list[str]) -> tuple[float, float]:
    """CPU and wall seconds."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return usage.ru_utime + usage.ru_stime, wall
