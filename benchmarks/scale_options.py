"""The options of `benchmarks.scale` and `benchmarks.task_memory`, and the folder in which both work."""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from clew.blockwise.grid import Grid
from clew.errors import InputError
from clew.segmentation.options import AgglomerationOptions, CutOptions, SegmentationOptions
from clew.space import Triple

SHAPES: dict[int, Triple] = {
    8: (128, 256, 256), 64: (256, 512, 512), 256: (512, 512, 1024), 1024: (1024, 1024, 1024), 4096: (1024, 2048, 2048),
}  # fmt: skip
"""By about how many megavoxels they have."""
VOLUMES = {"affinities": np.uint8, "pieces": np.uint32, "fragments": np.uint64, "segmentation": np.uint64}
BYTES_PER_VOXEL = 25
"""On disk, the tables included."""


def scale_parser(name: str, description: str | None, *, workers: int) -> argparse.ArgumentParser:
    """Options of volume, blocks and segmentation."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    add_tissue(parser)
    parser.add_argument("--sizes", type=int, nargs="+", choices=SHAPES, default=[64, 256, 1024], help="megavoxels")
    parser.add_argument("--block-shape", type=int, nargs=3, default=(256, 256, 256), metavar=("Z", "Y", "X"))
    parser.add_argument("--workers", type=int, default=workers, help="processes (%(default)s)")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--floor", type=float, default=0.0, help="of the merge tree")
    parser.add_argument("--minimum-size", type=int, default=0, help="voxels; smaller segments are dust")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    return parser


def add_tissue(parser: argparse.ArgumentParser) -> None:
    """Options of the tissue, and where files lie."""
    parser.add_argument("--data", type=Path, help="folder of pinky40_labels.h5; without, labels are synthetic")
    parser.add_argument(
        "--base", type=int, default=512, help="edge in voxels of the cube that is mirrored (%(default)s)"
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="for files while it runs")


def segmentation_options(given: argparse.Namespace) -> SegmentationOptions:
    """The segmentation that was asked for."""
    cut = CutOptions(given.threshold, given.minimum_size)
    return SegmentationOptions(agglomeration=AgglomerationOptions(floor=given.floor), cut=cut)


@contextmanager
def scale_folder(parent: Path, grid: Grid) -> Iterator[Path]:
    """A folder with empty volumes for a grid, removed at the end."""
    shape = grid.domain.box.shape
    needed, free = BYTES_PER_VOXEL * np.prod(shape, dtype=np.int64), shutil.disk_usage(parent).free
    if needed > free:
        raise InputError(f"{needed / 1e9:.0f} GB are needed in {parent}, {free / 1e9:.0f} are free: give a --folder")
    with tempfile.TemporaryDirectory(prefix="clew-scale-", dir=parent) as folder:
        for name, dtype in VOLUMES.items():
            open_memmap(f"{folder}/{name}.npy", "w+", dtype, (3, *shape) if name == "affinities" else shape)
        yield Path(folder)
