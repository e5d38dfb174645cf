"""The bits of a voxel's byte, once for all kernels of fragments.

Which pairs it picked, what it is, which of its pairs join.

A flag byte holds picks of the pairs with the next or the previous voxel along an axis, whether any pair of the voxel is strong
enough, and whether it is a seed. A link byte says which pairs with the previous voxels join their two voxels.
"""

Z_AFTER, Y_AFTER, X_AFTER, X_BEFORE, Y_BEFORE, Z_BEFORE = range(6)
"""Bits of picks. A stronger pair wins, of equally strong ones the larger bit: so the pair of the smaller index 3 · voxel +
channel, as z-, y-, x-, x+, y+, z+ is the order of these for the pairs of one voxel."""
PICK_BITS, PICKS = 6, 63
ALIVE, SEED = 64, 128
LINK_X, LINK_Y, LINK_Z = 1, 2, 4
