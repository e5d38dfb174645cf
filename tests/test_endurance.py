"""Many commands in one process leave no open files, no threads and no memory behind."""

import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

import clew
from clew import pipeline
from clew.errors import InputError

pytestmark = pytest.mark.compiled
ROUNDS = 12


def one_round(folder: Path) -> None:
    """Write, read, segment, compare and convert a small volume, and fail once."""
    volume = clew.synthesize((16, 32, 32), seed=1)
    offsets = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
    affinities = np.where(clew.affinity_targets(volume.labels, offsets)[0], 250, 20).astype(np.uint8)
    options = {"voxel_size": volume.voxel_size, "overwrite": True}
    clew.save_volume(folder / "affinities.zarr", affinities, attributes={"offsets": offsets}, **options)
    clew.save_volume(folder / "truth.h5:labels", volume.labels, **options)
    pipeline.segment(str(folder / "affinities.zarr"), str(folder), threshold=0.5, overwrite=True)
    scores = folder / "scores.json"
    scores.unlink(missing_ok=True)
    pipeline.evaluate(str(folder / "segmentation.zarr"), str(folder / "truth.h5:labels"), json=str(scores))
    pipeline.convert(str(folder / "truth.h5:labels"), str(folder / "copy.zarr"), overwrite=True)
    with pytest.raises(InputError):
        pipeline.evaluate(str(folder / "affinities.zarr"), str(folder / "truth.h5:labels"))


def test_rounds_of_work_leave_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    process, found = psutil.Process(), []
    for _ in range(ROUNDS):
        one_round(tmp_path)
        capsys.readouterr()
        found.append((process.num_fds(), threading.active_count(), process.memory_info().rss))
    files, threads, memory = zip(*found, strict=True)
    settled = ROUNDS // 3
    # what is left behind stays; a thread of a library that is just ending, or a file it has open, is gone in another round
    assert min(files[-settled:]) <= files[settled]
    assert min(threads[-settled:]) <= threads[settled]
    assert memory[-1] - memory[settled] < 30e6
