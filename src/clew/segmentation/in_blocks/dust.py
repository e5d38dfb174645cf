"""Dust joined in blocks.

Dust that hangs together is joined by the block that holds all of it. A large segment that takes dust in stays large, and none of
its other contacts changes. So what becomes of dust depends only on the dust that it touches, on what that touches, and so on: on
its connected component. A block joins the components that reach none of its faces; the others go up a level. Where constraints
hold, dust brings its ids into the segment that takes it in, and these keep other dust out: components with ids that touch the
same segment are one, and wait until all of that segment is known.

Tables of `agglomeration` and `cut` in. Out: ("dust", level, z, y, x), what a block joined and what goes up, and
("joined", level, z, y, x), what became at last of the segments that it passed up.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.store import Key, Store, Table, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.kernels.forest import unite_indices
from clew.memory import refuse_beyond_memory
from clew.segmentation.constraints import Rows
from clew.segmentation.dust import join_dust
from clew.segmentation.in_blocks.agglomeration import load_contacts
from clew.segmentation.in_blocks.constraints import nothing_given
from clew.segmentation.in_blocks.cut import (
    Cut,
    Cutting,
    cut_of,
    reads_of_cut,
    reads_of_reach,
    segments_at_faces,
    with_those_above,
)
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph, merge_region_graphs, pool_region_graph
from clew.space import Triple

BYTES_A_CONTACT = 500
"""Memory of a task for each contact of dust that comes up to it: 470 measured with 15 000 and 47 000 contacts."""
UNCHECKED_CONTACTS = 1_000_000
"""Contacts that are joined without a look at the free memory."""


class Dusting(NamedTuple):
    """What is dust, in voxels, and by which score it is joined, without floor."""

    cutting: Cutting
    minimum_size: int
    score: str


class Dust(NamedTuple):
    """Dust that is not yet joined.

    Parameters
    ----------
    contacts : RegionGraph
        Of fragments, between segments at least one of which is dust.
    cut : Cut
        Segments of these fragments.
    cannot_link : (n, 3) uint64
        (segment, split, side).
    """

    contacts: RegionGraph
    cut: Cut
    cannot_link: Rows


class Segments(NamedTuple):
    """Segments as far as a block knows them.

    Parameters
    ----------
    ids : (n,) uint64
        Ascending.
    names : (n,) uint64
        The smallest id of the segment and of the dust that it took in.
    sizes : (n,) int64
        Voxels in the whole volume, before any dust was joined.
    gained : (n,) int64
        Voxels of the dust that it took in.
    """

    ids: NDArray[np.uint64]
    names: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    gained: NDArray[np.int64]

    def at(self, rows: NDArray[Any]) -> "Segments":
        """Some of the rows."""
        return Segments(self.ids[rows], self.names[rows], self.sizes[rows], self.gained[rows])


class Settled(NamedTuple):
    """What a block could say of dust.

    Parameters
    ----------
    cut : Cut
        What became of the segments with which it began: their ids at last, or the id of one of `passed`.
    passed : Segments
        What goes up: segments that reach a face, or that touch what is left.
    left : Dust
        What goes up.
    """

    cut: Cut
    passed: Segments
    left: Dust


def settle(dust: Dust, known: Segments, at_faces: NDArray[np.uint64], *, minimum_size: int, score: str) -> Settled:
    """Join the dust of which a block knows everything.

    Parameters
    ----------
    dust : Dust
        Of the block.
    known : Segments
        With which it begins; all that `dust` names.
    at_faces : (n,) uint64
        Those of them that reach beyond the block.
    minimum_size : voxels
    score : str
    """
    waits = waiting_contacts(dust, at_faces, minimum_size)
    left, whole = _part_of(dust, waits), _part_of(dust, ~waits)
    passed = np.union1d(at_faces, left.cut.segments)
    left = left._replace(cannot_link=dust.cannot_link[np.isin(dust.cannot_link[:, 0], passed)])
    taken_in = _joined(whole, minimum_size, score)
    homes, known = known.ids.copy(), known.at(np.arange(len(known.ids)))
    homes[np.searchsorted(known.ids, taken_in.ids)] = taken_in.homes
    at = np.searchsorted(known.ids, taken_in.homes)
    np.minimum.at(known.names, at, taken_in.names)
    np.add.at(known.gained, at, np.where(taken_in.ids == taken_in.homes, 0, taken_in.sizes))
    at = np.searchsorted(known.ids, homes)
    became = np.where(np.isin(homes, passed), homes, known.names[at])
    cut = Cut(known.ids, became, (known.sizes + known.gained)[at])
    return Settled(cut, known.at(np.isin(known.ids, passed)), left)


def waiting_contacts(dust: Dust, at_faces: NDArray[np.uint64], minimum_size: int) -> NDArray[np.bool_]:
    """Whether each contact belongs to a component that a block does not hold whole."""
    ids, first, indices = np.unique(dust.cut.segments, return_index=True, return_inverse=True)
    small = dust.cut.sizes[first] < minimum_size
    ends = indices[np.searchsorted(dust.cut.regions, dust.contacts.edges)].reshape(-1, 2)
    dusty = np.where(small[ends[:, 0]], ends[:, 0], ends[:, 1])
    hangs = small[ends].all(axis=1)
    components = unite_indices(ends[hangs, 0], ends[hangs, 1], len(ids))
    beyond = np.isin(ids, at_faces)
    if len(dust.cannot_link):
        with_ids = np.zeros(len(ids), bool)
        # a component that goes on beyond the block may have ids there
        with_ids[components[small & (beyond | np.isin(ids, dust.cannot_link[:, 0]))]] = True
        hangs |= with_ids[components[dusty]]
        components = unite_indices(ends[hangs, 0], ends[hangs, 1], len(ids))
    waits = np.zeros(len(ids), bool)
    waits[components[beyond]] = True
    return waits[components[dusty]]


def dust_contacts(graph: RegionGraph, segments: NDArray[np.uint64], dust: NDArray[np.bool_]) -> RegionGraph:
    """The contacts between two segments at least one of which is dust.

    What joins dust needs no others.

    Parameters
    ----------
    graph : RegionGraph
        Of one block.
    segments : (m,) uint64
        Segment of each of `graph.fragments`, 0 for removed ones.
    dust : (m,) bool
        Whether that segment is dust, in the whole volume.
    """
    ends = np.searchsorted(graph.fragments, graph.edges)
    one, two = segments[ends].T
    return _chosen(graph, (one != two) & (one != 0) & (two != 0) & dust[ends].any(axis=1))


def dust_tasks(dusting: Dusting) -> list[Task]:
    """All tasks after which `dusted` knows what became of a block's segments."""
    grid, tasks = dusting.cutting.grid, []
    for place in grid.places():
        work = partial(_start, dusting=dusting, place=place)
        reads = (*reads_of_cut(dusting.cutting, place), ("contacts", *place))
        tasks.append(Task(work, reads, keys("dust", [place], 0)))
    for level in range(1, grid.top + 1):
        for place in grid.places(level):
            work = partial(_join, dusting=dusting, level=level, place=place)
            reads = keys("dust", grid.parts(place, level), level - 1) + reads_of_reach(grid, level, place)
            tasks.append(Task(work, reads, keys("dust", [place], level)))
    for level in range(grid.top, 0, -1):
        for place in grid.places(level):
            parts = grid.parts(place, level)
            work = partial(_hand_down, dusting=dusting, level=level, place=place)
            reads = reads_of_dusted(dusting, place, level) + keys("dust", parts, level - 1)
            tasks.append(Task(work, reads, keys("joined", parts, level - 1)))
    return tasks


def reads_of_dusted(dusting: Dusting, place: Triple, level: int = 0) -> tuple[Key, ...]:
    """Keys of what `dusted` reads."""
    above = keys("joined", [place], level) if level < dusting.cutting.grid.top else ()
    return keys("dust", [place], level) + above


def dusted(store: Store, dusting: Dusting, place: Triple, level: int = 0) -> Cut:
    """What became of the segments of a block, with their sizes.

    Exact: that of `join_dust` of the whole.
    """
    cut = _load(store, level, place).cut
    if level == dusting.cutting.grid.top:
        return cut
    return with_those_above(cut, *as_record(Cut, store.load(("joined", level, *place))))


class _Joined(NamedTuple):
    """Segments once dust is joined.

    Which one each is in, the smallest id there, and its own voxels. Those that became one are in the large segment among them,
    where there is one.
    """

    ids: NDArray[np.uint64]
    homes: NDArray[np.uint64]
    names: NDArray[np.uint64]
    sizes: NDArray[np.int64]


def _joined(dust: Dust, minimum_size: int, score: str) -> _Joined:
    ids, first = np.unique(dust.cut.segments, return_index=True)
    sizes = dust.cut.sizes[first]
    counted = np.zeros(len(dust.cut.regions), np.int64)
    counted[first] = sizes
    # a fragment of each segment stands for all of it: those with the ids need not touch any dust
    rows = dust.cannot_link[np.isin(dust.cannot_link[:, 0], ids)]
    stand_ins = dust.contacts.fragments[first][np.searchsorted(ids, rows[:, 0])]
    names = join_dust(
        replace(dust.contacts, sizes=counted), dust.cut.segments, minimum_size=minimum_size,
        options=AgglomerationOptions(score), cannot_link=np.column_stack([stand_ins, rows[:, 1:]]),
    )[first]  # fmt: skip
    groups, members = np.unique(names, return_inverse=True)
    homes, large = groups.copy(), sizes >= minimum_size
    homes[members[large]] = ids[large]
    return _Joined(ids, homes[members], names, sizes)


def _part_of(dust: Dust, chosen: NDArray[np.bool_]) -> Dust:
    """Some of the contacts, and the fragments that they are of."""
    contacts = _chosen(dust.contacts, chosen)
    rows = np.searchsorted(dust.cut.regions, contacts.fragments)
    return Dust(contacts, dust.cut.at(rows), dust.cannot_link)


def _chosen(graph: RegionGraph, chosen: NDArray[np.bool_]) -> RegionGraph:
    """Some of the contacts of a graph.

    With the fragments that they are of, which have no sizes.
    """
    cells = np.repeat(chosen, np.diff(graph.starts))
    edges, lengths = graph.edges[chosen], np.diff(graph.starts)[chosen]
    ids = np.unique(edges)
    return pool_region_graph(ids, np.zeros(len(ids), np.int64), edges, lengths, graph.bins[cells], graph.counts[cells])


def _together(parts: Sequence[Settled]) -> tuple[Dust, Segments]:
    """What several blocks passed up."""
    contacts = merge_region_graphs([part.left.contacts for part in parts])
    cut = Cut(*map(np.concatenate, zip(*(part.left.cut for part in parts), strict=True)))
    _, first = np.unique(cut.regions, return_index=True)
    sides = np.unique(np.concatenate([part.left.cannot_link for part in parts]), axis=0)
    passed = Segments(*map(np.concatenate, zip(*(part.passed for part in parts), strict=True)))
    ids, rows, indices = np.unique(passed.ids, return_index=True, return_inverse=True)
    names, gained = ids.copy(), np.zeros(len(ids), np.int64)
    np.minimum.at(names, indices, passed.names)
    np.add.at(gained, indices, passed.gained)
    return Dust(contacts, cut.at(first), sides), Segments(ids, names, passed.sizes[rows], gained)


def _start(store: Store, *, dusting: Dusting, place: Triple) -> None:
    cutting, graph = dusting.cutting, load_contacts(store, place)
    cut = cut_of(store, cutting, place)
    seen = np.searchsorted(cut.regions, graph.fragments)
    contacts = dust_contacts(graph, cut.segments[seen], cut.sizes[seen] < dusting.minimum_size)
    rows = np.searchsorted(cut.regions, contacts.fragments)
    sides = store.load(("constraints", *place))["cannot_link"] if cutting.constrained else nothing_given().cannot_link
    owners = cut.segments[np.searchsorted(cut.regions, sides[:, 0])]
    sides = np.unique(np.column_stack([owners, sides[:, 1:]]), axis=0)
    ids, first = np.unique(cut.segments, return_index=True)
    known = Segments(ids, ids, cut.sizes[first], np.zeros(len(ids), np.int64))
    _settle(store, dusting, 0, place, Dust(contacts, cut.at(rows), sides), known)


def _join(store: Store, *, dusting: Dusting, level: int, place: Triple) -> None:
    parts = [_load(store, level - 1, part) for part in dusting.cutting.grid.parts(place, level)]
    contacts = sum(len(part.left.contacts.edges) for part in parts)
    if contacts > UNCHECKED_CONTACTS:
        what = f"dust at level {level}, with {contacts:,} contacts,"
        refuse_beyond_memory(
            BYTES_A_CONTACT * contacts, what, "what is done is kept: clew retry on a machine with more"
        )
    _settle(store, dusting, level, place, *_together(parts))


def _settle(store: Store, dusting: Dusting, level: int, place: Triple, dust: Dust, known: Segments) -> None:
    at_faces = segments_at_faces(store, dusting.cutting.grid, level, place)
    found = settle(dust, known, at_faces, minimum_size=dusting.minimum_size, score=dusting.score)
    store.save(("dust", level, *place), _as_table(found))


def _hand_down(store: Store, *, dusting: Dusting, level: int, place: Triple) -> None:
    cut = dusted(store, dusting, place, level)
    for part in dusting.cutting.grid.parts(place, level):
        rows = np.searchsorted(cut.regions, _load(store, level - 1, part).passed.ids)
        store.save(("joined", level - 1, *part), as_table(cut.at(rows)))


def _as_table(found: Settled) -> Table:
    """One table of all columns."""
    records = {"cut": found.cut, "passed": found.passed, "contacts": found.left.contacts, "left": found.left.cut}
    columns = {
        f"{name}-{column}": values for name, each in records.items() for column, values in as_table(each).items()
    }
    return columns | {"cannot_link": found.left.cannot_link}


def _load(store: Store, level: int, place: Triple) -> Settled:
    table = store.load(("dust", level, *place))

    def record(kind: Any, name: str) -> Any:
        return as_record(kind, {key.partition("-")[2]: table[key] for key in table if key.startswith(f"{name}-")})

    left = Dust(record(RegionGraph, "contacts"), record(Cut, "left"), table["cannot_link"])
    return Settled(record(Cut, "cut"), record(Segments, "passed"), left)
