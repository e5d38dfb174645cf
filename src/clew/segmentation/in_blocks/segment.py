"""From affinities to a segmentation in blocks.

All tasks, and what each level passes up.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore, Store, Table
from clew.blockwise.tasks import Task, run_serial
from clew.segmentation.fragments import SEEDED_BY_IDS, check_options
from clew.segmentation.in_blocks.agglomeration import BYTES_AN_EDGE, agglomeration_tasks, reducible_score
from clew.segmentation.in_blocks.constraints import Given
from clew.segmentation.in_blocks.flood import flood_tasks
from clew.segmentation.in_blocks.fragments import fragment_tasks
from clew.segmentation.in_blocks.relabel import relabel_tasks
from clew.segmentation.options import CutOptions, SegmentationOptions
from clew.space import Triple

EDGES_A_VOXEL = 0.00087
"""Edges that blocks of 256³ pass up for each voxel of neuropil at 8 nm. The affinity watershed makes a hundred times more."""
PAIRS_A_FACE_VOXEL, BYTES_A_PAIR = 1.42, 200
"""Pairs of the forest that blocks pass up, times the length of their edges, for each voxel, in the same tissue; memory for each."""


@dataclass(frozen=True)
class Undecided:
    """What the blocks of one level could not decide.

    Pairs of the forest, edges of the region graph, and their bytes.
    """

    level: int
    blocks: int
    pairs: int
    forest_bytes: int
    edges: int
    graph_bytes: int
    merges: int

    @property
    def words(self) -> str:
        """What went up, as a line of text."""
        return (
            f"level {self.level}: {self.blocks} blocks passed up {self.pairs} pairs of the forest"
            f" ({self.forest_bytes / 1e6:.2f} MB) and {self.edges} edges ({self.graph_bytes / 1e6:.2f} MB)"
        )


def bytes_of_last_level(grid: Grid) -> int:
    """About the memory of the largest task that joins blocks.

    Before anything is known of them.

    The lowest level passes up `EDGES_A_VOXEL`, and no level above more than it got. The exact number is known, and checked
    against the free memory, before edges are merged. Pairs of the forest are those at the faces of blocks.
    """
    if not grid.top:
        return 0
    voxels, edge = prod(grid.domain.box.shape), prod(grid.block_shape) ** (1 / 3) * 2 ** (grid.top - 1)
    return round(voxels * max(BYTES_AN_EDGE * EDGES_A_VOXEL, BYTES_A_PAIR * PAIRS_A_FACE_VOXEL / edge))


def check_segmentation(options: SegmentationOptions) -> None:
    """Refuse, before any work, what cannot be done in blocks."""
    check_options(options.fragments)
    reducible_score(options.agglomeration.score)


def is_flood(options: SegmentationOptions) -> bool:
    """Whether fragments are approximate at block borders."""
    return options.fragments.method == "seeded-flood"


def segmentation_tasks(
    grid: Grid, options: SegmentationOptions, *, masked: bool = False, given: Given = Given()
) -> list[Task]:
    """All tasks from affinities to fragments, the tree and the segmentation.

    They write `fragments`, the table ("tree",) and `segmentation`.
    """
    if is_flood(options):
        fragments = flood_tasks(grid, options.fragments, masked=masked)
    else:
        labelled = given.labelled and options.fragments.method == SEEDED_BY_IDS
        fragments = fragment_tasks(
            grid, options.fragments, masked=masked, labelled=labelled, cannot_link=given.points.cannot_link
        )
    return [
        *fragments,
        *agglomeration_tasks(grid, options.agglomeration, given),
        *relabel_tasks(grid, options.cut, score=options.agglomeration.score, constrained=bool(given)),
    ]


def memory_store(grid: Grid, affinities: Any, mask: Any = None, **more: Any) -> MemoryStore:
    """A store with empty outputs.

    The inputs are of the domain, arrays or anything sliced like them.
    """
    names = {"pieces": np.uint32, "fragments": np.uint64, "segmentation": np.uint64}
    outputs = {name: np.zeros(grid.domain.box.shape, dtype) for name, dtype in names.items()}
    inputs = {"affinities": affinities} if mask is None else {"affinities": affinities, "mask": mask}
    return MemoryStore(grid.domain, {**outputs, **inputs, **more})


def passed_up(grid: Grid, store: Store, *, forests: bool = True) -> list[Undecided]:
    """What went up from each level, for the report of every run.

    A flood has no `forests`.
    """
    return [_passed(store, level, grid.places(level), forests=forests) for level in range(grid.top + 1)]


def _passed(store: Store, level: int, places: list[Triple], *, forests: bool) -> Undecided:
    """What went up from one level, with one block's tables in memory at a time."""
    pairs = forest_bytes = edges = graph_bytes = merges = 0
    for place in places:
        graph = store.load(("graph", level, *place))
        edges, graph_bytes = edges + len(graph["edges"]), graph_bytes + _bytes(graph)
        merges += len(store.load(("merges", level, *place))["levels"])
        if forests:
            forest = store.load(("forest", level, *place))
            pairs, forest_bytes = pairs + len(forest["indices"]), forest_bytes + _bytes(forest)
            forest_bytes += _bytes(store.load(("tokens", level, *place))) if level else 0
    return Undecided(level, len(places), pairs, forest_bytes, edges, graph_bytes, merges)


def _bytes(table: Table) -> int:
    return sum(values.nbytes for values in table.values())


def compile_kernels() -> None:
    """Segment a tiny volume, so that all kernels are compiled.

    One worker fills the cache of compiled kernels, and the others read it.
    """
    shape = (8, 8, 8)
    grid = Grid(Domain.whole(shape), (4, 8, 8))
    options = SegmentationOptions(cut=CutOptions(minimum_size=2))
    affinities = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    run_serial(segmentation_tasks(grid, options), memory_store(grid, affinities))
