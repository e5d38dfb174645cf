"""What a volume larger than any measured would cost: `python -m benchmarks.scale_model FIGURES.json`.

Takes the figures of `benchmarks.scale`, fits a model to the largest run in them, and applies it to 1 TVox and 1 PVox. The
model's wall time is checked against a run of clew's own task graph, simulated with the model's times.
"""

import argparse
import heapq
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.noted import FIRST, STAGES, stage_of
from clew.blockwise.block import Domain
from clew.blockwise.grid import BYTES_A_BLOCK, Grid
from clew.blockwise.tasks import Queue
from clew.segmentation.in_blocks.agglomeration import BYTES_AN_EDGE
from clew.segmentation.in_blocks.segment import BYTES_A_PAIR, segmentation_tasks
from clew.segmentation.options import SegmentationOptions
from clew.space import Triple, triple

BLOCKS = (FIRST["forest"], FIRST["graph"], STAGES["fragments"], STAGES["segmentation"])
WHOLE = (STAGES["tree_fragments"],)
LEVELS = {STAGES["forest"]: "pairs", STAGES["graph"]: "edges"}


@dataclass(frozen=True)
class Model:
    """Costs, from one measured run.

    Parameters
    ----------
    block_shape : voxels (z, y, x)
    block : CPU seconds of one task for a block, by stage
    face : CPU seconds of the task of a face
    whole : CPU seconds a voxel, at each level, of the tasks that go through all fragments and merges, by stage
    row : CPU seconds for a pair or edge that comes up, by stage
    up : rows that go up for each voxel of a block of the lowest level with blocks on all sides, by stage
    falls : by what factor those become fewer a level, by stage
    size : bytes of a row, by stage
    peak : bytes of the largest process of the tasks of blocks
    """

    block_shape: Triple
    block: Mapping[str, float]
    face: float
    whole: Mapping[str, float]
    row: Mapping[str, float]
    up: Mapping[str, float]
    falls: Mapping[str, float]
    size: Mapping[str, float]
    peak: int

    def rows(self, stage: str, level: int) -> float:
        """Rows that one block of a level passes up."""
        return self.up[stage] * self.falls[stage] ** level * float(np.prod(self.block_shape)) * 8**level

    def seconds(self, stage: str, level: int, voxels: float) -> float:
        """CPU seconds of one task; a block of a level takes what eight of the level below pass up."""
        if stage in self.block:
            return self.block[stage]
        if stage in LEVELS:
            return self.row[stage] * 8 * self.rows(stage, level - 1)
        if stage in WHOLE:
            return self.whole[stage] * (min(voxels, float(np.prod(self.block_shape)) * 8**level) if level else voxels)
        return self.face


def fit(run: Mapping[str, Any], *, inner: bool = True) -> Model:
    """The model of one run of `benchmarks.scale`.

    What goes up is taken to be for blocks inside a volume as many times more as these have more shared faces; without
    `inner` it is taken as measured. The truth should lie between.
    """
    grid = _grid(run["shape"], run["block_shape"])
    spent: dict[tuple[str, int], list[float]] = {}
    for note in run["notes"]:
        spent.setdefault((note["stage"], note["level"]), []).append(note["seconds"])
    voxels, leaf = float(np.prod(run["shape"], dtype=np.int64)), float(np.prod(run["block_shape"]))
    row, up, falls, size = {}, {}, {}, {}
    for stage, column in LEVELS.items():
        passed = [level[column] for level in run["passed"][:-1]]
        seconds = sum(sum(times) for (name, _), times in spent.items() if name == stage)
        row[stage] = seconds / max(sum(passed), 1)
        rows = [count / (_shared(grid, level) if inner else 1) for level, count in enumerate(passed)]
        up[stage] = rows[0] / voxels
        falls[stage] = (rows[-1] / rows[0]) ** (1 / max(len(rows) - 1, 1))
        stored = sum(level["forest_bytes" if column == "pairs" else "graph_bytes"] for level in run["passed"][:-1])
        size[stage] = stored / max(sum(passed), 1)
    return Model(
        grid.block_shape,
        {stage: sum(spent[stage, 0]) / voxels * leaf for stage in BLOCKS},
        float(np.mean(spent[STAGES["face"], 0])),
        {stage: sum(sum(times) for (name, _), times in spent.items() if name == stage) / voxels / max(grid.top, 1)
         for stage in WHOLE},
        row, up, falls, size,
        max(note["peak"] for note in run["notes"] if note["stage"] in BLOCKS),
    )  # fmt: skip


def _grid(shape: Sequence[int], block_shape: Sequence[int]) -> Grid:
    return Grid(Domain.whole(shape), triple(block_shape))


def _shared(grid: Grid, level: int) -> float:
    """The part of the faces of a level's blocks that is shared with another block."""
    counts = grid.levels[level]
    return float(np.mean([1 - 1 / count for count in counts]))


def predict(model: Model, voxels: float) -> dict[str, float]:
    """Tasks, CPU seconds, bytes of tables, rows and memory of the top level, for a cube."""
    blocks = voxels / float(np.prod(model.block_shape))
    top = max(1, math.ceil(math.log2(blocks) / 3))
    joins = sum(blocks / 8**level for level in range(1, top + 1))
    # of each level the tree takes the same; two tasks of a joined block hand ids and segments down
    seconds = blocks * sum(model.block.values()) + 3 * blocks * model.face + top * voxels * sum(model.whole.values())
    seconds += 2 * joins * model.face
    # after the last merges segments are handed down and the tree is put in order, side by side
    last = model.block[STAGES["segmentation"]]
    ends = max(top * model.face + last, 8 / 7 * voxels * sum(model.whole.values()))
    stored, path = 0.0, sum(model.block.values()) - last + (top - 1) * model.face + ends
    for stage in LEVELS:
        for level in range(1, top + 1):
            task = model.seconds(stage, level, voxels)
            seconds += task * blocks / 8**level
            path += task
            stored += model.size[stage] * model.rows(stage, level - 1) * blocks / 8 ** (level - 1)
    edges = 8 * model.rows(STAGES["graph"], top - 1)
    return {
        "blocks": blocks, "tasks": blocks * (len(BLOCKS) + 3) + 5 * joins, "seconds": seconds, "path": path,
        "table_bytes": stored, "top_edges": edges, "top_bytes": edges * model.size[STAGES["graph"]],
        "top_memory": max(BYTES_AN_EDGE * edges, BYTES_A_PAIR * 8 * model.rows(STAGES["forest"], top - 1)),
        "list_bytes": BYTES_A_BLOCK * blocks,
    }  # fmt: skip


def wall_seconds(cost: Mapping[str, float], workers: int) -> float:
    """Bounds together: all the work shared evenly, and the longest chain of tasks, which nobody can share."""
    return cost["seconds"] / workers + cost["path"]


def simulate(model: Model, grid: Grid, workers: int) -> float:
    """Wall seconds of clew's tasks on so many workers, each taking the time of the model."""
    options = SegmentationOptions()
    tasks = segmentation_tasks(grid, options)
    queue, voxels = Queue(tasks), float(np.prod(grid.domain.frame, dtype=np.int64))
    running: list[tuple[float, int]] = []
    now = 0.0
    while queue.ready or running:
        while queue.ready and len(running) < workers:
            number, task = queue.take(0)
            heapq.heappush(running, (now + model.seconds(*stage_of(task.writes[0]), voxels), number))
        now, number = heapq.heappop(running)
        queue.done(number)
    return now


def report(model: Model, simulated_edge: int) -> str:
    """The predictions as Markdown."""
    lines = [
        "| volume | blocks | tasks | CPU hours | tables | edges at the top | their tables | memory of the last task |"
        " list of tasks | on 100 workers | 1000 | 10 000 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, voxels in (("1 GVox", 1e9), ("1 TVox", 1e12), ("1 PVox", 1e15)):
        cost = predict(model, voxels)
        walls = " | ".join(f"{wall_seconds(cost, workers) / 3600:.3g} h" for workers in (100, 1000, 10_000))
        lines.append(
            f"| {name} | {cost['blocks']:.3g} | {cost['tasks']:.3g} | {cost['seconds'] / 3600:.3g} |"
            f" {cost['table_bytes'] / 1e9:.3g} GB | {cost['top_edges']:.3g} | {cost['top_bytes'] / 1e9:.3g} GB |"
            f" {cost['top_memory'] / 1e9:.3g} GB | {cost['list_bytes'] / 1e9:.3g} GB | {walls} |"
        )
    lines += ["", "| simulated | workers | model | simulation |", "|---|---:|---:|---:|"]
    grid = _grid((simulated_edge,) * 3, model.block_shape)
    for workers in (10, 100, 1000):
        expected = wall_seconds(predict(model, float(simulated_edge) ** 3), workers)
        lines.append(f"| {simulated_edge}³ | {workers} | {expected:.0f} s | {simulate(model, grid, workers):.0f} s |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Fit, predict, simulate, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_model", description=__doc__)
    parser.add_argument("figures", type=Path, help="JSON of benchmarks.scale; its largest run is taken")
    parser.add_argument(
        "--simulate", type=int, default=4096, help="edge in voxels of the cube to simulate (%(default)s)"
    )
    given = parser.parse_args(arguments)
    run = max(json.loads(given.figures.read_text()), key=lambda run: np.prod(run["shape"], dtype=np.int64))
    for inner in (True, False):
        model = fit(run, inner=inner)
        print(model, report(model, given.simulate), sep="\n\n", end="\n\n")


if __name__ == "__main__":
    main()
