"""Slow, obvious twin of a divided fragment: pairs in strict order, sets that are united."""

from collections import deque
from itertools import product

import numpy as np

STEPS = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def neighbours(voxel):
    for step, sign in product(STEPS, (-1, 1)):
        yield tuple(at + sign * by for at, by in zip(voxel, step, strict=True))


def steps_from(points, voxels):
    """Steps from the nearest point, inside the fragment."""
    found = dict.fromkeys(points, 0)
    queue = deque(points)
    while queue:
        voxel = queue.popleft()
        for other in neighbours(voxel):
            if other in voxels and other not in found:
                found[other] = found[voxel] + 1
                queue.append(other)
    return found


CEILINGS = (255, 224, 192, 128, 64, 32, 0)


def forest(affinities, inside, points, ceiling):
    """The set of voxels that Kruskal's method unites with each voxel."""
    voxels = {tuple(voxel) for voxel in np.argwhere(inside).tolist()}
    steps = steps_from(points, voxels)
    pairs = []
    for voxel in voxels:
        for channel, step in enumerate(STEPS):
            other = tuple(at - by for at, by in zip(voxel, step, strict=True))
            if other in voxels:
                index = 3 * int(np.ravel_multi_index(voxel, inside.shape)) + channel
                level = min(int(affinities[(channel, *voxel)]), ceiling)
                far = len(voxels)
                pairs.append((-level, steps.get(voxel, far) + steps.get(other, far), index, voxel, other))
    ordered = [pair[3:] for pair in sorted(pairs)]
    before = [offset for offset in product((-1, 0, 1), repeat=3) if offset < (0, 0, 0) and sum(map(abs, offset)) > 1]
    for voxel in sorted(voxels):  # along edges and corners comes last
        others = [tuple(at + by for at, by in zip(voxel, offset, strict=True)) for offset in before]
        ordered += [(voxel, other) for other in others if other in voxels]
    sets = {voxel: {voxel} for voxel in voxels}
    for one, two in ordered:
        mine, theirs = sets[one], sets[two]
        if mine is not theirs and not (mine & set(points) and theirs & set(points)):
            union = mine | theirs
            sets |= dict.fromkeys(union, union)
    return sets


def grown(affinities, inside, points, sides):
    """The point (by its place in C order) of each voxel; -1 outside. The first ceiling at which no side is lost."""
    side = dict(zip(points, sides, strict=True))
    points = sorted(side)
    fair = int(inside.sum()) // len(set(sides))
    for ceiling in CEILINGS:
        sets = forest(affinities, inside, points, ceiling)
        sizes = [sum(len(sets[point]) for point in points if side[point] == wanted) for wanted in set(sides)]
        if min(sizes) >= max(fair // 25, min(50, fair // 2)):
            break
    result = np.full(inside.shape, -1)
    for voxel, members in sets.items():
        roots = members & set(points) or {
            min(points, key=lambda point: (sum((p - v) ** 2 for p, v in zip(point, voxel, strict=True)), point))
        }
        result[voxel] = points.index(min(roots))
    return result


def pieces(affinities, inside, points, sides):
    """1 + smallest voxel of the piece of each voxel: what grows from points of one side, and touches, is one piece."""
    owners = grown(affinities, inside, points, sides)
    order = sorted(set(points))
    side = dict(zip(points, sides, strict=True))
    groups = {number: {number} for number in range(len(order))}
    for voxel in map(tuple, np.argwhere(inside).tolist()):
        for other in neighbours(voxel):
            if (
                min(other) >= 0
                and all(at < size for at, size in zip(other, inside.shape, strict=True))
                and inside[other]
            ):
                one, two = int(owners[voxel]), int(owners[other])
                if side[order[one]] == side[order[two]]:
                    union = groups[one] | groups[two]
                    groups |= dict.fromkeys(union, union)
    result = np.zeros(inside.shape, np.uint64)
    for group in groups.values():
        members = np.isin(owners, list(group)) & inside
        result[members] = 1 + np.flatnonzero(members)[0]
    return result
