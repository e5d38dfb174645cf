"""Constraints in blocks: what a block knows of them, and when it may link.

A block knows all ids of a region that it holds whole. Of one that reaches a face, known ids never vanish, and others may come: an
edge that conflicts is dropped, any other waits. The fragments of a must-link group wait in every block that does not hold all of
them whole; where one does, they are made one, before any of them has merged.

Volumes: `cannot_link` (ids of nuclei, somata or glia) in, where there is one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import Block
from clew.blockwise.grid import Grid
from clew.blockwise.store import Store
from clew.kernels.forest import unite_indices
from clew.segmentation.constraints import PointConstraints, Rows, overlaps
from clew.space import Triple, triple


class BlockConstraints(NamedTuple):
    """What the voxels of one block, or of several, say of constraints.

    Parameters
    ----------
    cannot_link : (n, 3) uint64
        (region, split, side).
    must_link : (m, 4) uint64
        (region, group, points of the group in the region, points of the group in the whole volume); region 0 where points lie in no
        fragment.
    """

    cannot_link: Rows
    must_link: Rows


class Given(NamedTuple):
    """The constraints of a run in blocks.

    Whether there is a volume `cannot_link`, and points in voxels of the whole volume.
    """

    labelled: bool = False
    points: PointConstraints = PointConstraints()

    def __bool__(self) -> bool:
        return self.labelled or len(self.points.must_link) > 0 or len(self.points.cannot_link) > 0


def nothing_given() -> BlockConstraints:
    """No constraint."""
    return BlockConstraints(np.zeros((0, 3), np.uint64), np.zeros((0, 4), np.uint64))


def points_in_blocks(points: PointConstraints, grid: Grid) -> dict[Triple, PointConstraints]:
    """The points that each block owns.

    Those of must-link get one more column: how many points their group has.
    """
    _, groups, counts = np.unique(points.must_link[:, 3], return_inverse=True, return_counts=True)
    links = np.column_stack([points.must_link, counts[groups]])
    tables = [(rows[:0], _by_block(rows, grid)) for rows in (links, points.cannot_link)]
    return {place: PointConstraints(*(found.get(place, none) for none, found in tables)) for place in grid.places()}


def _by_block(rows: NDArray[np.int64], grid: Grid) -> dict[Triple, NDArray[np.int64]]:
    """The rows (z, y, x, …) of each block that has some, in their order."""
    domain = grid.domain.box
    rows = rows[((rows[:, :3] >= domain.low) & (rows[:, :3] < domain.high)).all(axis=1)]
    places = (rows[:, :3] - domain.low) // grid.block_shape
    order = np.lexsort(places.T[::-1])  # as np.unique sorts; stable
    blocks, first = np.unique(places[order], axis=0, return_index=True)
    return dict(zip(map(triple, blocks.tolist()), np.split(rows[order], first[1:]), strict=False))


def find_in_block(store: Store, fragments: np.ndarray, block: Block, *, given: Given) -> BlockConstraints:
    """What the voxels that a block owns say of constraints.

    `fragments` are theirs, `given.points` those of `points_in_blocks`.
    """
    rows = [_at(fragments, block, given.points.cannot_link)]
    if given.labelled:
        rows.append(overlaps(fragments, store.read("cannot_link", block.owned)))
    sides = np.concatenate(rows)
    links = _at(fragments, block, given.points.must_link)
    kinds, counts = np.unique(links, axis=0, return_counts=True)
    must_link = np.column_stack([kinds[:, :2], counts, kinds[:, 2]]).astype(np.uint64)
    return BlockConstraints(np.unique(sides[sides[:, 0] != 0], axis=0), must_link)


def join_constraints(parts: Sequence[BlockConstraints]) -> BlockConstraints:
    """What several blocks say together."""
    cannot_link = np.unique(np.concatenate([part.cannot_link for part in parts]), axis=0)
    return BlockConstraints(cannot_link, np.concatenate([part.must_link for part in parts]))


def whole_groups(
    regions: NDArray[np.uint64], faces: NDArray[np.uint8], must_link: Rows
) -> tuple[NDArray[np.uint64], Rows]:
    """The region of each region once the groups are linked that a block holds whole.

    Also the rows of the other groups.
    """
    groups, indices = np.unique(must_link[:, 1], return_inverse=True)
    missing = np.zeros(len(groups), np.int64)
    missing[indices] = must_link[:, 3]
    np.subtract.at(missing, indices, must_link[:, 2].astype(np.int64))
    there = must_link[:, 0] != 0
    places = np.searchsorted(regions, must_link[:, 0])
    waits = missing > 0
    waits[indices[there][faces[places[there]] != 0]] = True
    ready = there & ~waits[indices]
    order = np.lexsort((places[ready], indices[ready]))
    group, place = indices[ready][order], places[ready][order]
    same = group[1:] == group[:-1]
    united = unite_indices(place[:-1][same], place[1:][same], len(regions))
    return regions[united], must_link[waits[indices]]


def _at(fragments: np.ndarray, block: Block, points: NDArray[np.int64]) -> Rows:
    """The points, with the fragment at each instead of its place."""
    voxels = points[:, :3] - np.array(block.owned.low)
    return np.column_stack([fragments[tuple(voxels.T)], points[:, 3:].astype(np.uint64)])
