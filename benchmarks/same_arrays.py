"""Are the results those of another revision, bit for bit? `python -m benchmarks.same_arrays REVISION --data FILE`.

The users' commands run in a worktree of the revision and in this tree, on the same machine: raw to segmentation, whole and in
blocks, with each kind of fragments and several scores. All arrays and tables are compared by value; times, versions and
other records are not.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import zarr

ROOT = Path(__file__).parent.parent
BOX = "20:90,40:180,60:200"
BLOCKS = "--block-shape 48,64,80 --workers 1"
COMMANDS = (
    "predict {raw} affinities.zarr --precision float32 --device cpu --box {box}",
    f"predict-blocks {{raw}} prediction --precision float32 --device cpu --box {{box}} {BLOCKS}",
    "segment affinities.zarr whole",
    f"segment-blocks affinities.zarr blocks {BLOCKS}",
    "segment affinities.zarr watershed --method affinity-watershed --score mean --threshold 0.5 --minimum-size 200",
    f"segment-blocks affinities.zarr watershed-blocks --method affinity-watershed --score mean --threshold 0.5 "
    f"--minimum-size 200 {BLOCKS}",
    "segment affinities.zarr sections --per-section --score hist_quant_50 --threshold 0.6 --remove-below 50",
    f"segment-blocks affinities.zarr sections-blocks --per-section --score hist_quant_50 --threshold 0.6 "
    f"--remove-below 50 {BLOCKS}",
    "segment affinities.zarr flood --method seeded-flood --score hist_quant_85_init_max --threshold 0.4",
    "relabel-blocks blocks relabelled --threshold 0.7 --minimum-size 100 --workers 1",
)
"""What is run, in this order, in a folder of its own."""


def main(arguments: list[str] | None = None) -> None:
    """Run both revisions and say what differs; SystemExit where anything does."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_arrays", description=__doc__)
    parser.add_argument("revision", help="of git, such as f1cede6")
    parser.add_argument("--data", type=Path, required=True, help="raw volume of 10 nm voxels (FILE.h5:volumes/raw)")
    parser.add_argument("--box", default=BOX, help="part of it (%(default)s)")
    given = parser.parse_args(arguments)
    with worktree(given.revision) as earlier:
        before, now = (results_of(tree, given.data.absolute(), given.box) for tree in (earlier, ROOT))
    differences = compare(before, now)
    print("\n".join(differences) or f"identical: {len(now)} arrays and tables as of {given.revision}", flush=True)
    if differences:
        raise SystemExit(1)


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """A checkout of a revision, as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", f"{folder}/tree", revision], check=True)
        try:
            yield Path(folder) / "tree"
        finally:
            subprocess.run([*git, "remove", "--force", f"{folder}/tree"], check=True)


def results_of(tree: Path, raw: Path, box: str) -> dict[str, str]:
    """Hashes of all arrays and table columns that the commands of a tree write."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src")}
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            words = command.format(raw=raw, box=box).split()
            print(f"{tree.name}: clew {' '.join(words)}", flush=True)
            call = [sys.executable, "-m", "clew.cli", *words]
            subprocess.run(call, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        return hashes_in(Path(folder))


def hashes_in(folder: Path) -> dict[str, str]:
    """Hash of each zarr array and HDF5 dataset below a folder, by its path."""
    found = {}
    for path in sorted(folder.rglob("zarr.json")):
        node = zarr.open(path.parent, mode="r")
        if isinstance(node, zarr.Array) and "pieces" not in path.parts[-2]:
            found[str(path.parent.relative_to(folder))] = digest(np.asarray(node[:]))
    for path in sorted(folder.rglob("*.h5")):
        with h5py.File(path) as file:
            found |= {f"{path.relative_to(folder)}:{name}": digest(np.asarray(file[name][()])) for name in file}
    return found


def digest(values: np.ndarray) -> str:
    """Hash of type, shape and values."""
    head = f"{values.dtype.str} {values.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(values).tobytes()).hexdigest()


def compare(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """What is not there in both, or is not the same."""
    lost = [f"missing: {name}" for name in before if name not in now]
    new = [f"new: {name}" for name in now if name not in before]
    return lost + new + [f"different: {name}" for name in before if name in now and before[name] != now[name]]


if __name__ == "__main__":
    main()
