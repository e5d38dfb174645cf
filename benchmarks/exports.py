"""Processor seconds and kilobytes of each export, for a megavoxel: `python -m benchmarks.exports --data fib25_sample2.h5`.

Of its labels, in this process, one task after another; segmented from affinities made of them where fragments are wanted. The
smallest of `--repeats`, as kernels are compiled in the first.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import clew
from clew import pipeline
from clew.blockwise.workers import Pool
from clew.pipeline import _block_run
from clew.space import NEAREST_OFFSETS
from clew.volumes.affinities import affinity_attributes

DATASET, SMALLEST, NOISE = "volumes/labels/neuron_ids", 500, 35
SIZE = (10.0, 10.0, 10.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="HDF5 file in the layout of CREMI, of 10 nm")
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 160, 160), help="voxels z y x from its corner on")
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, patch.object(_block_run, "started", _started):
        labels = clew.open_volume(f"{given.data}:{DATASET}")[tuple(map(slice, given.shape))]
        write_inputs(Path(folder), np.asarray(labels, np.uint64))
        rows = [measured(Path(folder), *job, given.repeats) for job in jobs(Path(folder), given.shape)]
    print("\n".join(["| `clew export --format` | s | kB |", "|---|---|---|", *rows]))


def write_inputs(folder: Path, labels: np.ndarray) -> None:
    """The labels, and fragments with a merge tree of noisy affinities."""
    clew.save_volume(folder / "labels.zarr", labels, voxel_size=SIZE)
    inside, _ = clew.affinity_targets(labels, NEAREST_OFFSETS)
    values = np.where(inside, 215, 50) + np.random.default_rng(0).normal(0, NOISE, inside.shape)
    attributes = affinity_attributes(NEAREST_OFFSETS, "uint8")
    affinities = np.clip(values, 0, 255).astype(np.uint8)
    clew.save_volume(folder / "affinities.zarr", affinities, voxel_size=SIZE, attributes=attributes)
    pipeline.segment(str(folder / "affinities.zarr"), str(folder / "segmented"), threshold=0.5)


def jobs(folder: Path, shape: Sequence[int]) -> list[tuple[str, str, dict[str, Any], float]]:
    """For each row of the table its words, the source, the options, and megavoxels."""
    fragments = {"merge_tree": str(folder / "segmented/merge_tree.h5"), "threshold": 0.5}
    chunks = {"affinities": str(folder / "affinities.zarr"), "chunk_shape": tuple(-(-length // 2) for length in shape)}
    large, megavoxels = {"minimum_size": SMALLEST}, prod(shape) / 1e6
    of_labels = {
        "precomputed": large, "precomputed --meshes --skeletons": {"meshes": True, "skeletons": True, **large},
        "glb": large, "ply": large, "obj": large, "swc": large, "nml": large, "table": {}, "tiff": {}, "cremi": {},
    }  # fmt: skip
    of_fragments = {"webknossos": fragments, "pychunkedgraph": fragments | chunks}
    rows = [(words, "labels.zarr", more, megavoxels) for words, more in of_labels.items()]
    return rows + [(words, "segmented/fragments.zarr", more, megavoxels) for words, more in of_fragments.items()]


def measured(folder: Path, words: str, source: str, more: dict[str, Any], megavoxels: float, repeats: int) -> str:
    """A row of the table."""
    seconds, format = [], words.partition(" ")[0]
    for number in range(repeats):
        run = folder / f"{words}-{number}"
        begun = time.process_time()
        pipeline.export(str(folder / source), str(run), format=format, **more)
        seconds.append(time.process_time() - begun)
    kilobytes = sum(file.stat().st_size for file in (run / format).rglob("*") if file.is_file()) / 1000
    return f"| `{words}` | {min(seconds) / megavoxels:.2f} | {kilobytes / megavoxels:.0f} |"


@contextmanager
def _started(*_: Any, **__: Any) -> Iterator[Pool]:
    with ThreadPoolExecutor(1) as here:
        yield Pool(here, 1, "")


if __name__ == "__main__":
    main()
