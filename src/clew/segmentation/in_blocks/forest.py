"""Fragments block by block: what a block can decide about its forest.

The rest goes up to be decided with others.

A block sees one voxel more than its own on the low side of each axis, so that every pair of neighbours lies in one block,
and neighbouring blocks share the voxels of one plane. Components that hold a shared voxel are one component; a token, one
of the shared voxels, says so. What a token touches is frozen until all blocks that see it have come together.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Block, global_indices, plane_of
from clew.errors import InputError
from clew.kernels import forest
from clew.kernels._flags import ZERO
from clew.segmentation.affinities import quantise
from clew.segmentation.forest import Components, Edges, Forest, decide, find_components, pick_pairs, settle
from clew.segmentation.fragments import check_options, mask_bytes, seed_ids
from clew.segmentation.options import FragmentOptions
from clew.segmentation.seeds import most_steps
from clew.space import Box, Triple

LARGEST_BLOCK = 2**30
"""Voxels of a block with its context must be fewer: 3 · voxel + channel is kept in 32 bits. A whole volume keeps none of these."""


class Tokens(NamedTuple):
    """Shared voxels, by their index in the whole volume, and their components."""

    voxels: NDArray[np.int64]
    owners: NDArray[np.uint64]


class BlockFragments(NamedTuple):
    """The fragments of one block, as far as it can tell.

    indices : (z, y, x) uint32, the block's own voxels; ids : (k,) uint64, what the indices mean: fragments that are
    finished, 0 for none, and ids of components that wait; planes : the components (0 for none) on each shared face, by
    (axis, side).
    """

    indices: NDArray[np.uint32]
    ids: NDArray[np.uint64]
    forest: Forest
    planes: dict[tuple[int, int], NDArray[np.uint64]]


class Renames(NamedTuple):
    """What became of components: old ids, ascending, and new ids.

    Finished fragments are listed, too (0 for none).
    """

    old: NDArray[np.uint64]
    new: NDArray[np.uint64]


def context_of(block: Block, options: FragmentOptions) -> Box:
    """The voxels that `start_forest` needs to know around a block.

    One for picks, `most_steps` outward, cap and window for seeds; one more for pairs with successors.

    A boundary at the distance of the cap, or farther, makes no difference.
    """
    seeds = 0 if options.method == "affinity-watershed" else options.distance_cap - 1 + options.seed_window // 2
    reach = max(most_steps(options), seeds)
    across = 0 if options.per_section else reach
    return block.grown((across + 2, reach + 2, reach + 2), (across + 1, reach + 1, reach + 1))


def start_forest(
    affinities: np.ndarray,
    block: Block,
    *,
    mask: np.ndarray | None = None,
    cannot_link: np.ndarray | None = None,
    options: FragmentOptions,
) -> BlockFragments:
    """The fragments of one block, with what has to wait for its neighbours.

    Parameters
    ----------
    affinities : (offset, z, y, x) uint8 or float in [0, 1]
        Of the voxels in `context_of(block, options)`.
    block : Block
    mask : (z, y, x) bool or numbers, optional
        Of the same voxels.
    cannot_link : (z, y, x) whole numbers, optional
        Ids that are seeds, of the voxels that the block sees.
    options : FragmentOptions
        `seeded-forest` or `affinity-watershed`.

    Returns
    -------
    BlockFragments

    Raises
    ------
    InputError
        As `extract_fragments`, for `seeded-flood` (which no block can decide), or for a block that is too large.
    """
    check_method(options)
    context = context_of(block, options)
    check_size(block, options)
    if affinities.shape[1:] != context.shape:
        raise InputError(f"a block's affinities must be of shape {context.shape}, not {affinities.shape[1:]}")
    levels = quantise(affinities)
    inside = mask_bytes(mask, levels.shape[1:])
    within = inside[block.seen.within(context)] if inside.size else inside
    names = seed_ids(cannot_link, within, block.seen.shape, options)
    picks = pick_pairs(levels, inside, block, context, options, names)
    indices = np.empty(picks.flags.size, np.uint32)
    components = find_components(picks.flags, indices, block, options, names)
    seen = np.ascontiguousarray(levels[(slice(None), *block.seen.within(context))])
    decided = decide(seen, picks.steps, indices, components, options)
    ids = _global_ids(decided.ids, block)
    box = indices.reshape(picks.flags.shape)
    return BlockFragments(
        forest.look_up(box[block.owned.within(block.seen)], decided.indices), ids,
        _global_forest(decided.waiting, block),
        {face: ids[decided.indices[plane_of(box, *face)]] for face in block.faces()},
    )  # fmt: skip


def match_faces(lower: NDArray[np.uint64], upper: NDArray[np.uint64], box: Box, frame: Triple) -> tuple[Tokens, Tokens]:
    """Tokens for two blocks that share the voxels of a plane.

    One for each two components that are the same.

    Parameters
    ----------
    lower, upper : (a, b) uint64
        `planes[axis, 1]` of the block below and `planes[axis, 0]` of the one above.
    box : Box
        The voxels of the plane, in coordinates of the whole volume.
    frame : voxels (z, y, x)
        Shape of the whole volume.
    """
    both = np.stack([lower.ravel(), upper.ravel()], axis=1)
    positions = np.flatnonzero((both[:, 0] != 0) & np.append(True, (both[1:] != both[:-1]).any(axis=1)))
    order = positions[np.lexsort((positions, both[positions, 1], both[positions, 0]))]
    pairs = both[order]
    first = order[np.append(True, (pairs[1:] != pairs[:-1]).any(axis=1))[: len(order)]]
    voxels = global_indices(first, box, frame)
    return Tokens(voxels, both[first, 0]), Tokens(voxels, both[first, 1])


def join_tokens(tokens: Sequence[Tokens]) -> Tokens:
    """Tokens of several blocks or faces together."""
    voxels = np.concatenate([np.zeros(0, np.int64), *(part.voxels for part in tokens)])
    return Tokens(voxels, np.concatenate([np.zeros(0, np.uint64), *(part.owners for part in tokens)]))


def join_forests(forests: Sequence[Forest], tokens: Tokens, block: Block) -> tuple[Forest, Tokens, Renames]:
    """Put the forests of parts together and decide what can be decided now.

    Parameters
    ----------
    forests : sequence of Forest
        Of the parts of the block.
    tokens : Tokens
        Of all parts.
    block : Block
        The parts together.

    Returns
    -------
    forest : Forest
        What is left; nothing where the block is the whole domain.
    tokens : Tokens
        Those that blocks outside see too.
    renames : Renames
        For every component of the parts.
    """
    old, positions = np.unique(np.concatenate([part.ids for part in forests]), return_inverse=True)
    sets, set_of = np.unique(_unite_shared(old, tokens), return_inverse=True)
    rows = set_of[positions] + 1
    count = len(sets) + 1
    ids = forest.smallest(np.concatenate([part.ids for part in forests]), rows, count)
    firsts = forest.smallest(np.concatenate([part.firsts for part in forests]), rows, count)
    kinds = np.zeros(count, np.uint8)
    np.maximum.at(kinds, rows, np.concatenate([part.kinds for part in forests]))
    outer = ~block.holds_alone(tokens.voxels)
    owners = set_of[np.searchsorted(old, tokens.owners)] + 1
    frozen = np.zeros(count, np.uint8)
    frozen[owners[outer]] = 1
    every = _edges_in_order(forests, old, set_of)
    made = forest.decide_pairs(every.ends, int(np.searchsorted(every.ranks, ZERO)), kinds, frozen)
    edges = Edges(*(part[made.kept] for part in every))
    decided = settle(Components(ids, firsts, made.kinds, frozen), made.roots, edges)
    new = decided.ids[decided.indices]
    left = _distinct(Tokens(tokens.voxels[outer], new[owners[outer]]))
    return decided.waiting, left, Renames(old, new[set_of + 1])


def check_method(options: FragmentOptions) -> None:
    """Refuse fragments that no block can decide, and options that make no sense."""
    check_options(options)
    if options.method == "seeded-flood":
        raise InputError(
            "a seeded-flood can spread without end, so it is not exact in blocks: choose seeded-forest or affinity-watershed"
        )


def check_size(block: Block, options: FragmentOptions) -> None:
    """Refuse a block that is too large, before any work."""
    context = context_of(block, options).shape
    if math.prod(context) >= LARGEST_BLOCK:
        raise InputError(
            f"a block of {block.owned.shape} voxels reads {context} voxels, which must be fewer than 2^30:"
            " give smaller blocks (--block-shape)"
        )


def _global_ids(ids: NDArray[np.uint64], block: Block) -> NDArray[np.uint64]:
    """1 + voxel in the whole volume from 1 + voxel in what the block sees; 0 stays 0."""
    voxels = global_indices(np.maximum(ids, np.uint64(1)) - np.uint64(1), block.seen, block.domain.frame)
    return np.where(ids == 0, np.uint64(0), voxels.view(np.uint64) + np.uint64(1))


def _global_forest(forest: Forest, block: Block) -> Forest:
    ids, firsts, ends = (_global_ids(ids, block) for ids in (forest.ids, forest.firsts, forest.ends))
    return replace(forest, ids=ids, firsts=firsts, ends=ends, indices=_global_pairs(forest.indices, block))


def _global_pairs(indices: NDArray[np.int64], block: Block) -> NDArray[np.int64]:
    voxels, channels = np.divmod(indices, 3)
    return 3 * global_indices(voxels, block.seen, block.domain.frame) + channels


def _unite_shared(old: NDArray[np.uint64], tokens: Tokens) -> NDArray[np.int64]:
    """Smallest index of each set of components that hold the same token."""
    order = np.argsort(tokens.voxels, kind="stable")
    owners = np.searchsorted(old, tokens.owners[order])
    same = np.flatnonzero(np.diff(tokens.voxels[order]) == 0)
    return forest.unite_indices(owners[same], owners[same + 1], len(old))


def _edges_in_order(forests: Sequence[Forest], old: NDArray[np.uint64], set_of: NDArray[np.int64]) -> Edges:
    """All pairs, best first."""
    ranks = np.concatenate([part.ranks for part in forests])
    indices = np.concatenate([part.indices for part in forests])
    order = np.lexsort((indices, ranks))
    ends = np.concatenate([part.ends for part in forests])[order]
    return Edges(set_of[np.searchsorted(old, ends)] + 1, ranks[order], indices[order])


def _distinct(tokens: Tokens) -> Tokens:
    """Tokens without repetitions."""
    order = np.lexsort((tokens.owners, tokens.voxels))
    voxels, owners = tokens.voxels[order], tokens.owners[order]
    new = np.append(True, (np.diff(voxels) != 0) | (owners[1:] != owners[:-1]))[: len(order)]
    return Tokens(voxels[new], owners[new])
