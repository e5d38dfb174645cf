"""The merge tree of the whole, from what the blocks have decided.

Fragments, merges and constraints of blocks are merged by ranges of their order: a task reads the tables of eight blocks, some
rows of each at a time, and writes that of the block that they make up. The last one is the merge tree, which no task holds.

Rows of ("tree_fragments", level, z, y, x): fragment, voxels, how often it was absorbed. Rows of "tree_merges": 65535 - score,
key (2), survivor, absorbed. Of "tree_sides", where there are constraints: fragment, split, side; of "tree_links": must-link
group, fragment (0 for points in none). Those of the whole have no level; ("tree_counts",) says how many there are. ("tree",) holds
what was linked: of all tables it alone is held whole, and has at most a row for each point that was given.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.grid import Grid
from clew.blockwise.rows import Rows, in_order, merged_rows
from clew.blockwise.store import Key, Store, as_record
from clew.blockwise.tasks import Task, keys
from clew.errors import InputError
from clew.kernels import agglomeration_layout as layout
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.constraints import linked_pairs
from clew.segmentation.in_blocks.constraints import BlockConstraints
from clew.space import Triple

FRAGMENTS, MERGES, SIDES, LINKS = "tree_fragments", "tree_merges", "tree_sides", "tree_links"
KEYS = {FRAGMENTS: 1, MERGES: 3, SIDES: 3, LINKS: 2}
"""How many columns decide on the order of each table."""
# columns of merges: 65535 - score, a key of two, and
SURVIVOR, ABSORBED = 3, 4


class Sizes(NamedTuple):
    """Voxels of each fragment, in one block."""

    fragments: NDArray[np.uint64]
    sizes: NDArray[np.int64]


class Merges(NamedTuple):
    """Merges that a block decided, in no order.

    (survivor, absorbed), the key as two fragments, and the score in 65535ths.
    """

    pairs: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    levels: NDArray[np.int64]


class Column(NamedTuple):
    """A column of the merge tree.

    Its dtype and shape, and a way to go through its values, some rows at a time.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: Callable[[], Iterator[NDArray[Any]]]


def tree_tasks(grid: Grid, *, constrained: bool) -> list[Task]:
    """All tasks from the merges of blocks to the tables of the merge tree."""
    tasks, names = [], tuple(KEYS) if constrained else (FRAGMENTS, MERGES)
    for level in range(min(1, grid.top), grid.top + 1):
        for place in grid.places(level):
            parts = grid.parts(place, level) if level else []
            reads = _decided(level, [place], constrained)
            reads += _decided(0, parts, constrained) if level == 1 else _gathered(grid, level - 1, parts, names)
            work = partial(_gather, grid=grid, level=level, place=place, names=names)
            counts: tuple[Key, ...] = (("tree_counts",),) if level == grid.top else ()
            tasks.append(Task(work, reads, _gathered(grid, level, [place], names) + counts))
    linked: tuple[Key, ...] = ((LINKS,),) if constrained else ()
    tasks.append(Task(partial(_link, constrained=constrained), linked, (("tree",),)))
    return tasks


def load_tree(store: Store, score: str) -> MergeTree:
    """The merge tree that the tasks have written, whole, if it fits in memory."""
    columns = {
        name: np.concatenate([np.zeros((0, *column.shape[1:]), column.dtype), *column.parts()])
        for name, column in tree_columns(store).items()
    }
    return MergeTree(**columns, score=score, **store.load(("tree",)))


def tree_columns(store: Store) -> dict[str, Column]:
    """The columns of the merge tree, which are equal to those of `agglomerate`.

    None of them is in memory.
    """
    counts = store.load(("tree_counts",))
    fragments, merges = int(counts[FRAGMENTS]), int(counts[MERGES])
    columns = {
        "fragments": Column(
            np.dtype(np.uint64), (fragments,), lambda: (rows[:, 0] for rows in store.rows((FRAGMENTS,)))
        ),
        "sizes": Column(
            np.dtype(np.int64), (fragments,), lambda: (rows[:, 1].view(np.int64) for rows in store.rows((FRAGMENTS,)))
        ),
        "merges": Column(
            np.dtype(np.uint64), (merges, 2), lambda: (rows[:, SURVIVOR:] for rows in store.rows((MERGES,)))
        ),
        "scores": Column(np.dtype(np.float32), (merges,), lambda: (_scores(rows) for rows in store.rows((MERGES,)))),
    }
    if SIDES in counts:
        columns["cannot_link"] = Column(np.dtype(np.uint64), (int(counts[SIDES]), 3), lambda: store.rows((SIDES,)))
    return columns


def constraints_of_tree(store: Store) -> tuple[Iterator[Rows], int] | None:
    """Rows of cannot-link, some at a time, and how many fragments were linked.

    None where the tree was made without constraints.
    """
    if SIDES not in store.load(("tree_counts",)):
        return None
    return store.rows((SIDES,)), len(store.load(("tree",))["must_link"])


def _scores(rows: Rows) -> NDArray[np.float32]:
    levels = layout.FULL - rows[:, 0].astype(np.int64)
    scores: NDArray[np.float32] = (levels / layout.FULL).astype(np.float32)
    return scores


def _decided(level: int, places: list[Triple], constrained: bool) -> tuple[Key, ...]:
    """Keys of what blocks decided, and of what they are made of."""
    found = keys("merges", places, level)
    if level:
        return found
    return found + keys("sizes", places) + keys("constraints", places if constrained else [])


def _gathered(grid: Grid, level: int, places: list[Triple], names: Iterable[str]) -> tuple[Key, ...]:
    return tuple(_key(grid, name, level, place) for place in places for name in names)


def _key(grid: Grid, name: str, level: int, place: Triple) -> Key:
    return (name,) if level == grid.top else (name, level, *place)


def _gather(store: Store, *, grid: Grid, level: int, place: Triple, names: Sequence[str]) -> None:
    """Merge the tables of the parts of a block and what it decided itself."""
    counts = dict.fromkeys(names, 0)
    for name in names:
        rows = merged_rows(list(_tables(store, grid, name, level, place)), KEYS[name])
        if name == FRAGMENTS:
            rows = map(added_up, rows)
        elif name != MERGES:
            rows = map(without_repetitions, rows)
        store.save_rows(_key(grid, name, level, place), _counted(rows, name, counts))
    if level == grid.top:
        store.save(("tree_counts",), {name: np.array(count) for name, count in counts.items()})


def _tables(store: Store, grid: Grid, name: str, level: int, place: Triple) -> Iterator[Iterable[Rows]]:
    """Tables of ascending rows: what a block decided, and what its parts did."""
    yield from _own_tables(store, name, level, place)
    for part in grid.parts(place, level) if level else []:
        if level == 1:
            yield from _own_tables(store, name, 0, part)
        else:
            yield store.rows((name, level - 1, *part))


def _own_tables(store: Store, name: str, level: int, place: Triple) -> Iterator[Iterable[Rows]]:
    if name in (SIDES, LINKS):
        yield [_constraints(store, name, place)] if level == 0 else []
        return
    merges = as_record(Merges, store.load(("merges", level, *place)))
    if name == MERGES:
        below = (layout.FULL - merges.levels).astype(np.uint64)
        yield [in_order(np.column_stack([below, merges.keys, merges.pairs]), KEYS[name])]
        return
    yield [in_order(fragment_rows(merges.pairs[:, 1], 0, 1), KEYS[name])]
    if level == 0:
        sizes = as_record(Sizes, store.load(("sizes", *place)))
        yield [fragment_rows(sizes.fragments, sizes.sizes, 0)]


def _constraints(store: Store, name: str, place: Triple) -> Rows:
    """What a block says of constraints, as ascending rows."""
    found = as_record(BlockConstraints, store.load(("constraints", *place)))
    if name == SIDES:
        return np.unique(found.cannot_link, axis=0)
    return np.unique(found.must_link[:, [1, 0]], axis=0)


def fragment_rows(fragments: NDArray[np.uint64], sizes: NDArray[np.int64] | int, absorbed: int) -> Rows:
    """Rows of fragments, their voxels, and how often they were absorbed."""
    rows = np.empty((len(fragments), 3), np.uint64)
    rows[:, 0], rows[:, 1], rows[:, 2] = fragments, sizes, absorbed
    return rows


def added_up(rows: Rows) -> Rows:
    """Ascending rows of fragments, each fragment once.

    Raises
    ------
    InputError
        Where a fragment was not connected, so that a merge was found twice.
    """
    first = np.flatnonzero(np.append(True, rows[1:, 0] != rows[:-1, 0])[: len(rows)])
    sums = np.add.reduceat(rows, first, axis=0)
    sums[:, 0] = rows[first, 0]
    if (sums[:, 2] > 1).any():
        raise InputError("each fragment must be connected (26 neighbours) to be agglomerated block by block")
    return sums


def without_repetitions(rows: Rows) -> Rows:
    """Ascending rows, each once."""
    return rows[np.append(True, (rows[1:] != rows[:-1]).any(axis=1))[: len(rows)]]


def _counted(parts: Iterable[Rows], name: str, counts: dict[str, int]) -> Iterator[Rows]:
    for part in parts:
        counts[name] += len(part)
        yield part


def _link(store: Store, *, constrained: bool) -> None:
    """Note what was linked, in its one form."""
    rows = np.concatenate([np.zeros((0, 2), np.uint64), *(store.rows((LINKS,)) if constrained else ())])
    store.save(("tree",), {"must_link": linked_pairs(rows[:, 1], rows[:, 0])})
