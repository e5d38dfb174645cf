"""The forest of fragments: picks of voxels, and how their components join.

A whole volume is one block.

A component that reaches a face to another block is frozen: not all of its pairs are known, so that it has to wait.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Block, plane_of
from clew.kernels import components, forest, watershed
from clew.kernels._flags import HELD, OUTSIDE, SEED, SEEDED, ZERO
from clew.kernels.voxel_pairs import touching_pairs
from clew.segmentation.options import FragmentOptions
from clew.segmentation.seeds import find_seeds, find_steps, level_of
from clew.space import Box


class Picks(NamedTuple):
    """Flags and steps outward of the voxels that a block sees, (z, y, x) uint8."""

    flags: NDArray[np.uint8]
    steps: NDArray[np.uint8]


class Components(NamedTuple):
    """Components of picks by index; index 0 is none.

    Parameters
    ----------
    ids : (n + 1,) uint64
        1 + smallest voxel.
    firsts : (n + 1,) uint64
        1 + smallest voxel that has a pair strong enough, 0 for none: what will be the id of the fragment.
    kinds, frozen : (n + 1,) uint8
        What each holds; whether it has to wait.
    """

    ids: NDArray[np.uint64]
    firsts: NDArray[np.uint64]
    kinds: NDArray[np.uint8]
    frozen: NDArray[np.uint8]


class Edges(NamedTuple):
    """Pairs of voxels of two components.

    (m, 2) indices of the components, (m,) uint16 ranks, and (m,) int64 3 · voxel + channel.
    """

    ends: np.ndarray
    ranks: NDArray[np.uint16]
    indices: NDArray[np.int64]


@dataclass(frozen=True)
class Forest:
    """What is not yet decided: components, and pairs of voxels that may join them.

    Parameters
    ----------
    ids : (n,) uint64
        1 + smallest voxel of each component, ascending.
    firsts : (n,) uint64
        1 + smallest voxel that has a pair strong enough, 0 for none: what will be the id of the fragment.
    kinds : (n,) uint8
        What each holds.
    ends : (m, 2) uint64
        The ids of the components of each pair.
    ranks : (m,) uint16
    indices : (m,) int64
        3 · voxel + channel.
    """

    ids: NDArray[np.uint64]
    firsts: NDArray[np.uint64]
    kinds: NDArray[np.uint8]
    ends: NDArray[np.uint64]
    ranks: NDArray[np.uint16]
    indices: NDArray[np.int64]


class Decided(NamedTuple):
    """What came of components.

    Parameters
    ----------
    ids : (k,) uint64
        Of finished fragments (0 for none), and of components that wait.
    indices : (n + 1,) unsigned or signed integer
        Where among these ids that of each component is.
    waiting : Forest
    """

    ids: NDArray[np.uint64]
    indices: NDArray[Any]
    waiting: Forest


def pick_pairs(
    levels: np.ndarray,
    inside: np.ndarray,
    block: Block,
    context: Box,
    options: FragmentOptions,
    ids: NDArray[np.uint64] | None = None,
) -> Picks:
    """Picks and seeds of the voxels that the block sees.

    They come from the levels (and mask) of its context. What has an id is a seed, too, and holds no other.
    """
    near_box = block.grown((2, 2, 2), (1, 1, 1))
    near = near_box.within(context)
    seeded = options.method == "seeded-forest"
    steps = find_steps(levels, inside, options, near)
    flags = watershed.best_picks(
        np.ascontiguousarray(levels[(slice(None), *near)]),
        np.ascontiguousarray(inside[near]) if inside.size else inside, steps,
        level_of(options.low), watershed.NEVER if seeded else level_of(options.high), options.per_section,
    )  # fmt: skip
    seen = block.seen.within(near_box)
    flags, steps = np.ascontiguousarray(flags[seen]), np.ascontiguousarray(steps[seen])
    if seeded:
        seeds = find_seeds(levels, inside, options, block.seen.within(context))
        seeds = seeds & (steps < OUTSIDE)
        if ids is not None:
            seeds = np.where(ids != 0, np.uint8(1), seeds)
        watershed.hold_seeds(flags, np.ascontiguousarray(seeds))
    return Picks(flags, steps)


def find_components(
    flags: np.ndarray,
    indices: np.ndarray,
    block: Block,
    options: FragmentOptions,
    ids: NDArray[np.uint64] | None = None,
) -> Components:
    """Components of the picks of the voxels that the block sees.

    Each voxel's index goes into the flat `indices`. A connected piece of one id is one seed.
    """
    components.unite_links(watershed.pick_links(flags), indices)
    if options.method == "seeded-forest":
        deepest = flags if ids is None else np.where(ids == 0, flags, flags & ~np.uint8(SEED))
        components.unite_touching_seeds(deepest, indices, options.per_section)
        if ids is not None:
            components.unite_equal(ids, indices, options.per_section)
    firsts, kinds = components.index_components(flags, indices)
    if options.method == "affinity-watershed":  # every object is a fragment
        kinds[kinds == HELD] = SEEDED
    frozen = np.zeros(len(kinds), np.uint8)
    for axis, side in block.faces():
        frozen[plane_of(indices.reshape(flags.shape), axis, side)] = 1
    frozen[0] = 0
    return Components(firsts, firsts, kinds, frozen)


def decide(
    levels: np.ndarray, steps: np.ndarray, indices: np.ndarray, found: Components, options: FragmentOptions
) -> Decided:
    """Decide what can be decided with the pairs of the voxels that a block sees.

    Pairs keep their voxels only where some may wait: 4 of 17 bytes a pair at the peak.
    """
    pairs = touching_pairs(
        levels,
        indices,
        found.kinds,
        steps,
        level_of(options.low),
        options.per_section,
        indexed=bool(found.frozen.any()),
    )
    made = forest.decide_pairs(pairs.ends, int(pairs.stops[ZERO - 1]), found.kinds, found.frozen)
    edges = Edges(pairs.ends[made.kept], pairs.ranks(made.kept), pairs.indices[made.kept].astype(np.int64))
    return settle(found._replace(kinds=made.kinds), made.roots, edges)


def settle(found: Components, roots: NDArray[Any], edges: Edges) -> Decided:
    """Ids after the decisions.

    `roots` are as `decide_pairs` returns them, with the edges that it kept.
    """
    indices, used = forest.index_roots(roots)
    ids, lowest = (forest.smallest(values, indices, len(used)) for values in (found.ids, found.firsts))
    kinds, waits = found.kinds[used], found.frozen[used] != 0
    ends = indices[edges.ends]
    waits[ends] = True
    final = np.where(waits, ids, np.where(kinds >= HELD, lowest, np.uint64(0)))
    rows = np.flatnonzero(waits)
    rows = rows[np.argsort(ids[rows], kind="stable")]
    waiting = Forest(ids[rows], lowest[rows], kinds[rows], ids[ends], edges.ranks, edges.indices)
    return Decided(final, indices, waiting)
