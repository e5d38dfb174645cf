"""Hashing, once for all open-addressed tables of the kernels.

The tables themselves differ in what a slot holds, so that each fits into one cache line: (id, value) in `relabel`, a tag and
a number in `region_graph`, a tag and an edge that may be gone in `agglomeration`, a pair of ids and a count in `overlap`.
All have a power of two of slots, at most half of them in use, and look in the next slot (or bucket) where one is taken.
"""

from clew.kernels._jit import inline

_LOW = 0xFFFFFFFF
_ONE, _TWO = 0x5BD1E995, 0x7FEB352D
"""Odd multipliers below 2³¹, of MurmurHash2 and of a hash by C. Wellons: a product with 32 bits stays below 2⁶³, as
numba's integers are signed."""
_SHIFT = 33
"""Of 29, 31 and 33 the one that spreads ids in steps of rows, planes and 2³² best: 2048 of them fall into at least 1588 of
4096 slots (random: 1612), with 31 ids in steps of 2³³ fell into 760."""


@inline
def mixed_pair(one, two):
    """Mix two numbers below 2³²; the result is not negative."""
    mixed = (one * _ONE) ^ (two * _TWO)
    return mixed ^ (mixed >> _SHIFT)


@inline
def mixed(key):
    """Mix an id of 64 bits, given as int64; the result is not negative."""
    return mixed_pair(key & _LOW, (key >> 32) & _LOW)


@inline
def mixed_ids(one, two):
    """Mix two ids of 64 bits, given as int64; the result is not negative.

    Their halves are folded: mixing each id by itself took a tenth of the time of the whole overlap table.
    """
    return mixed_pair((one ^ (one >> 32)) & _LOW, (two ^ (two >> 32)) & _LOW)
