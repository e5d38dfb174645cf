"""Cut a merge tree at a score."""

import numpy as np

from clew.kernels._jit import kernel


@kernel
def cut_tree(parents, levels, limit, roots):
    """roots[i] = smallest member of the region of fragment i after the merges with level > limit.

    parents[i] < i, or i itself with a level that is not above any limit (-1).
    """
    for place in range(parents.shape[0]):
        roots[place] = roots[np.uint64(parents[place])] if levels[place] > limit else place
