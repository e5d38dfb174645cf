"""The proof on anyone's data that blocks change nothing.

Segment whole and in blocks of random shapes and orders, and compare.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_pool, run_serial
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.constraints import PointConstraints
from clew.segmentation.in_blocks.constraints import Given
from clew.segmentation.in_blocks.forest import check_method
from clew.segmentation.in_blocks.segment import Undecided, memory_store, passed_up, segmentation_tasks
from clew.segmentation.in_blocks.tree import load_tree
from clew.segmentation.options import SegmentationOptions
from clew.segmentation.segment import Segmentation, segment
from clew.space import Triple, triple


@dataclass(frozen=True)
class Verification:
    """One comparison of blocks with the whole.

    Parameters
    ----------
    block_shape : voxels (z, y, x)
    workers : int
        0: one after the other in a random order.
    differences : tuple of str
        What is not identical; nothing, if clew keeps its word.
    passed : list of Undecided
        What each level passed up.
    """

    block_shape: Triple
    workers: int
    differences: tuple[str, ...]
    passed: list[Undecided]


def verify_blocks(
    affinities: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    cannot_link: np.ndarray | None = None,
    points: PointConstraints = PointConstraints(),
    options: SegmentationOptions,
    trials: int,
    rng: np.random.Generator,
) -> Iterator[Verification]:
    """Segment whole, then in random blocks, and compare.

    Blocks have random shapes and run in random orders or on several threads.

    Fragments, merge tree and segmentation must be identical, ids included.

    Parameters
    ----------
    affinities : (offset, z, y, x) uint8, or float in [0, 1]
    mask : (z, y, x) bool or numbers, optional
        0 where there is nothing to segment.
    cannot_link, points : as of `segment`
        Constraints, if there are any.
    options : SegmentationOptions
    trials : int
    rng : numpy.random.Generator

    Yields
    ------
    Verification
        One for each trial.

    Raises
    ------
    InputError
        For bad affinities, or options that are not exact in blocks.
    """
    check_method(options.fragments)
    shape = affinities.shape[1:]
    expected = segment(affinities, mask=mask, cannot_link=cannot_link, points=points, options=options)
    given, labels = Given(cannot_link is not None, points), {} if cannot_link is None else {"cannot_link": cannot_link}
    for _ in range(trials):
        grid = Grid(Domain.whole(shape), random_block_shape(shape, rng))
        store = memory_store(grid, affinities, mask, **labels)
        tasks = segmentation_tasks(grid, options, masked=mask is not None, given=given)
        workers = int(rng.integers(0, 4))
        if workers:
            with ThreadPoolExecutor(workers) as pool:
                run_pool(tasks, store, pool, wave=2 * workers)
        else:
            run_serial(tasks, store, rng=rng)
        yield Verification(grid.block_shape, workers, _differences(store, expected), passed_up(grid, store))


def random_block_shape(shape: Triple, rng: np.random.Generator) -> Triple:
    """A block between a sixth and the whole of the volume along each axis.

    It cuts the volume at least once where that is possible.
    """
    while True:
        block = triple(int(rng.integers(max(1, length // 6), length + 1)) for length in shape)
        if block != tuple(shape) or max(shape) == 1:
            return block


def _differences(store: MemoryStore, expected: Segmentation) -> tuple[str, ...]:
    found = [_different_voxels("fragments", store.volumes["fragments"], expected.fragments)]
    tree = expected.merge_tree
    blocks = load_tree(store, tree.score)
    for column in fields(MergeTree):
        if not np.array_equal(getattr(blocks, column.name), getattr(tree, column.name)):
            found.append(f"the {column.name} of the merge tree differ")
    found.append(_different_voxels("segmentation", store.volumes["segmentation"], expected.segmentation))
    return tuple(line for line in found if line)


def _different_voxels(name: str, found: Any, expected: np.ndarray) -> str:
    count = int(np.count_nonzero(found != expected))
    return f"the {name} differ in {count} voxels" if count else ""
