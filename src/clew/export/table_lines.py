"""The table of segments, and which segment each nucleus lies in."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clew.export.properties import volumes_of
from clew.export.segment_table import SegmentRows
from clew.labels import Labels
from clew.space import Lengths

COLUMNS = ("id", "name", "z", "y", "x", "z_um", "y_um", "x_um", "voxels", "volume_um3",
           "box_z", "box_y", "box_x", "box_depth", "box_height", "box_width", "nuclei")  # fmt: skip
NANOMETERS = 1000.0
"""In a µm."""


def table_lines(
    rows: SegmentRows,
    voxel_size: Lengths,
    offset: Lengths,
    names: Mapping[int, str],
    nuclei: Mapping[int, Sequence[int]],
) -> list[tuple[Any, ...]]:
    """The lines of the table, in the order of `COLUMNS`.

    Parameters
    ----------
    rows : SegmentRows
    voxel_size, offset : (z, y, x) floats
        In nm.
    names : mapping of int to str
        By id; "" where there is none.
    nuclei : mapping of int to sequence of int
        Ids of the nuclei in a segment.
    """
    lines = []
    places = (rows.points * np.array(voxel_size) + np.array(offset)) / NANOMETERS
    columns = (rows.ids, rows.points, places, rows.voxels, volumes_of(rows, voxel_size), rows.low, rows.high - rows.low)
    for id, point, place, voxels, volume, low, size in zip(*(column.tolist() for column in columns), strict=True):
        where = [f"{value:.4f}" for value in place]
        inside = ";".join(map(str, nuclei.get(id, ())))
        lines.append((id, names.get(id, ""), *point, *where, voxels, f"{volume:.6g}", *low, *size, inside))
    return lines


def shared_voxels(labels: Labels, nuclei: Labels) -> dict[str, np.ndarray]:
    """How many voxels each segment shares with each nucleus.

    They are columns: `pairs` (nucleus, segment) and `counts`.
    """
    both = (labels > 0) & (nuclei > 0)
    pairs, counts = np.unique(np.stack([nuclei[both], labels[both]], 1), axis=0, return_counts=True)
    return {"pairs": pairs, "counts": counts}


def nuclei_of_segments(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[int, list[int]]:
    """The nuclei in each segment.

    A nucleus lies in the segment that holds most of it, of equals in that of the smallest id.
    """
    counts: dict[tuple[int, int], int] = {}
    for part in parts:
        for pair, count in zip(part["pairs"].tolist(), part["counts"].tolist(), strict=True):
            counts[tuple(pair)] = counts.get(tuple(pair), 0) + count
    best: dict[int, tuple[int, int]] = {}
    for (nucleus, segment), count in sorted(counts.items()):
        if count > best.get(nucleus, (0, 0))[0]:
            best[nucleus] = (count, segment)
    found: dict[int, list[int]] = {}
    for nucleus, (_, segment) in best.items():
        found.setdefault(segment, []).append(nucleus)
    return found
