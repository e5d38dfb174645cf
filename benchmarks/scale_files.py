"""What blocks cost a user, beside the whole: `python -m benchmarks.scale_files --data FOLDER`.

The commands `clew segment` and `clew segment-blocks` on one OME-Zarr volume of affinities, in turns: CPU seconds of all their
processes, of the program and of the system, start, compression and files included. What they write must be identical.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, Table
from benchmarks.scale_options import SHAPES, add_tissue
from benchmarks.tissue import Tissue, make_base
from benchmarks.verify_large import compare, parse_shape
from clew.space import Box, Triple
from clew.volumes.save import create_volume

Seconds = tuple[float, float]
"""Of CPU, in the program and in the system."""
VOXEL_SIZE = (8.0, 8.0, 8.0)
SLAB = 64
COMMAND = "from clew.cli import main; main()"


def main(arguments: list[str] | None = None) -> dict[str, Seconds]:
    """Run the commands, compare what they wrote, print what they cost."""
    given = _parse(arguments)
    shape = SHAPES[given.size] if given.shape is None else given.shape
    whole = {} if given.blocks_only else {"whole": ["segment"]}
    jobs = whole | {
        f"blocks, {workers} workers": ["segment-blocks", "--block-shape", given.block_shape, "--workers", str(workers)]
        for workers in given.workers
    }
    with tempfile.TemporaryDirectory(prefix="clew-scale-", dir=given.folder) as folder:
        source = Path(folder) / "affinities.zarr"
        write_affinities(Tissue(make_base(given.data, given.base), shape), source)
        turns: dict[str, list[Seconds]] = {name: [] for name in jobs}
        for _ in range(given.repeats):
            for name, (command, *options) in jobs.items():
                output = Path(folder) / ("whole" if name == "whole" else "blocks")
                shutil.rmtree(output, ignore_errors=True)
                turns[name].append(spent([command, str(source), str(output), "--threshold", "0.5", *options]))
            differences = compare(Path(folder) / "whole", Path(folder) / "blocks") if whole else []
            if differences:
                raise RuntimeError("; ".join(differences))
    found = {name: min(seconds, key=sum) for name, seconds in turns.items()}
    print(table(found, shape).markdown())
    return found


def write_affinities(tissue: Tissue, path: Path) -> None:
    """Tissue as a volume, slab by slab."""
    with create_volume(path, shape=(3, *tissue.shape), dtype=np.uint8, voxel_size=VOXEL_SIZE) as volume:
        for start in range(0, tissue.shape[0], SLAB):
            slab = Box.whole(tissue.shape)._replace(z=slice(start, min(start + SLAB, tissue.shape[0])))
            volume[(slice(None), *slab)] = tissue[slab]


def spent(arguments: list[str]) -> Seconds:
    """CPU seconds of a command and of all processes that it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], check=True, capture_output=True, text=True)
    print(done.stdout.splitlines()[-1], flush=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime


def table(found: dict[str, Seconds], shape: Triple) -> Table:
    """CPU seconds of each command, and how many times those of the whole."""
    rows = []
    for name, seconds in found.items():
        rows.append(Row(name, sum(seconds), "CPU s", note=f"{seconds[0]:.1f} program, {seconds[1]:.1f} system"))
        if name != "whole" and "whole" in found:
            ratio = sum(seconds) / sum(found["whole"])
            rows.append(Row(f"{name}, beside the whole", ratio, "× its CPU seconds", 1.3))
    return Table(f"Commands with files, {'×'.join(map(str, shape))} voxels", rows)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_files", description=__doc__)
    add_tissue(parser)
    parser.add_argument("--size", type=int, choices=SHAPES, default=64, help="megavoxels")
    parser.add_argument("--shape", type=parse_shape, metavar="Z,Y,X", help="instead of a size")
    parser.add_argument("--block-shape", default="256,256,256", metavar="Z,Y,X")
    parser.add_argument("--blocks-only", action="store_true", help="where the whole does not fit in memory")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=2)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
