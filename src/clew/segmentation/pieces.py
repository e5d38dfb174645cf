"""Fragments that are divided into pieces by points.

Points of a person, or of constraints.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.block import global_indices
from clew.errors import InputError
from clew.kernels.forest import unite_indices
from clew.segmentation.constraints import on_several_sides
from clew.segmentation.growth import grow_points
from clew.space import Box, Triple

Ids = NDArray[np.uint64]
FIRST_REACH = 32
"""Voxels around a point in which a fragment is looked for first."""


@dataclass(frozen=True)
class Pieces:
    """A fragment and the pieces that it became.

    Parameters
    ----------
    fragment : int
        Its id.
    box : Box
        The smallest that holds its voxels.
    pieces : (z, y, x) uint64
        The piece of each voxel of the box, 0 outside of the fragment.
    """

    fragment: int
    box: Box
    pieces: Ids

    def piece_at(self, voxel: Sequence[int]) -> int:
        """The piece that holds a voxel (z, y, x) of the fragment."""
        return int(self.pieces[tuple(at - low for at, low in zip(voxel, self.box.low, strict=True))])

    def show(self, fragments: Ids, box: Box) -> None:
        """Write the pieces into the fragments of a box of the volume, in place."""
        both = self.box.overlap(box)
        if both.size:
            pieces, there = self.pieces[both.within(self.box)], fragments[both.within(box)]
            np.copyto(there, pieces, where=pieces != 0)


def divided_pieces(
    affinities: np.ndarray,
    fragments: Ids,
    box: Box,
    frame: Triple,
    points: Sequence[Sequence[int]],
    sides: Sequence[int],
    *,
    others: Ids,
) -> Pieces:
    """Divide a fragment between sides, each given by voxels in it.

    Each voxel goes to the point that `grow_points` says; what grows from points of one side, and touches, is one piece. The id of a
    piece is 1 + its smallest voxel.

    Parameters
    ----------
    affinities : (3, z, y, x) uint8
        Of the voxels in `box`.
    fragments : (z, y, x) uint64
        Of the same voxels.
    box : Box
        All voxels of the fragment, at least.
    frame : voxels (z, y, x)
        Shape of the whole volume.
    points : sequence of (z, y, x)
        In the whole volume; all in one fragment.
    sides : sequence of int
        Side of each point.
    others : (m,) uint64
        Ids of all fragments of the volume. Where they were not named by their smallest voxels and one has the id of a piece, the
        pieces get ids above all of them.

    Returns
    -------
    Pieces

    Raises
    ------
    InputError
        For one voxel on two sides.
    """
    voxels, side_of = _distinct_points(points, sides, box)
    fragment = fragments.reshape(-1)[voxels[0]]
    inside = fragments == fragment
    owners = grow_points(affinities, inside, voxels, side_of)
    groups = _touching(owners, side_of)
    rows = np.flatnonzero(inside)
    firsts = np.full(len(voxels), rows[-1])
    np.minimum.at(firsts, groups[owners.reshape(-1)[rows]], rows)
    ids = global_indices(firsts, box, frame).astype(np.uint64) + np.uint64(1)
    if np.isin(ids[groups], others[others != fragment]).any():
        ids += others.max()
    tight = smallest_box(inside)
    pieces = np.where(inside, ids[groups[owners]], np.uint64(0))[tight]
    return Pieces(int(fragment), tight.shifted(box.low), pieces)


def divide_at_points(
    cannot_link: NDArray[np.int64],
    ids: Ids,
    read: Callable[[Box], Ids],
    affinities: Callable[[Box], np.ndarray],
    shape: Triple,
) -> list[Pieces]:
    """Divide each fragment that holds points of several sides of a split.

    Points of the same sides are one side; all in the fragment count.

    Parameters
    ----------
    cannot_link : (n, 5) int64
        (z, y, x, split, side), as of `PointConstraints`.
    ids : (n,) uint64
        The fragment at each point, named by its smallest voxel; 0 for none.
    read, affinities : callables
        The fragments, and the (3, z, y, x) uint8 affinities, in a box.
    shape : voxels (z, y, x)
        Of the volume.

    Returns
    -------
    list of Pieces
        By fragment.
    """
    rows = np.column_stack([ids, cannot_link[:, 3:].astype(np.uint64)])
    found = []
    for fragment in np.unique(on_several_sides(rows[ids != 0])[:, 0]):
        own = np.unique(cannot_link[ids == fragment], axis=0)
        voxels, which = np.unique(own[:, :3], axis=0, return_inverse=True)
        kinds = [tuple(own[which == place, 3:].ravel().tolist()) for place in range(len(voxels))]
        sides = [sorted(set(kinds)).index(kind) for kind in kinds]
        if len(set(sides)) > 1:
            box, around = find_fragment(read, int(fragment), None, voxels[0].tolist(), shape)
            given = affinities(box), around, box, shape, voxels.tolist(), sides
            found.append(divided_pieces(*given, others=np.array([fragment])))
    return found


def find_fragment(
    read: Callable[[Box], Ids], fragment: int, size: int | None, voxel: Sequence[int], shape: Triple
) -> tuple[Box, Ids]:
    """Find all voxels of a fragment, from one of them, in boxes that grow.

    Parameters
    ----------
    read : callable
        The fragments in a box.
    fragment : int
        Its id.
    size : int, optional
        How many voxels it has; a fragment that is connected (26 neighbours) is found without.
    voxel : (z, y, x)
        One of them.
    shape : voxels (z, y, x)
        Of the volume.

    Returns
    -------
    box : Box
        The smallest that holds the fragment, and the voxels around it.
    fragments : (z, y, x) uint64
        In this box.

    Raises
    ------
    InputError
        Where the volume holds another number of its voxels.
    """
    whole, reach = Box.whole(shape), FIRST_REACH
    box = Box.between(voxel, (at + 1 for at in voxel))
    while True:
        box = box.grown((reach,) * 3, (reach,) * 3, inside=whole)
        found = read(box)
        inside = found == np.uint64(fragment)
        count = np.count_nonzero(inside)
        if count == size or (size is None and not _goes_on(inside, box, whole)):
            tight = smallest_box(inside).grown((1,) * 3, (1,) * 3)
            around = tight.shifted(box.low).overlap(whole)
            return (around, found[around.within(box)]) if around.lies_in(box) else (around, read(around))
        if box == whole:
            raise InputError(
                f"fragment {fragment} has {count} voxels in the volume and {size} in the region graph: take the fragments that "
                "the graph was made of"
            )
        reach *= 2


def _goes_on(inside: NDArray[np.bool_], box: Box, whole: Box) -> bool:
    """Whether a fragment reaches a face of a box behind which the volume goes on."""
    for axis in range(3):
        for side, (end, limit) in enumerate(((box.low, whole.low), (box.high, whole.high))):
            if end[axis] != limit[axis] and inside.take(-side, axis).any():
                return True
    return False


def _distinct_points(
    points: Sequence[Sequence[int]], sides: Sequence[int], box: Box
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat positions of the points in a box, ascending, each once, and their sides."""
    places = np.array(points, np.int64) - np.array(box.low)
    voxels, first, again = np.unique(
        np.ravel_multi_index(tuple(places.T), box.shape), return_index=True, return_inverse=True
    )
    found = np.array(sides, np.int64)
    for place in np.flatnonzero(found != found[first][again])[:1]:
        raise InputError(f"voxel {tuple(points[place])} is on both sides of the split")
    return voxels, found[first]


def _touching(owners: NDArray[np.int64], sides: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first point of the piece of each.

    Territories of one side that touch are one.
    """
    pairs = []
    for axis in range(3):
        before, after = (np.moveaxis(owners, axis, 0)[part].ravel() for part in (slice(None, -1), slice(1, None)))
        both = (before >= 0) & (after >= 0)
        pairs.append(np.unique(np.column_stack([before[both], after[both]]), axis=0))
    ones, others = np.concatenate(pairs).T
    same = sides[ones] == sides[others]
    return unite_indices(ones[same], others[same], len(sides))


def smallest_box(inside: NDArray[np.bool_]) -> Box:
    ends = []
    for axis in range(3):
        along = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        ends.append((int(along[0]), int(along[-1]) + 1))
    return Box(*(slice(*end) for end in ends))
