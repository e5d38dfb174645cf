"""One place owns all numba flags.

`kernel` marks a compiled loop that is called from Python; `inline` marks a small helper of kernels in the same file
(numba's cache does not notice a change in a callee that lives in another file, so a kernel and its helpers stay together).
"""

from numba import njit

kernel = njit(nogil=True, cache=True, error_model="numpy")
inline = njit(nogil=True, cache=True, error_model="numpy", inline="always")
