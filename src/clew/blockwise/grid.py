"""The grid of blocks that tile a domain, and the levels above it.

At each level 2 × 2 × 2 blocks are joined into one.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

from clew.blockwise.block import Block, Domain
from clew.errors import InputError
from clew.memory import refuse_beyond_memory
from clew.space import Box, Triple, triple

LARGEST_EDGE = 256
"""Largest edge of a block, in voxels, where the user gives no shape."""
CHUNK = 64
"""Edges of such a block are multiples of this."""
BYTES_A_BLOCK = 8000
"""Memory of the tasks of a segmentation for each block, in the process that hands them out."""
UNCHECKED = 10_000
"""Blocks that are listed without a look at the free memory."""


def even_blocks(shape: Triple) -> Triple:
    """A block of at most 256 voxels along each axis.

    The last blocks of a volume are not much smaller than the others.
    """
    return triple(-(-length // (-(-length // LARGEST_EDGE) * CHUNK)) * CHUNK for length in shape)


@dataclass(frozen=True)
class Grid:
    """Blocks of one shape, the last ones smaller, from the low corner of a domain on.

    Parameters
    ----------
    domain : Domain
    block_shape : (z, y, x) ints
        Whole chunks of the outputs, so that no two blocks write to one chunk (`SharedVolume` sees to it).

    Raises
    ------
    InputError
        For an empty domain or block, or a volume of 2⁶³ / 3 voxels or more.
    """

    domain: Domain
    block_shape: Triple

    def __post_init__(self) -> None:
        if min(self.domain.box.shape) < 1:
            raise InputError(f"there is nothing to segment in the box {self.domain.box}")
        if min(self.block_shape) < 1:
            raise InputError(f"a block must hold at least one voxel along each axis, not {self.block_shape}")
        if 3 * prod(self.domain.frame) >= 2**63:
            raise InputError(
                f"a volume of the shape {self.domain.frame} has too many voxels: there must be fewer than 2^63 / 3"
            )
        count = prod(self.levels[0])
        if count > UNCHECKED:
            what = f"the list of {count:,} blocks of {self.block_shape} voxels"
            refuse_beyond_memory(BYTES_A_BLOCK * count, what, "take larger blocks, or a part of the volume")

    @cached_property
    def levels(self) -> list[Triple]:
        """The number of blocks along each axis: of the grid, then of each level above.

        The last level has one block.
        """
        edges = zip(self.domain.box.shape, self.block_shape, strict=True)
        levels = [triple(-(-length // size) for length, size in edges)]
        while max(levels[-1]) > 1:
            levels.append(triple((count + 1) // 2 for count in levels[-1]))
        return levels

    @property
    def top(self) -> int:
        """The level at which one block is the whole domain."""
        return len(self.levels) - 1

    @property
    def middle(self) -> Triple:
        """A block with others on all sides, if there is one."""
        z, y, x = ((count - 1) // 2 for count in self.levels[0])
        return z, y, x

    def places(self, level: int = 0) -> list[Triple]:
        """All blocks of a level."""
        return Box.whole(self.levels[level]).voxels()

    def block(self, place: Triple, level: int = 0) -> Block:
        """One block of a level."""
        domain = self.domain.box
        box = Box.tile(place, [size << level for size in self.block_shape])
        return Block(box.shifted(domain.low).overlap(domain), self.domain)

    def parts(self, place: Triple, level: int, below: int | None = None) -> list[Triple]:
        """Blocks of a lower level (by default of the next) that make up one block."""
        steps = level - (level - 1 if below is None else below)
        lower = Box.whole(self.levels[level - steps])
        return Box.tile(place, (1 << steps,) * 3).overlap(lower).voxels()

    def touched(self, box: Box) -> list[Triple]:
        """The blocks of which a box holds voxels."""
        low = [
            (at - first) // size for at, first, size in zip(box.low, self.domain.box.low, self.block_shape, strict=True)
        ]
        high = [
            -((first - at) // size)
            for at, first, size in zip(box.high, self.domain.box.low, self.block_shape, strict=True)
        ]
        return Box.between(low, high).voxels()

    def faces(self) -> list[tuple[int, Triple]]:
        """All faces between two blocks, as (axis, the block below)."""
        return [(axis, place) for axis in range(3) for place in self.places() if place[axis] + 1 < self.levels[0][axis]]

    def faces_of(self, places: list[Triple]) -> list[tuple[int, Triple]]:
        """The faces that any of these blocks has with another."""
        found: dict[tuple[int, Triple], None] = {}
        for place in places:
            for axis in range(3):
                for lower in (place, beside(place, axis, -1)):
                    if 0 <= lower[axis] < self.levels[0][axis] - 1:
                        found[axis, lower] = None
        return list(found)

    def face_box(self, axis: int, place: Triple) -> Box:
        """The plane of voxels that two blocks share."""
        box = list(self.block(place).seen)
        box[axis] = slice(box[axis].stop - 1, box[axis].stop)
        return Box(*box)


def beside(place: Triple, axis: int, step: int) -> Triple:
    """The block so many steps further along an axis."""
    return triple(at + step * (axis == a) for a, at in enumerate(place))
