"""Coarser scales of volumes: each coarse voxel stands for a window of fine ones."""

import numpy as np

from clew.kernels._jit import inline, kernel


@inline
def _most_frequent(window, count):
    """The value that most of the first `count` have.

    Of equally frequent ones the smallest that is not 0: thin objects survive beside background, and the result does not
    depend on the order within a window.
    """
    best, most = window[0], 0
    for i in range(count):
        same = 0
        for j in range(count):
            same += np.int64(window[j] == window[i])
        if same > most or (same == most and window[i] != 0 and (best == 0 or window[i] < best)):
            best, most = window[i], same
    return best


@kernel
def pool_labels(labels: np.ndarray, factors: np.ndarray, out: np.ndarray) -> None:
    """Write to each voxel of `out` the most frequent label of its window.

    Parameters
    ----------
    labels : (z, y, x) of whole numbers
    factors : (3,) int64
        Voxels (z, y, x) of a window; those at the far end may be smaller.
    out : (z, y, x) of the same type
    """
    window = np.empty(factors[0] * factors[1] * factors[2], labels.dtype)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                count, same = 0, True
                for k in range(z * factors[0], min((z + 1) * factors[0], labels.shape[0])):
                    for j in range(y * factors[1], min((y + 1) * factors[1], labels.shape[1])):
                        for i in range(x * factors[2], min((x + 1) * factors[2], labels.shape[2])):
                            window[count] = labels[k, j, i]
                            same = same and window[count] == window[0]
                            count += 1
                # inside objects, hence nearly everywhere, nothing has to be counted
                out[z, y, x] = window[0] if same else _most_frequent(window, count)


@kernel
def pool_image(image: np.ndarray, factors: np.ndarray, out: np.ndarray) -> None:
    """Write to each voxel of `out` the mean of its window, halves rounded up.

    Parameters
    ----------
    image : (z, y, x) of whole numbers
    factors : (3,) int64
        Voxels (z, y, x) of a window; those at the far end may be smaller.
    out : (z, y, x) of the same type
    """
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                total, count = 0, 0
                for k in range(z * factors[0], min((z + 1) * factors[0], image.shape[0])):
                    for j in range(y * factors[1], min((y + 1) * factors[1], image.shape[1])):
                        for i in range(x * factors[2], min((x + 1) * factors[2], image.shape[2])):
                            total += np.int64(image[k, j, i])
                            count += 1
                out[z, y, x] = (2 * total + count) // (2 * count)
