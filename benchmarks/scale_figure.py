"""Memory and time over the size of the volume, drawn: `python -m benchmarks.scale_figure --time FILE… --memory FILE…`.

The files are those that `benchmarks.scale` and `benchmarks.task_memory` write with `--json`.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.figures import IMAGES
from benchmarks.noted import FIRST, STAGES
from benchmarks.scale_options import SHAPES
from benchmarks.study.figure import COLOURS, INK, LINES
from clew.view.figures import save_figure

LEVELS = {STAGES["forest"]: "fragments, levels above", STAGES["graph"]: "merges, levels above"}
BLOCKS = (*FIRST.values(), STAGES["fragments"], STAGES["segmentation"])
STEPS = {
    "fragments": (FIRST["forest"], STAGES["face"], STAGES["forest"], STAGES["final"], STAGES["fragments"]),
    "region graph and merges": (FIRST["graph"], STAGES["graph"]),
    "merge tree and lookup": tuple(STAGES[name] for name in ("tree_fragments", "tree", "totals", "segments")),
    "relabelling": (STAGES["segmentation"],),
}
Curve = tuple[Sequence[float], Sequence[float]]


def main(arguments: list[str] | None = None) -> None:
    """Read the figures and draw them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_figure", description=__doc__)
    parser.add_argument("--time", type=Path, nargs="+", required=True, help="JSON of benchmarks.scale")
    parser.add_argument("--memory", type=Path, nargs="+", required=True, help="JSON of benchmarks.task_memory")
    parser.add_argument("--image", type=Path, default=IMAGES / "scaling.png", help="(%(default)s)")
    given = parser.parse_args(arguments)
    runs = [run for file in given.time for run in json.loads(file.read_text())]
    held = {int(size): every for file in given.memory for size, every in json.loads(file.read_text()).items()}
    save_figure(draw(times(runs), memory(held)), given.image, dots_per_inch=110)


def times(runs: Iterable[dict[str, Any]]) -> dict[str, Curve]:
    """CPU seconds for a megavoxel, of each step and of all, over megavoxels; of each size the run with most workers."""
    largest = {tuple(run["shape"]): run for run in sorted(runs, key=lambda run: run["workers"])}
    shapes = sorted(largest, key=np.prod)

    def curve(stages: Sequence[str] | None) -> Curve:
        spent = [_sum(largest[shape]["notes"], stages) / _megavoxels(shape) for shape in shapes]
        return [_megavoxels(shape) for shape in shapes], spent

    return {"all": curve(None)} | {name: curve(stages) for name, stages in STEPS.items()}


def memory(held: dict[int, list[dict[str, Any]]]) -> dict[str, Curve]:
    """Megabytes of the largest task of some kinds, over megavoxels."""
    sizes = sorted(held)

    def curve(kind: Callable[[dict[str, Any]], bool]) -> Curve:
        most = [max([each["anonymous"] for each in held[size] if kind(each)], default=None) for size in sizes]
        found = [(_megavoxels(SHAPES[size]), value / 1e6) for size, value in zip(sizes, most, strict=True) if value]
        return [place for place, _ in found], [value for _, value in found]

    curves = {"a block": curve(lambda each: each["stage"] in BLOCKS)}
    curves |= {name: curve(lambda each, stage=stage: each["stage"] == stage) for stage, name in LEVELS.items()}  # type: ignore[misc]
    return curves | {"tables handed down, merge tree": curve(lambda each: each["stage"] not in (*BLOCKS, *LEVELS))}


def draw(spent: dict[str, Curve], held: dict[str, Curve]) -> Figure:
    """Two panels."""
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _panel(left, held, "memory of the largest task of each kind, MB")
    _panel(right, spent, "CPU seconds for a megavoxel")
    return figure


def _panel(axis: Axes, curves: dict[str, Curve], title: str) -> None:
    for (name, (places, values)), colour in zip(curves.items(), (INK, *COLOURS), strict=False):
        axis.plot(places, values, "o-", color=colour, ms=4, lw=1.6, label=name)
    places = sorted({place for places, _ in curves.values() for place in places})
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(places))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([f"{place:.0f}" for place in places])
    axis.set(title=title, xlabel="megavoxels")
    axis.set_ylim(0, 1.35 * max(value for _, values in curves.values() for value in values))
    axis.title.set_fontsize(10)
    axis.grid(axis="y", color=LINES, lw=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)


def _sum(notes: Iterable[dict[str, Any]], stages: Sequence[str] | None) -> float:
    return sum(note["seconds"] for note in notes if stages is None or note["stage"] in stages)


def _megavoxels(shape: Sequence[int]) -> float:
    return float(np.prod(shape, dtype=np.int64)) / 1e6


if __name__ == "__main__":
    main()
