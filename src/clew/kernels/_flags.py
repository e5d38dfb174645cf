"""A voxel's byte of flags and the order of pairs, for all kernels of fragments.

Which pairs it picked, what it is, which of its pairs join.

A flag byte holds picks of the pairs with the next or the previous voxel along an axis, whether the voxel belongs to an object,
and whether it is a seed. A link byte says which pairs with the previous voxels join their two voxels.

Pairs have a strict order: stronger first; of equally strong ones those that are deeper inside an object, or fewer steps outside (by
the sum of both voxels), so that objects share a flat membrane, or what is flat inside of both; then the smaller index 3 · voxel +
channel.
"""

Z_AFTER, Y_AFTER, X_AFTER, X_BEFORE, Y_BEFORE, Z_BEFORE = range(6)
"""Bits of picks. Of pairs that are equal otherwise the larger bit wins: so the pair of the smaller index 3 · voxel + channel, as
z-, y-, x-, x+, y+, z+ is the order of these for the pairs of one voxel."""
OBJECT, SEED = 64, 128
NOTHING, HELD, SEEDED = range(3)
"""What a component holds: neither a seed nor a voxel of an object, such a voxel, a seed. Two of `SEEDED` are never united, and by
pairs of affinity 0 no two that hold anything: these only carry a fragment outward."""
INNERMOST, OUTSIDE, FAR = 0, 15, 29
"""Steps outward, along the axes: a voxel `OUTSIDE` of all objects touches one; each step further out is one more, each step in one
less. They end 15 steps from the surface, whatever lies beyond: no pair of affinity 0 reaches a voxel that is `FAR`."""
STEP_BITS = 6
ZERO, RANKS = 255 << STEP_BITS, 256 << STEP_BITS
"""A pair's rank is (255 - affinity) << STEP_BITS | steps of both voxels; `ZERO` is the first of affinity 0."""
LINK_X, LINK_Y, LINK_Z = 1, 2, 4
