"""`segment-blocks` at work: on the command line, or in threads of this process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clew import pipeline
from clew.blockwise.ledger import Ledger
from clew.blockwise.tasks import run_serial
from clew.blockwise.worker_options import Workers
from clew.blockwise.workers import Pool
from clew.pipeline import _block_run as block_run
from clew.pipeline._tables import load_merge_tree
from clew.volumes.open import open_volume

OPTIONS = {"block_shape": (16, 16, 32), "minimum_size": 20, "threshold": 0.4}
PATIENCE = 120.0


def segment_whole(affinities: Path, name: str, options: dict[str, Any]) -> Path:
    """Folder, beside the affinities, of what `segment` makes of them with the options of a run in blocks."""
    folder = affinities.parent / name
    pipeline.segment(str(affinities), str(folder), **{key: options[key] for key in options if key != "block_shape"})
    return folder


def assert_same(folder: Path, expected: Path) -> None:
    for name in ("fragments.zarr", "segmentation.zarr"):
        np.testing.assert_array_equal(open_volume(folder / name).read(), open_volume(expected / name).read())
    found, whole = (load_merge_tree(str(path / "merge_tree.h5"))[0] for path in (folder, expected))
    for column in ("fragments", "sizes", "merges", "scores"):
        np.testing.assert_array_equal(getattr(found, column), getattr(whole, column))


@contextmanager
def at_work(affinities: Path, folder: Path, *more: str) -> Iterator[subprocess.Popen]:
    command = [str(Path(sys.executable).with_name("clew")), "segment-blocks", str(affinities), str(folder), "--threshold", "0.4",
               "--minimum-size", "20", "--block-shape", "16,16,32", *more]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def wait_for(folder: Path, tasks: int, process: subprocess.Popen) -> None:
    """Until so many tasks are done."""
    end = time.monotonic() + PATIENCE
    while len(Ledger(folder).done()) < tasks:
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < end, "too slow"
        time.sleep(0.02)


def work_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are threads: what fails is not they."""

    @contextmanager
    def started(*_, **__) -> Iterator[Pool]:
        with ThreadPoolExecutor(2) as executor:
            yield Pool(executor, 8, "")

    monkeypatch.setattr(block_run, "started", started)


def work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks run in this process, in a random order: they are what is tested."""

    def work(run: block_run.BlockWork, ledger: Ledger, workers: Workers) -> block_run.Work:
        run_serial(run.tasks, run.store, rng=np.random.default_rng(0))
        for task in run.tasks:
            ledger.mark(task)
        return block_run.Work()

    monkeypatch.setattr(block_run, "_work", work)


def flip(file: Path, place: int | None = None) -> None:
    """Turn round one bit of a byte, by default in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 4
    file.write_bytes(content)


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)
