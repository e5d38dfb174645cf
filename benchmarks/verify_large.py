"""A large real volume in two shapes of block: `python -m benchmarks.verify_large --data FOLDER --folder OUTPUT`.

Predicts the affinities of the unannotated FIB-SEM volume once, tile by tile (stopped, it goes on where it was; they stay in
OUTPUT), segments them in blocks of each shape over processes, and compares: fragments, merge tree and segmentation must
be identical.
"""

import argparse
import json
import multiprocessing
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from clew.blockwise.executor import run_pool, run_serial
from clew.blockwise.grid import Grid
from clew.blockwise.segment import SegmentationOptions, passed_up, segmentation_tasks
from clew.blockwise.store import FolderStore
from clew.errors import InputError
from clew.network.bundled import open_checkpoint
from clew.network.prediction import predict_tiles, tile_grid
from clew.segmentation.agglomeration_options import AgglomerationOptions
from clew.segmentation.blocks import Box, Domain, Triple, shape_of
from clew.segmentation.fragment_options import FragmentOptions
from clew.stages.boxes import parse_box, shift_box
from clew.volumes.open import open_volume
from clew.volumes.volume import Volume

RAW = "fib25_large_raw.h5"
SHAPES = ("256,256,256", "130,347,520")
OUTPUTS = {"pieces": np.uint32, "fragments": np.uint64, "segmentation": np.uint64}
CHECKPOINT = "fib-10nm"


def main(arguments: list[str] | None = None) -> None:
    """Predict what is missing, segment in each shape of block, compare; SystemExit where anything differs."""
    given = _parse(arguments)
    raw = open_volume(given.data / RAW)
    box = parse_box(given.box, raw.shape)
    given.folder.mkdir(parents=True, exist_ok=True)
    predict(raw, box, given.tile, given.folder)
    grids = [Grid(_domain(box, raw), shape) for shape in given.block_shapes]
    folders = [given.folder / "x".join(map(str, grid.block_shape)) for grid in grids]
    for grid, folder in zip(grids, folders, strict=True):
        segment(given.folder / "affinities.npy", grid, folder, given.workers)
    differences = [line for folder in folders[1:] for line in compare(folders[0], folder)]
    print("\n".join(differences) or "identical: fragments, merge tree, segmentation", flush=True)
    if differences:
        raise SystemExit(1)
    for folder in folders:
        shutil.rmtree(folder)


def predict(raw: Volume, box: Box, edge: int, folder: Path) -> None:
    """Affinities of the box into `affinities.npy`; tiles that are in the list of those done are left as they are."""
    network = open_checkpoint(CHECKPOINT).network
    done, recipe = folder / "tiles.done", {"box": str(box), "tile": edge, "checkpoint": CHECKPOINT}
    if not (folder / "recipe.json").exists():
        open_memmap(folder / "affinities.npy", "w+", np.uint8, (3, *shape_of(box)))
        done.touch()
        (folder / "recipe.json").write_text(json.dumps(recipe))
    if json.loads((folder / "recipe.json").read_text()) != recipe:
        raise InputError(f"{folder} holds another prediction: give another --folder, or remove it")
    affinities = np.load(folder / "affinities.npy", mmap_mode="r+")
    z, y, x = raw.shape
    tiles, finished = tile_grid(network.options, box, (edge,) * 3), set(done.read_text().split())
    for number, part in enumerate(tiles):
        if str(number) in finished:
            continue
        for tile in predict_tiles(network, raw.read, (z, y, x), box=part, tile=(edge,) * 3):
            affinities[(slice(None), *shift_box(tile.box, box))] = tile.affinities
        affinities.flush()
        with done.open("a") as marks:
            marks.write(f"{number}\n")
        print(f"predicted tile {number + 1} of {len(tiles)}", flush=True)


def segment(affinities: Path, grid: Grid, folder: Path, workers: int) -> None:
    """Fragments, merge tree and segmentation in blocks, from scratch, in a folder of their own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "affinities.npy").symlink_to(affinities.resolve())
    shape = tuple(high - low for low, high in zip(grid.domain.low, grid.domain.high, strict=True))
    for name, dtype in OUTPUTS.items():
        open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
    threshold = open_checkpoint(CHECKPOINT).threshold
    options = SegmentationOptions(FragmentOptions(), AgglomerationOptions(), 0.5 if threshold is None else threshold)
    store = FolderStore(folder, grid.domain)
    start = time.perf_counter()
    tasks = segmentation_tasks(grid, options)
    if workers:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            run_pool(tasks, store, pool, wave=2 * workers)
    else:
        run_serial(tasks, store)
    print(f"blocks of {grid.block_shape}: {time.perf_counter() - start:.0f} s with {workers} workers", flush=True)
    for level in passed_up(grid, store)[:-1]:
        print(f"    level {level.level}: {level.blocks} blocks passed up {level.pairs} pairs and {level.edges} edges")


def compare(one: Path, other: Path) -> list[str]:
    """What is not identical in the folders of two runs."""
    found = []
    for name in ("fragments", "segmentation"):
        planes = zip(*(np.load(folder / f"{name}.npy", mmap_mode="r") for folder in (one, other)), strict=True)
        count = sum(int(np.count_nonzero(a != b)) for a, b in planes)
        if count:
            found.append(f"the {name} of {one.name} and {other.name} differ in {count} voxels")
    with np.load(one / "tree.npz") as tree, np.load(other / "tree.npz") as other_tree:
        names = [name for name in tree.files if not np.array_equal(tree[name], other_tree[name])]
    return found + [f"the {name} of the merge trees of {one.name} and {other.name} differ" for name in names]


def _domain(box: Box, raw: Volume) -> Domain:
    low, high = (tuple(getattr(axis, end) for axis in box) for end in ("start", "stop"))
    z, y, x = raw.shape
    return Domain((low[0], low[1], low[2]), (high[0], high[1], high[2]), (z, y, x))


def _shape(text: str) -> Triple:
    z, y, x = map(int, text.split(","))
    return z, y, x


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify_large", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"folder of {RAW}")
    parser.add_argument("--folder", type=Path, required=True, help="where the affinities stay (3 bytes a voxel)")
    parser.add_argument("--box", help="part of the volume, z0:z1,y0:y1,x0:x1 (%(default)s: all of it)")
    parser.add_argument("--tile", type=int, default=128, help="edge in voxels of a predicted tile (%(default)s)")
    parser.add_argument(
        "--block-shapes", type=_shape, nargs="+", default=[_shape(text) for text in SHAPES], metavar="Z,Y,X"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes; 0: this one")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
