"""A large real volume in two shapes of block: `python -m benchmarks.verify_large --data FOLDER --folder OUTPUT`.

Predicts the affinities of the unannotated FIB-SEM volume once and segments them in blocks of each shape, by the commands that users
give; stopped, it goes on where it was. Fragments, merge tree and segmentation must be identical.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

from clew import pipeline
from clew.pipeline._tables import load_merge_tree
from clew.space import Triple, triple
from clew.volumes.open import open_volume

RAW = "fib25_large_raw.h5"
SHAPES = ("256,256,256", "144,352,528")
COLUMNS = ("fragments", "sizes", "merges", "scores")


def main(arguments: list[str] | None = None) -> None:
    """Predict what is missing, segment in each shape of block, compare; SystemExit where anything differs."""
    given = _parse(arguments)
    prediction = given.folder / "prediction"
    pipeline.predict_blocks(str(given.data / RAW), str(prediction), box=given.box, workers=given.workers)
    folders = [given.folder / "x".join(map(str, shape)) for shape in given.block_shapes]
    for shape, folder in zip(given.block_shapes, folders, strict=True):
        pipeline.segment_blocks(
            str(prediction / "affinities.zarr"), str(folder), block_shape=shape, workers=given.workers
        )
    differences = [line for folder in folders[1:] for line in compare(folders[0], folder)]
    print("\n".join(differences) or "identical: fragments, merge tree, segmentation", flush=True)
    if differences:
        raise SystemExit(1)
    for folder in folders:
        shutil.rmtree(folder)


def compare(one: Path, other: Path) -> list[str]:
    """What is not identical in the folders of two runs."""
    found = []
    for name in ("fragments", "segmentation"):
        volumes = [open_volume(folder / f"{name}.zarr") for folder in (one, other)]
        slabs = [slice(start, start + 64) for start in range(0, volumes[0].shape[0], 64)]
        count = sum(int(np.count_nonzero(volumes[0][slab] != volumes[1][slab])) for slab in slabs)
        if count:
            found.append(f"the {name} of {one.name} and {other.name} differ in {count} voxels")
    trees = [load_merge_tree(str(folder / "merge_tree.h5"))[0] for folder in (one, other)]
    names = [name for name in COLUMNS if not np.array_equal(*(getattr(tree, name) for tree in trees))]
    return found + [f"the {name} of the merge trees of {one.name} and {other.name} differ" for name in names]


def parse_shape(text: str) -> Triple:
    """A shape that is written as z,y,x."""
    return triple(map(int, text.split(",")))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify_large", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"folder of {RAW}")
    parser.add_argument("--folder", type=Path, required=True, help="where the affinities stay (3 bytes a voxel)")
    parser.add_argument("--box", help="part of the volume, z0:z1,y0:y1,x0:x1 (%(default)s: all of it)")
    parser.add_argument(
        "--block-shapes", type=parse_shape, nargs="+", default=[parse_shape(text) for text in SHAPES], metavar="Z,Y,X"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: as many as cores and memory allow")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
