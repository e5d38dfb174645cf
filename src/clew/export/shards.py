"""Shards of precomputed: one file for many ids, each found by two reads.

https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/sharded.md
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from clew.meshes.pieces import ID_BITS


class Entry(NamedTuple):
    """What is stored of an id: the content, and what lies before it."""

    before: bytes
    content: bytes


def sharding(shards: int) -> dict[str, Any]:
    """How ids are found in this many shards (a power of two), as in `info`."""
    return {
        "@type": "neuroglancer_uint64_sharded_v1", "hash": "identity", "preshift_bits": 0, "minishard_bits": ID_BITS,
        "shard_bits": shards.bit_length() - 1, "minishard_index_encoding": "raw", "data_encoding": "raw",
    }  # fmt: skip


def shard_file(number: int, shards: int) -> str:
    """Name of the file of a shard."""
    digits = -(-(shards.bit_length() - 1) // 4)
    return f"{number:0{max(digits, 1)}x}.shard"


def shard_bytes(entries: Mapping[int, Entry]) -> bytes:
    """A shard of ids, all of which belong to it."""
    minishards: list[list[tuple[int, int, int]]] = [[] for _ in range(1 << ID_BITS)]
    parts, end = [], 0
    for id in sorted(entries):
        before, content = entries[id]
        parts += [before, content]
        minishards[id & ((1 << ID_BITS) - 1)].append((id, end + len(before), len(content)))
        end += len(before) + len(content)
    ranges = []
    for rows in minishards:
        parts.append(_index(rows))
        ranges.append((end, end + len(parts[-1])))
        end += len(parts[-1])
    return np.array(ranges, "<u8").tobytes() + b"".join(parts)


def _index(rows: list[tuple[int, int, int]]) -> bytes:
    """Ids, starts and sizes.

    Ids are steps from one to the next, starts are steps from the end of the one before.
    """
    ids, starts, sizes = np.array(rows, np.uint64).reshape(-1, 3).T
    ends = starts + sizes
    steps = np.concatenate([starts[:1], starts[1:] - ends[:-1]])
    return np.array([np.diff(ids, prepend=np.uint64(0)), steps, sizes], "<u8").tobytes()
