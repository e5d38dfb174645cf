"""Constraints on agglomeration: what must be one region, and what may not be.

Given by fragment (`Constraints`), or by place, before there are fragments (`PointConstraints`, a label volume).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_array, as_ids
from clew.errors import InputError
from clew.kernels.cannot_link import NO_SIDES, SEVERAL, Sides, chained_sides
from clew.kernels.forest import unite_indices
from clew.kernels.overlap import count_pairs, new_table
from clew.kernels.relabel import positions_of
from clew.labels import as_labels, as_truth, check_same_shape, without_special

LABELS = 0
"""The split of label volumes: each of their ids is a side of it."""
Rows = NDArray[np.uint64]


@dataclass(frozen=True)
class Constraints:
    """What agglomeration must keep together and what apart, by fragment.

    Parameters
    ----------
    must_link : (n, 2) uint64
        Two fragments that are one region before the first merge, at every threshold; they need not touch.
    cannot_link : (n, 3) uint64
        (fragment, split, side): regions that lie on different sides of one split never merge. All ids of a label volume (nuclei,
        somata, glia) are sides of split 0. A fragment on several sides of a split merges with no other that has a side of it.

    Examples
    --------
    >>> affinities = np.full((3, 1, 1, 3), 204, np.uint8)
    >>> graph = clew.build_region_graph(affinities, np.array([[[1, 2, 3]]], np.uint64))
    >>> apart = clew.Constraints(cannot_link=np.array([[1, 0, 7], [3, 0, 8]], np.uint64))
    >>> clew.agglomerate(graph, constraints=apart).merges.tolist()
    [[1, 2]]
    """

    must_link: Rows = field(default_factory=lambda: np.zeros((0, 2), np.uint64))
    cannot_link: Rows = field(default_factory=lambda: np.zeros((0, 3), np.uint64))


@dataclass(frozen=True)
class PointConstraints:
    """What agglomeration must keep together and what apart, by place.

    It holds for the fragments in which the points lie; points outside of all fragments say nothing.

    Parameters
    ----------
    must_link : (n, 4) int64
        (z, y, x, group): voxels of one group are in one region.
    cannot_link : (n, 5) int64
        (z, y, x, split, side): voxels on different sides of one split are never in one region; all ids of a label
        volume are sides of split 0.

    Examples
    --------
    >>> points = clew.PointConstraints(cannot_link=np.array([[0, 0, 0, 1, 1], [0, 0, 2, 1, 2]]))
    >>> clew.find_constraints(np.array([[[5, 5, 9]]], np.uint64), points=points).cannot_link.tolist()
    [[5, 1, 1], [9, 1, 2]]
    """

    must_link: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 4), np.int64))
    cannot_link: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 5), np.int64))


def find_constraints(
    fragments: np.ndarray, *, cannot_link: Any = None, points: PointConstraints = PointConstraints()
) -> Constraints:
    """Find the fragments that constraints by place are about.

    Exact at block borders: rows of blocks of one volume add up.

    Parameters
    ----------
    fragments : (z, y, x) uint64
        0 where there is none.
    cannot_link : (z, y, x) whole numbers, optional
        Ids of nuclei, somata or glia; 0 elsewhere. A fragment has every id of which it holds a voxel.
    points : PointConstraints
        In voxels of the fragments.

    Returns
    -------
    Constraints

    Raises
    ------
    InputError
        For labels of another shape, or points outside the volume.

    Examples
    --------
    >>> fragments, nuclei = np.array([[[1, 1, 3, 3]]], np.uint64), np.array([[[0, 7, 0, 8]]])
    >>> clew.find_constraints(fragments, cannot_link=nuclei).cannot_link.tolist()
    [[1, 0, 7], [3, 0, 8]]
    """
    fragments = as_labels(fragments, "fragments")
    rows = [overlaps(fragments, cannot_link)] if cannot_link is not None else []
    voxels, sides = checked_points(points.cannot_link, "cannot_link", 5, fragments)
    rows.append(np.column_stack([voxels, sides]))
    found = np.concatenate(rows)
    ids, groups = checked_points(points.must_link, "must_link", 4, fragments)
    return Constraints(_pairs_of(ids, groups[:, 0]), np.unique(found[found[:, 0] != 0], axis=0))


def overlaps(fragments: NDArray[np.uint64], labels: Any) -> Rows:
    """(fragment, split, id) of each fragment and each id of which it holds a voxel."""
    ids = without_special(as_truth(labels, "cannot_link"))
    check_same_shape(fragments, ids, ("fragments", "cannot_link"))
    found, sides, _ = count_pairs(fragments, ids, new_table()).pairs
    return np.column_stack([found, np.full(len(found), LABELS, np.uint64), sides])[found != 0]


def checked_constraints(constraints: Constraints, fragments: NDArray[np.uint64]) -> Constraints:
    """Check constraints on these fragments and bring them into their one form.

    Each linked fragment once, with the smallest of its group; rows ascending, without repetitions.
    """
    links = _checked_rows(constraints.must_link, "must_link", 2)
    sides = _checked_rows(constraints.cannot_link, "cannot_link", 3)
    if not len(links) and not len(sides):
        return Constraints(links, sides)
    for name, ids in (("must_link", links), ("cannot_link", sides[:, 0])):
        unknown = ids[positions_of(fragments, ids) < 0]
        if unknown.size:
            raise InputError(
                f"{name} holds fragment {unknown[0]}, which the region graph does not: was it made for others?"
            )
    return Constraints(_with_first(links), np.unique(sides, axis=0))


def linked_pairs(ids: NDArray[np.uint64], groups: NDArray[np.uint64]) -> Rows:
    """What is linked where ids of one group are one.

    In the form of `checked_constraints`.
    """
    return _with_first(_pairs_of(ids, groups))


def linked_regions(fragments: NDArray[np.uint64], must_link: Rows) -> NDArray[np.uint64]:
    """The region of each fragment: the smallest fragment that it is linked with."""
    if not len(must_link):
        return fragments
    regions = fragments.copy()
    regions[positions_of(fragments, must_link[:, 1])] = must_link[:, 0]
    return regions


def sides_of_regions(cannot_link: Rows, ids: NDArray[np.uint64], regions: NDArray[np.uint64]) -> Rows:
    """Sides of the regions that must-link makes of some ids.

    Parameters
    ----------
    cannot_link : (n, 3) uint64
    ids : (m,) uint64
        Ascending; all of those in `cannot_link`.
    regions : (m,) uint64
        The region of each id.

    Raises
    ------
    InputError
        Where two that must be one region may not be.
    """
    if not len(cannot_link):
        return cannot_link
    rows = np.unique(cannot_link, axis=0)
    owners = regions[np.searchsorted(ids, rows[:, 0])]
    order = np.lexsort((rows[:, 0], rows[:, 1], owners))
    rows, owners = rows[order], owners[order]
    # of each id in a split, its first and last side: they must be one, and that of the next id in the region
    first = np.append(True, (rows[1:, :2] != rows[:-1, :2]).any(axis=1))[: len(rows)]
    start, stop = rows[first], rows[np.append(first[1:], True)[: len(rows)]]
    together = (owners[first][1:] == owners[first][:-1]) & (start[1:, 1] == start[:-1, 1])
    differ = (start[1:, 2] != start[:-1, 2]) | (start[1:, 2] != stop[1:, 2]) | (start[:-1, 2] != stop[:-1, 2])
    for place in np.flatnonzero(together & differ)[:1]:
        (one, _, side), (other, _, another) = start[place], stop[place + 1]
        raise InputError(
            f"fragments {one} and {other} must be one region (must-link), and may not be, by the ids {side} and {another} "
            "that they hold (cannot-link): take one of the two away"
        )
    return np.unique(np.column_stack([owners, rows[:, 1:]]), axis=0)


def chain_sides(cannot_link: Rows, regions: NDArray[np.uint64]) -> Sides:
    """Sides as the kernels take them.

    Parameters
    ----------
    cannot_link : (n, 3) uint64
        (region, split, side).
    regions : (m,) uint64
        Ascending; all of those in `cannot_link`.
    """
    if not len(cannot_link):
        return NO_SIDES
    rows = np.unique(cannot_link, axis=0)
    _, splits = np.unique(rows[:, 1], return_inverse=True)
    _, sides = np.unique(rows[:, 2], return_inverse=True)
    again = np.append(False, (rows[1:, :2] == rows[:-1, :2]).all(axis=1))[: len(rows)]
    sides[np.append(again[1:], False)[: len(rows)]] = SEVERAL
    kept = np.flatnonzero(~again)
    return chained_sides(np.searchsorted(regions, rows[kept, 0]), splits[kept], sides[kept], len(regions))


def rows_by_fragment(parts: Iterable[Rows]) -> Iterator[Rows]:
    """Ascending rows some at a time, all rows of a fragment together."""
    waiting: Rows = np.zeros((0, 3), np.uint64)
    for part in parts:
        rows = np.concatenate([waiting, part])
        known = int(np.searchsorted(rows[:, 0], rows[-1:, 0]).sum())
        waiting = rows[known:]
        yield rows[:known]
    yield waiting


def on_several_sides(cannot_link: Rows) -> Rows:
    """(fragment, split) of the fragments that lie on several sides of a split."""
    pairs, counts = np.unique(np.unique(cannot_link, axis=0)[:, :2], axis=0, return_counts=True)
    several: Rows = pairs[counts > 1]
    return several


def _with_first(pairs: Rows) -> Rows:
    """The smallest id of those that are linked, and another of them, for all others."""
    members = np.unique(pairs)
    ones, others = np.searchsorted(members, pairs).T
    firsts = members[unite_indices(ones, others, len(members))]
    return np.column_stack([firsts, members])[firsts != members]


def _pairs_of(ids: NDArray[np.uint64], groups: NDArray[np.uint64]) -> Rows:
    """Pairs of ids that link all of one group."""
    order = np.lexsort((ids, groups))
    ids, groups = ids[order][ids[order] != 0], groups[order][ids[order] != 0]
    linked = (groups[1:] == groups[:-1]) & (ids[1:] != ids[:-1])
    return np.column_stack([ids[:-1], ids[1:]])[linked]


def _checked_rows(values: Any, name: str, columns: int) -> Rows:
    rows = as_ids(values, name)
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise InputError(f"{name} must be (n, {columns}) ids, not of shape {rows.shape}")
    return rows


def checked_points(values: Any, name: str, columns: int, fragments: NDArray[np.uint64]) -> tuple[Any, Rows]:
    """The fragment at each point, and the columns after its place."""
    points = as_array(values, name)
    if points.ndim != 2 or points.shape[1] != columns or (points.size and points.dtype.kind not in "ui"):
        raise InputError(f"{name} must be (n, {columns}) whole numbers, not {points.dtype} of shape {points.shape}")
    points = points.astype(np.int64)
    voxels, rest = points[:, :3], points[:, 3:]
    if ((voxels < 0) | (voxels >= fragments.shape)).any():
        raise InputError(f"{name} has points outside the volume of shape {fragments.shape}")
    return fragments[tuple(voxels.T)], as_ids(rest.reshape(len(rest), columns - 3), name)
