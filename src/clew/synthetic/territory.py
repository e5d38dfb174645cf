"""Who owns which cell: tubes claim space, and the nearest surface wins.

Later tubes carve earlier ones.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from clew.space import Box
from clew.synthetic.grid import Grid

REACH = 120.0
"""How far from its surface, in nm, a tube can claim space."""


@dataclass(frozen=True)
class Tube:
    """A straight, round piece of a neurite; positions (z, y, x) and radii in nm."""

    start: np.ndarray
    end: np.ndarray
    start_radius: float
    end_radius: float


def box_around(tube: Tube, margin: float, grid: Grid) -> Box | None:
    """Cells within ``margin`` nm of the bounding box of a tube, None without any."""
    reach = max(tube.start_radius, tube.end_radius) + margin
    low = np.minimum(tube.start, tube.end) - reach
    high = np.maximum(tube.start, tube.end) + reach
    first = (int(edge // step) for edge, step in zip(low, grid.step, strict=True))
    last = (int(edge // step) + 1 for edge, step in zip(high, grid.step, strict=True))
    box = Box.between(first, last).overlap(Box.whole(grid.shape))
    return box if box.size else None


def distance_to(tube: Tube, box: Box, grid: Grid) -> np.ndarray:
    """Signed distance in nm from cells of a box to the surface of a tube.

    It is measured from the centres of the cells, and negative inside the tube.
    """
    offsets = [
        ((np.arange(edge.start, edge.stop) + 0.5) * step - origin).astype(np.float32)
        for edge, step, origin in zip(box, grid.step, tube.start, strict=True)
    ]
    z, y, x = np.ix_(*offsets)
    axis = (tube.end - tube.start).astype(np.float32)
    squared = (z * z + y * y) + x * x
    length = float(axis @ axis)
    if length == 0:
        return np.sqrt(squared) - np.float32(tube.start_radius)
    along = ((z * axis[0] + y * axis[1]) + x * axis[2]) / np.float32(length)
    fraction = np.clip(along, 0, 1)
    squared += fraction * (fraction - 2 * along) * np.float32(length)
    np.maximum(squared, 0, out=squared)
    np.sqrt(squared, out=squared)
    squared -= np.float32(tube.start_radius) + fraction * np.float32(tube.end_radius - tube.start_radius)
    return squared


@dataclass
class Territory:
    """The nearest neurite of every cell, and the distances to it and to the next.

    Distances are signed, to the surfaces, in nm.

    Parameters
    ----------
    grid : Grid
        The cells.
    relief : (z, y, x) float32
        Smooth noise of unit variance that roughens outlines.

    Attributes
    ----------
    owner : (z, y, x) int32
        The nearest neurite, 0 for none.
    nearest, second : (z, y, x) float32
        Distances to its surface, and to that of the next one.
    """

    grid: Grid
    relief: np.ndarray
    owner: np.ndarray = field(init=False)
    nearest: np.ndarray = field(init=False)
    second: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.owner = np.zeros(self.grid.shape, np.int32)
        self.nearest = np.full(self.grid.shape, REACH, np.float32)
        self.second = np.full(self.grid.shape, REACH, np.float32)

    def claim(self, neurite: int, tube: Tube, roughness: float, vigour: float) -> None:
        """Let a neurite claim the space in and around a tube.

        ``roughness`` (nm, either sign) scales the relief of the outline; ``vigour`` above 1 lets the neurite win
        more than its half of the free space around it. Inside the tube, it wins against all earlier owners, whose
        surface then is the tube's.
        """
        box = box_around(tube, min(REACH, 60 + tube.start_radius), self.grid)
        if box is None:
            return
        distance = distance_to(tube, box, self.grid)
        distance += np.float32(roughness) * self.relief[box]
        np.multiply(distance, np.float32(1 / vigour), out=distance, where=distance > 0)
        owner, nearest, second = self.owner[box], self.nearest[box], self.second[box]
        foreign = owner != neurite
        np.maximum(nearest, -distance, out=nearest, where=foreign)
        np.maximum(second, -distance, out=second)
        wins = distance < nearest
        taken = wins & foreign
        np.copyto(second, nearest, where=taken)
        np.copyto(nearest, distance, where=wins)
        np.copyto(owner, np.int32(neurite), where=taken)
        close = (foreign ^ taken) & (distance < second)
        np.copyto(second, distance, where=close)

    def room_at(self, positions: np.ndarray) -> np.ndarray:
        """Distance in nm from positions (n, 3) to the nearest surface so far.

        It is at most ``REACH``; outside of the grid it is that at the edge.
        """
        cells = (positions / np.array(self.grid.step)).astype(np.int64)
        cells = np.clip(cells, 0, np.array(self.grid.shape) - 1)
        return self.nearest[cells[:, 0], cells[:, 1], cells[:, 2]]

    def lead(self) -> np.ndarray:
        """How much nearer the owner is than its rival, in nm.

        This is twice the distance to the border between them.
        """
        return np.minimum(self.second - self.nearest, 2 * REACH)

    def settle(self) -> None:
        """Give cells beyond everyone's reach to the nearest owner."""
        empty = self.owner == 0
        if not empty.any() or empty.all():
            return
        where = ndimage.distance_transform_edt(
            empty, sampling=self.grid.step, return_distances=False, return_indices=True
        )
        self.owner[empty] = self.owner[tuple(where[:, empty])]

    def give_ids(self, smallest: int) -> None:
        """Give every connected part of a neurite an id of its own: 1, 2, …

        Parts below ``smallest`` cells join a neighbour.
        """
        ids, given = np.zeros_like(self.owner), 0
        for neurite, box in enumerate(ndimage.find_objects(self.owner), start=1):
            if box is None:
                continue
            parts, _ = ndimage.label(self.owner[box] == neurite)
            sizes = np.bincount(parts.ravel())
            kept = sizes >= smallest
            kept[0] = False
            kept[1 + np.argmax(sizes[1:])] = True
            fresh = np.where(kept, given + np.cumsum(kept), 0).astype(ids.dtype)
            given += int(kept.sum())
            np.copyto(ids[box], fresh[parts], where=kept[parts])
        self.owner = ids
        self.settle()
