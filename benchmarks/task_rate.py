"""How many tasks a second the engine gets through: `python -m benchmarks.task_rate --tasks 100000`.

The tasks write nothing but their marks in the ledger, so all time is that of queue, scheduler, workers and ledger.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.measure import peak_bytes
from clew.blockwise.engine import run_by_ledger
from clew.blockwise.ledger import Ledger
from clew.blockwise.store import Store, TableFolder
from clew.blockwise.tasks import Task
from clew.blockwise.workers import Workers, started


def main(arguments: list[str] | None = None) -> None:
    """Run the tasks, then once more when all are done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task_rate", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="(%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    given = parser.parse_args(arguments)
    tasks = [Task(partial(_nothing, number=number), (), (("nothing", number),)) for number in range(given.tasks)]
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        with ledger.held(), started(Workers(given.workers), 0) as pool:
            ledger.begin({}, restart=False)
            for name in ("all to do", "all done"):
                start, busy = time.perf_counter(), time.process_time()
                run_by_ledger(tasks, TableFolder(Path(folder)), ledger, pool.executor, wave=pool.wave)
                seconds, busy = time.perf_counter() - start, time.process_time() - busy
                print(
                    f"{name}: {given.tasks / seconds:,.0f} tasks a second, {1e3 * busy / given.tasks:.2f} ms of CPU each in "
                    f"the scheduler, which holds {peak_bytes() / 1e6:.0f} MB",
                    flush=True,
                )


def _nothing(store: Store, *, number: int) -> None:
    pass


if __name__ == "__main__":
    main()
