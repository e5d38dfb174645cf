"""What a block found of each segment: rows of arrays, kept by id.

A few tasks put the segments together.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.store import Table

ID_BITS = 3
"""Ids that differ in the last bits only lie in one bucket: a shard of precomputed has this many bits of minishards."""
BLOCKS_A_BUCKET = 64
"""Blocks for which there is one bucket of segments, at least."""


def bucket_count(blocks: int) -> int:
    """How many buckets of segments there are for so many blocks: a power of two."""
    return 1 << max(0, (blocks - 1) // BLOCKS_A_BUCKET).bit_length()


def bucket_of(ids: NDArray[np.uint64], buckets: int) -> NDArray[np.uint64]:
    """The bucket in which each segment is put together."""
    return (ids >> np.uint64(ID_BITS)) & np.uint64(buckets - 1)


def pack(pieces: Mapping[int, Sequence[NDArray[np.generic]]], buckets: int) -> list[Table]:
    """A table for each bucket.

    Parameters
    ----------
    pieces : mapping of int to arrays
        By id; all have as many arrays, of the same shape but for their length.
    buckets : int

    Returns
    -------
    list of dict
        `ids`, and of each array of the pieces `rows0`, … one after the other and `starts0`, … where those of each id begin.
    """
    ids = np.array(sorted(pieces), np.uint64)
    of = bucket_of(ids, buckets)
    return [_table({int(id): pieces[int(id)] for id in ids[of == bucket]}) for bucket in range(buckets)]


def _table(pieces: Mapping[int, Sequence[NDArray[np.generic]]]) -> Table:
    table: Table = {"ids": np.array(list(pieces), np.uint64)}
    for number, arrays in enumerate(zip(*pieces.values(), strict=True)):
        table[f"rows{number}"] = np.concatenate(arrays)
        table[f"starts{number}"] = np.cumsum([0, *map(len, arrays)])
    return table


def unpack(
    tables: Sequence[Table], wanted: NDArray[np.uint64]
) -> Iterator[tuple[int, list[tuple[NDArray[np.generic], ...]]]]:
    """The wanted segments in the order of ids, each with its pieces of all blocks."""
    ids = np.concatenate([table["ids"] for table in tables])
    block = np.repeat(np.arange(len(tables)), [len(table["ids"]) for table in tables])
    place = np.concatenate([np.arange(len(table["ids"])) for table in tables])
    order = np.argsort(ids, kind="stable")
    order = order[np.isin(ids[order], wanted)]
    for rows in np.split(order, np.flatnonzero(np.diff(ids[order])) + 1 if len(order) else []):
        if len(rows):
            yield int(ids[rows[0]]), [_piece(tables[block[row]], int(place[row])) for row in rows]


def _piece(table: Table, place: int) -> tuple[NDArray[np.generic], ...]:
    starts = [table[f"starts{number}"][place : place + 2] for number in range(len(table) // 2)]
    return tuple(table[f"rows{number}"][low:high] for number, (low, high) in enumerate(starts))
