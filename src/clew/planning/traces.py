"""Do skeletons follow the labels that they are said to belong to?

Tried as they are, and as they would be after the usual mistakes: other axes, another unit, another place.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.evaluation.nodes import read_nodes
from clew.evaluation.overlap import sum_pairs
from clew.evaluation.skeletons import Skeletons
from clew.planning.annotation import Finding
from clew.space import Lengths, Triple, triple

FOLLOWS, BETTER = 0.8, 0.15
"""Share of the edges in a label of their own that is good, and by how much a mistake must explain more of them."""
MOST_EDGES = 2000
"""Edges that are looked at."""
SHIFTS = (1, 2, 3, 5, 8, 12, 20, 32, 50)
"""Voxels by which labels are moved along each axis, to see whether skeletons then follow them."""
MOVE = "clew convert {labels} OUT.zarr --offset={offset}"


class Trial(NamedTuple):
    """A mistake that may have been made, the positions without it, and what to type."""

    words: str
    positions: NDArray[np.float64]
    mend: str = ""
    move: Triple = (0, 0, 0)


def check_traces(
    labels: Any, skeletons: Skeletons, voxel_size: Lengths, offset: Lengths, *, unit: bool, moved: bool
) -> list[Finding]:
    """Find skeletons that do not follow labels, and the mistake that explains it.

    Parameters
    ----------
    labels : (z, y, x) whole numbers
        An array, or anything that is sliced like one; only blocks that hold nodes are read.
    skeletons : Skeletons
        Positions in nm.
    voxel_size, offset : (z, y, x) floats, nm
        Of the labels.
    unit : bool
        Whether the unit of the skeletons was not known (SWC), and nm was taken.
    moved : bool
        Try also whether labels were moved by a few voxels, which reads them many times.
    """
    edges = skeletons.edges[:: -(-len(skeletons.edges) // MOST_EDGES) or 1]
    if not len(edges):
        return []
    owners = np.unique(skeletons.skeletons, return_inverse=True)[1].ravel()[edges[:, 0]].astype(np.uint64)

    def share(positions: NDArray[np.float64]) -> float:
        """Edges inside a label of which no other skeleton has more."""
        ends = Skeletons(positions[edges].reshape(-1, 3), np.zeros((0, 2), int), np.zeros(2 * len(edges), int))
        one, other = read_nodes(labels, ends, voxel_size, offset)[0].reshape(-1, 2).T
        inside = (one == other) & (one > 0)
        table = sum_pairs(one[inside], owners[inside], np.ones(np.count_nonzero(inside), np.int64))
        most = np.zeros(len(table.counts), np.int64)
        np.maximum.at(most, np.unique(table.segments, return_inverse=True)[1].ravel(), table.counts)
        return float(most.sum() / len(edges))

    here = share(skeletons.positions)
    if here >= FOLLOWS:
        return []
    size = np.array(voxel_size)
    trials = list(_mistakes(skeletons.positions, size, np.array(offset), unit=unit))
    trials += _moves(skeletons.positions, size) if moved else []
    shares = [share(trial.positions) for trial in trials]
    best = int(np.argmax(shares))
    text = f"{here:.0%} of the edges of skeletons lie in a label of their own"
    if shares[best] < here + BETTER:
        return [Finding(False, f"only {text}: do they belong together, or is the segmentation that bad?")]
    found = trials[best]
    return [Finding(True, f"only {text}, but {shares[best]:.0%} {found.words}", found.mend, found.move)]


def _mistakes(
    positions: NDArray[np.float64], size: NDArray[np.float64], offset: NDArray[np.float64], *, unit: bool
) -> Iterator[Trial]:
    voxels = (positions - offset) / size
    if unit:
        yield Trial("if they are in µm (--unit um)", positions * 1e3)
        yield Trial("if they are in voxels (--unit voxels)", positions * size + offset)
    exchanged = "with x and z exchanged: write the skeletons anew, or turn the labels"
    yield Trial(exchanged, positions[:, ::-1])
    yield Trial(exchanged, voxels[:, ::-1] * size + offset)
    if offset.any():
        move = triple((-np.round(offset / size)).astype(int).tolist())
        yield Trial("with labels that begin at 0", positions + offset, MOVE, move)
    for factor in (2.0, 0.5, 4.0, 0.25, 10.0, 0.1):
        yield Trial(f"with {factor:g} times the voxel size in the skeletons: check their scale", positions * factor)


def _moves(positions: NDArray[np.float64], size: NDArray[np.float64]) -> Iterator[Trial]:
    for axis in range(3):
        for step in (*SHIFTS, *(-shift for shift in SHIFTS)):
            move = tuple(step * (each == axis) for each in range(3))
            words = f"with labels moved by {step} voxels along {'zyx'[axis]}"
            yield Trial(words, positions - np.array(move) * size, MOVE, triple(move))
