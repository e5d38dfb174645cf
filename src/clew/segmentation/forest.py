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
from clew.kernels.voxel_pairs import touching_pairs
from clew.segmentation.options import FragmentOptions
from clew.segmentation.seeds import find_seeds, level_of
from clew.space import Box


class Components(NamedTuple):
    """Components of picks by index; index 0 is none.

    Parameters
    ----------
    ids : (n + 1,) uint64
        1 + smallest voxel.
    firsts : (n + 1,) uint64
        1 + smallest voxel that has a pair strong enough, 0 for none: what will be the id of the fragment.
    seeded, frozen : (n + 1,) uint8
    """

    ids: NDArray[np.uint64]
    firsts: NDArray[np.uint64]
    seeded: NDArray[np.uint8]
    frozen: NDArray[np.uint8]


class Edges(NamedTuple):
    """Pairs of voxels of two components.

    (m, 2) indices of the components, (m,) uint8 strengths, and (m,) int64 3 · voxel + channel.
    """

    ends: np.ndarray
    strengths: NDArray[np.uint8]
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
    seeded : (n,) uint8
    ends : (m, 2) uint64
        The ids of the components of each pair.
    strengths : (m,) uint8
    indices : (m,) int64
        3 · voxel + channel.
    """

    ids: NDArray[np.uint64]
    firsts: NDArray[np.uint64]
    seeded: NDArray[np.uint8]
    ends: NDArray[np.uint64]
    strengths: NDArray[np.uint8]
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


def pick_flags(
    levels: np.ndarray, inside: np.ndarray, block: Block, context: Box, options: FragmentOptions
) -> NDArray[np.uint8]:
    """Picks and seeds of the voxels that the block sees.

    They come from the levels (and mask) of its context.
    """
    near_box = block.grown((2, 2, 2), (1, 1, 1))
    near = near_box.within(context)
    seeded = options.method == "seeded-forest"
    flags = watershed.best_picks(
        np.ascontiguousarray(levels[(slice(None), *near)]),
        np.ascontiguousarray(inside[near]) if inside.size else inside,
        level_of(options.low), watershed.NEVER if seeded else level_of(options.high), options.per_section,
    )  # fmt: skip
    flags = np.ascontiguousarray(flags[block.seen.within(near_box)])
    if seeded:
        seeds = find_seeds(levels, inside, options, block.seen.within(context))
        watershed.hold_seeds(flags, np.ascontiguousarray(seeds))
    return flags


def find_components(flags: np.ndarray, indices: np.ndarray, block: Block, options: FragmentOptions) -> Components:
    """Components of the picks of the voxels that the block sees.

    Each voxel's index goes into the flat `indices`.
    """
    components.unite_links(watershed.pick_links(flags), indices)
    if options.method == "seeded-forest":
        components.unite_touching_seeds(flags, indices, options.per_section)
    firsts, seeded = components.index_components(flags, indices)
    if options.method == "affinity-watershed":
        seeded[1:] = 1
    frozen = np.zeros(len(seeded), np.uint8)
    for axis, side in block.faces():
        frozen[plane_of(indices.reshape(flags.shape), axis, side)] = 1
    frozen[0] = 0
    return Components(firsts, firsts, seeded, frozen)


def decide(levels: np.ndarray, indices: np.ndarray, found: Components, options: FragmentOptions) -> Decided:
    """Decide what can be decided with the pairs of the voxels that a block sees.

    Pairs keep their voxels only where some may wait: 4 of 17 bytes a pair at the peak.
    """
    pairs = touching_pairs(
        levels, indices, found.seeded, level_of(options.low), options.per_section, indexed=bool(found.frozen.any())
    )
    roots, kept = forest.decide_pairs(pairs.ends, found.seeded, found.frozen)
    return settle(found, roots, Edges(pairs.ends[kept], pairs.strengths(kept), pairs.indices[kept].astype(np.int64)))


def settle(found: Components, roots: NDArray[Any], edges: Edges) -> Decided:
    """Ids after the decisions.

    `roots` are as `decide_pairs` returns them, with the edges that it kept.
    """
    indices, used = forest.index_roots(roots)
    ids, lowest = (forest.smallest(values, indices, len(used)) for values in (found.ids, found.firsts))
    seeded, waits = found.seeded[used], found.frozen[used] != 0
    ends = indices[edges.ends]
    waits[ends] = True
    final = np.where(waits, ids, np.where(seeded != 0, lowest, np.uint64(0)))
    rows = np.flatnonzero(waits)
    rows = rows[np.argsort(ids[rows], kind="stable")]
    waiting = Forest(ids[rows], lowest[rows], seeded[rows], ids[ends], edges.strengths, edges.indices)
    return Decided(final, indices, waiting)
