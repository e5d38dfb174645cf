"""Slow, obvious twins of the synthetic tissue's field operations."""

from itertools import product

import numpy as np


def distance_to_tube(start, end, start_radius, end_radius, point):
    """Signed distance from one point to a tube whose radius changes linearly along its axis."""
    axis = end - start
    length = float(axis @ axis)
    fraction = 0.0 if length == 0 else min(1.0, max(0.0, float((point - start) @ axis) / length))
    closest = start + fraction * axis
    return float(np.linalg.norm(point - closest)) - (start_radius + fraction * (end_radius - start_radius))


class Cell:
    """One cell: its distance to every neurite that has claimed it."""

    def __init__(self, reach):
        self.distances = {0: reach}

    def claim(self, name, distance):
        for other in self.distances:
            if other != name:
                self.distances[other] = max(self.distances[other], -distance)
        self.distances[name] = min(distance, self.distances.get(name, np.inf))

    def two_nearest(self, reach):
        """Smallest distance and the next one, of different neurites; free space counts as one at ``reach``."""
        nearest, *others = sorted([*self.distances.values(), reach])[:2]
        return nearest, others[0]


def refine_owners(owner, gap, double):
    """Owner and lead of each voxel by eight weighted votes of its nearest cells."""
    shape = [length * (2 if fine else 1) for length, fine in zip(owner.shape, double, strict=True)]
    fine_owner, fine_gap = np.zeros(shape, owner.dtype), np.zeros(shape, np.float32)
    for voxel in np.ndindex(*shape):
        votes = []
        for axis, (place, fine) in enumerate(zip(voxel, double, strict=True)):
            if not fine:
                votes.append([(place, 1.0)])
                continue
            cell, side = place // 2, 1 if place % 2 else -1
            other = min(max(cell + side, 0), owner.shape[axis] - 1)
            votes.append([(cell, 0.75), (other, 0.25)])
        home = tuple(choices[0][0] for choices in votes)
        lead, rival, strongest = 0.0, owner[home], 0.0
        for corner in product(*votes):
            cell = tuple(place for place, _ in corner)
            vote = float(np.prod([weight for _, weight in corner])) * gap[cell]
            lead += vote if owner[cell] == owner[home] else -vote
            if owner[cell] != owner[home] and vote > strongest:
                rival, strongest = owner[cell], vote
        fine_owner[voxel], fine_gap[voxel] = (rival if lead < 0 else owner[home]), abs(lead)
    return fine_owner, fine_gap
