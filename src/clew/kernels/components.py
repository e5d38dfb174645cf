"""Connected components by union-find whose root is always the smallest voxel.

Parents are linear voxel indices (C order): uint32 while the volume has fewer than 2³² voxels, else int64.
"""

import numpy as np

from clew.kernels._flags import HELD, LINK_X, LINK_Y, LINK_Z, NOTHING, OBJECT, SEED, SEEDED
from clew.kernels._jit import at, bare_kernel, inline
from clew.kernels._union_find import root


def parent_type(voxels: int) -> type[np.unsignedinteger] | type[np.signedinteger]:
    """The smaller of uint32 and int64 that holds indices of so many voxels + 1."""
    return np.uint32 if voxels < 2**32 - 1 else np.int64


def indices_in(result: np.ndarray) -> np.ndarray:
    """Room for an index of each voxel in the memory of the flat uint64 `result`.

    An index has 4 or 8 bytes; see `spread_ids`.
    """
    return result.view(parent_type(result.size))[: result.size]


def unite_links(links: np.ndarray, parents: np.ndarray) -> None:
    """Fill the flat `parents` with the components of the links of a whole volume.

    Each voxel has a byte of links.
    """
    _, height, width = links.shape
    _unite(links.reshape(-1), height * width, width, parents)


def unite_touching_seeds(flags: np.ndarray, parents: np.ndarray, per_section: bool) -> None:
    """Unite seed voxels that touch (26 neighbours; 8 per section), in place."""
    _unite_seeds(flags.reshape(-1), flags.shape, parents, per_section)


@inline
def _join(parents, one, other):
    """Unite two roots, return the smaller."""
    smaller = min(one, other)
    parents[at(max(one, other))] = smaller
    return smaller


@bare_kernel
def _unite(links, plane, width, parents):
    """Unite voxels along their links.

    A run of links in x needs no union: its voxels get the root of the voxel before, which is at hand.
    """
    own = np.int64(0)
    for i in range(links.size):
        link = links[i]
        if link & LINK_X == 0:
            own = np.int64(i)
        parents[i] = own
        if link > LINK_X:
            own = root(parents, own)
            if link & LINK_Y:
                own = _join(parents, own, root(parents, i - width))
            if link & LINK_Z:
                own = _join(parents, own, root(parents, i - plane))
            parents[i] = own


@inline
def _meet(flags, parents, own, row, x, width, continued):
    """Unite with the seeds among x - 1, x, x + 1 of the row that starts at `row`.

    `continued`: the voxel before is a seed, hence united with those among x - 2, x - 1, x already.
    """
    if flags[at(row + x)] & SEED:
        return own if continued else _join(parents, own, root(parents, row + x))
    if not continued and x > 0 and flags[at(row + x - 1)] & SEED:
        own = _join(parents, own, root(parents, row + x - 1))
    if x + 1 < width and flags[at(row + x + 1)] & SEED:
        own = _join(parents, own, root(parents, row + x + 1))
    return own


@bare_kernel
def _unite_seeds(flags, shape, parents, per_section):
    depth, height, width = shape
    plane = np.int64(height) * width
    for z in range(depth):
        for y in range(height):
            row = z * plane + y * width
            continued = False
            for x in range(width):
                if flags[at(row + x)] & SEED == 0:
                    continued = False
                    continue
                own = root(parents, row + x)
                if continued:
                    own = _join(parents, own, root(parents, row + x - 1))
                if y > 0:
                    own = _meet(flags, parents, own, row - width, x, width, continued)
                if z > 0 and not per_section:
                    for step in range(-1 if y > 0 else 0, 2 if y + 1 < height else 1):
                        own = _meet(flags, parents, own, row - plane + step * width, x, width, continued)
                continued = True


def unite_equal(ids: np.ndarray, parents: np.ndarray, per_section: bool) -> None:
    """Unite voxels of one id above 0 that touch, in place.

    Six neighbours; four per section.

    The (z, y, x) uint64 `ids` are those of the voxels of the flat `parents`.
    """
    _unite_equal(ids, parents, per_section)


@bare_kernel
def _unite_equal(ids, parents, per_section):
    depth, height, width = ids.shape
    plane = np.int64(height) * width
    for z in range(depth):
        for y in range(height):
            row = z * plane + y * width
            for x in range(width):
                own = ids[z, y, x]
                if own == 0:
                    continue
                voxel = row + x
                if x > 0 and ids[z, y, x - 1] == own:
                    _join(parents, root(parents, voxel), root(parents, voxel - 1))
                if y > 0 and ids[z, y - 1, x] == own:
                    _join(parents, root(parents, voxel), root(parents, voxel - width))
                if z > 0 and not per_section and ids[z - 1, y, x] == own:
                    _join(parents, root(parents, voxel), root(parents, voxel - plane))


@bare_kernel
def _count_roots(flags, parents):
    """Number of components, single voxels without any flag left out."""
    count = np.int64(0)
    for i in range(flags.size):
        count += (parents[i] == i) & (flags[i] != 0)
    return count


def index_components(flags: np.ndarray, parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace parents, in place, by the indices 1, 2, … of components.

    They are in the order of their smallest voxel.

    Single voxels without any flag get 0.

    Returns
    -------
    firsts : (components + 1,) uint64
        1 + index of the smallest voxel of each component.
    kinds : (components + 1,) uint8
        What each component holds.
    """
    count = _count_roots(flags.reshape(-1), parents)
    firsts = np.zeros(count + 1, np.uint64)
    kinds = np.full(count + 1, NOTHING, np.uint8)
    _index(flags.reshape(-1), parents, firsts, kinds)
    return firsts, kinds


@bare_kernel
def _index(flags, parents, firsts, kinds):
    """One pass: a parent is a smaller voxel, which has its index already."""
    count = np.int64(0)
    for i in range(flags.size):
        parent = np.int64(parents[i])
        if parent != i:
            parents[i] = parents[at(parent)]
        elif flags[i] == 0:
            parents[i] = 0
        else:
            count += 1
            parents[i] = count
            firsts[count] = np.uint64(i + 1)
        if flags[i] >= OBJECT:
            kinds[at(parents[i])] = max(kinds[at(parents[i])], np.uint8(SEEDED if flags[i] & SEED else HELD))


def first_voxels(indices: np.ndarray, count: int) -> np.ndarray:
    """The first voxel of each component, (count + 1,) uint64.

    1 + its index, 0 where the component has none; component 0 is none.
    """
    firsts = np.zeros(count + 1, np.uint64)
    _find_firsts(indices, firsts)
    return firsts


@bare_kernel
def _find_firsts(indices, firsts):
    for i in range(indices.size):
        if indices[i] != 0 and firsts[at(indices[i])] == 0:
            firsts[at(indices[i])] = np.uint64(i + 1)


def spread_ids(ids: np.ndarray, result: np.ndarray) -> None:
    """Look up the id of every index, in place.

    Parameters
    ----------
    ids : (components + 1,) uint64
    result : (voxels,) uint64
        Its memory begins with the indices (see `indices_in`).
    """
    _spread(indices_in(result), ids, result)


@bare_kernel
def _spread(indices, ids, result):
    """Spread small numbers to uint64 from the last voxel on.

    What is written lies behind all indices that are still to be read.
    """
    for i in range(result.size - 1, -1, -1):
        result[i] = ids[at(indices[i])]
