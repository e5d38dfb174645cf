"""Union-find, once for all kernels: a forest of parents.

The parent of a root is itself.

Joining is left to the kernels: who becomes the root (the smallest voxel, the seeded region) is what they decide.
"""

import numpy as np

from clew.kernels._jit import at, inline


@inline
def root(parents, node):
    """Root of a node.

    On the way every other node is hung one higher, which keeps paths short without a second walk.
    """
    above = np.int64(parents[at(node)])
    while above != node:
        next_above = np.int64(parents[at(above)])
        parents[at(node)] = next_above
        node = next_above
        above = np.int64(parents[at(node)])
    return node


@inline
def sized_root(tree, node):
    """Root of a node in a tree that also holds sizes.

    It holds the node above, or for a root -1 - the size of its component.

    Sizes in the roots spare an array of their own, which is a cache miss for each edge of a large crop.
    """
    here = at(node)
    above = tree[here]
    while above >= 0:
        over = tree[at(above)]
        if over < 0:
            here = at(above)
            break
        tree[here] = over
        here = at(over)
        above = tree[here]
    return here
