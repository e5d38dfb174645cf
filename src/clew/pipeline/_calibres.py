"""What errors cost in thin and thick neurites: `clew evaluate --calibres`.

It is a table and JSON.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.evaluation.calibre import calibre_classes, costs_by_calibre
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.labels import Labels, special_ids
from clew.pipeline._progress import say
from clew.space import Lengths

NAMES = ("thin", "medium", "thick")


def classes_of(truth: Labels, voxel_size: Lengths, bounds: Sequence[float]) -> NDArray[np.uint8]:
    """The class of calibre of each voxel of truth as it was read.

    Where CREMI's ids say that nobody annotated, no neuron ends.
    """
    unknown = special_ids(truth)
    inside = (truth != 0) & ~unknown
    known = inside.any(axis=(1, 2))[:, None, None] & ~unknown
    return calibre_classes(np.where(inside, truth, 0), voxel_size, bounds, annotated=known)


def overlap_by_calibre(
    segmentation: Labels, truth: Labels, classes: NDArray[np.uint8], number: int
) -> list[OverlapTable]:
    """Overlap of a segmentation with the truth in the voxels of each class."""
    return [overlap_table(segmentation, np.where(classes == which, truth, 0)) for which in range(1, number + 1)]


def calibre_rows(tables: Sequence[OverlapTable], bounds: Sequence[float]) -> list[dict[str, Any]]:
    """Say what a segmentation costs in each class, and return it as rows for JSON."""
    costs = costs_by_calibre(tables)
    split, merge = (sum(getattr(cost, name) for cost in costs) for name in ("voi_split", "voi_merge"))
    ends = [*bounds, None]
    say("calibre                  voxels  VOI split             VOI merge")
    for number, cost in enumerate(costs):
        bits = "  ".join(
            f"{value:9.4f} {_percent(value, total)}"
            for value, total in ((cost.voi_split, split), (cost.voi_merge, merge))
        )
        say(f"{_name(number, bounds):<22}  {cost.share:7.1%}  {bits}".rstrip())
    return [
        {"from": start, "to": end, **cost._asdict()}
        for start, end, cost in zip([0.0, *bounds], ends, costs, strict=True)
    ]


def _percent(value: float, total: float) -> str:
    return f"({value / total if total else 0:5.1%})".ljust(10)


def _name(number: int, bounds: Sequence[float]) -> str:
    """The class as people call it, and its calibres."""
    ranges = [
        f"below {bounds[0]:g} nm",
        *(f"{low:g} to {high:g}" for low, high in pairwise(bounds)),
        f"{bounds[-1]:g} or more",
    ]
    word = f"{NAMES[number]:<7} " if len(ranges) == len(NAMES) else ""
    return word + ranges[number]
