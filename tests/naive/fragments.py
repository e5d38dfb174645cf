"""Slow, obvious twins of the fragment methods, on affinity bytes (3, z, y, x) and a boolean mask."""

import heapq
import itertools

import numpy as np

STEPS = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def voxel_pairs(levels, mask, per_section=False):
    """All pairs inside the mask in strict order: (strength, index, voxel, predecessor)."""
    pairs = []
    for voxel in np.ndindex(mask.shape):
        for channel, step in enumerate(STEPS):
            other = tuple(p - s for p, s in zip(voxel, step, strict=True))
            if min(other) < 0 or not (mask[voxel] and mask[other]) or (per_section and channel == 0):
                continue
            index = 3 * int(np.ravel_multi_index(voxel, mask.shape)) + channel
            pairs.append((int(levels[(channel, *voxel)]), index, voxel, other))
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1]))


def objects(levels, mask, threshold, per_section=False):
    """Voxels in a pair above the threshold."""
    return {end for pair in voxel_pairs(levels, mask, per_section) if pair[0] > threshold * 255 for end in pair[2:]}


def steps_outward(inside, mask, per_section=False, most=15):
    """15 - steps to the surface inside of objects, 14 + steps to an object outside, 29 where `most` steps do not reach one."""
    voxels = [voxel for voxel in np.ndindex(mask.shape) if mask[voxel]]
    result = np.zeros(mask.shape, np.uint8)
    for voxel in np.ndindex(mask.shape):
        others = [other for other in voxels if (other in inside) != (voxel in inside)]
        gaps = [
            sum(abs(p - q) for p, q in zip(voxel, other, strict=True))
            for other in others
            if not per_section or voxel[0] == other[0]
        ]
        nearest = min([most, *gaps])
        result[voxel] = 15 - nearest if voxel in inside else 14 + nearest if nearest < most else 29
    return result


def ranked_pairs(levels, mask, threshold, per_section=False, most=15):
    """All pairs in strict order: strength, then steps of both voxels, then index; those of 0 only where both can be reached."""
    steps = steps_outward(objects(levels, mask, threshold, per_section), mask, per_section, most).astype(int)
    pairs = [
        (strength, steps[one] + steps[other], index, one, other)
        for strength, index, one, other in voxel_pairs(levels, mask, per_section)
        if strength > 0 or max(steps[one], steps[other]) < 29
    ]
    return sorted(pairs, key=lambda pair: (-pair[0], *pair[1:3]))


def mean_levels(levels, mask, per_section=False):
    """(sum, count) of each voxel's own pairs."""
    found = {voxel: [0, 0] for voxel in np.ndindex(mask.shape)}
    for strength, _, voxel, _ in voxel_pairs(levels, mask, per_section):
        found[voxel][0] += strength
        found[voxel][1] += 1
    return found


def interior(levels, mask, threshold, per_section=False):
    means = mean_levels(levels, mask, per_section)
    result = np.zeros(mask.shape, np.uint8)
    for voxel, (total, count) in means.items():
        result[voxel] = count == 0 or total > threshold * 255 * count
    return result


def capped_distance(inside, cap, per_section=False):
    result = np.full(inside.shape, cap * cap, np.uint16)
    border = [voxel for voxel in np.ndindex(inside.shape) if not inside[voxel]]
    for voxel in np.ndindex(inside.shape):
        for other in border:
            if not per_section or voxel[0] == other[0]:
                gap = sum((p - q) ** 2 for p, q in zip(voxel, other, strict=True))
                result[voxel] = min(int(result[voxel]), gap)
    return result


def window_maximum(values, window, per_section=False):
    half = window // 2
    result = np.zeros_like(values)
    for z, y, x in np.ndindex(values.shape):
        sections = slice(z, z + 1) if per_section else slice(max(0, z - half), z + half + 1)
        result[z, y, x] = values[sections, max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1].max()
    return result


def seed_voxels(levels, mask, threshold, cap, window, per_section=False):
    distance = capped_distance(interior(levels, mask, threshold, per_section), cap, per_section)
    distance[~mask] = 0
    return (distance > 0) & (distance == window_maximum(distance, window, per_section))


def seed_sets(seeds, per_section=False):
    """Connected seed voxels (26 neighbours; 8 per section), as a list of sets."""
    left = set(zip(*(axis.tolist() for axis in np.nonzero(seeds)), strict=True))
    found = []
    while left:
        group, queue = set(), [left.pop()]
        while queue:
            voxel = queue.pop()
            group.add(voxel)
            for step in itertools.product((0,) if per_section else (-1, 0, 1), (-1, 0, 1), (-1, 0, 1)):
                other = tuple(p + s for p, s in zip(voxel, step, strict=True))
                if other in left:
                    left.remove(other)
                    queue.append(other)
        found.append(group)
    return found


def id_sets(ids, per_section=False):
    """Connected voxels of one id (6 neighbours; 4 per section)."""
    left = {voxel: int(ids[voxel]) for voxel in np.ndindex(ids.shape) if ids[voxel]}
    found = []
    while left:
        voxel, own = left.popitem()
        group, queue = set(), [voxel]
        while queue:
            voxel = queue.pop()
            group.add(voxel)
            for step, sign in itertools.product(STEPS[per_section:], (-1, 1)):
                other = tuple(p + sign * s for p, s in zip(voxel, step, strict=True))
                if left.get(other) == own:
                    del left[other]
                    queue.append(other)
        found.append(group)
    return found


def canonical(groups, shape):
    """1 + smallest linear index for each set of voxels."""
    result = np.zeros(shape, np.uint64)
    for group in groups:
        first = min(int(np.ravel_multi_index(voxel, shape)) for voxel in group)
        for voxel in group:
            result[voxel] = first + 1
    return result


class Sets:
    """Disjoint sets as a dictionary voxel → the set itself."""

    def __init__(self, voxels):
        self.of = {voxel: {voxel} for voxel in voxels}

    def unite(self, one, other):
        if self.of[one] is self.of[other]:
            return
        self.of[one] |= self.of[other]
        for voxel in self.of[other]:
            self.of[voxel] = self.of[one]

    def groups(self):
        return list({id(group): group for group in self.of.values()}.values())


def seeded_forest(levels, mask, seeds, low, threshold=0.5, per_section=False, most=15, ids=None):
    """Kruskal over all pairs of at least `low`; two components with a seed are never united.

    Each connected piece of an id is a seed, which no other seed is united with.

    By pairs of 0, no two that hold a seed or a voxel of an object are. A component with such a voxel is a fragment.
    """
    pairs = [pair for pair in ranked_pairs(levels, mask, threshold, per_section, most) if pair[0] >= low]
    alive = {voxel for pair in pairs for voxel in pair[3:]}
    ids = np.zeros(mask.shape, int) if ids is None else np.where(mask, ids, 0)
    seeds = seeds & (ids == 0)
    seeded = set(zip(*np.nonzero(seeds | (ids != 0)), strict=True))
    held = seeded | (objects(levels, mask, threshold, per_section) & alive)
    sets = Sets(np.ndindex(mask.shape))
    for group in seed_sets(seeds, per_section) + id_sets(ids, per_section):
        first = min(group)
        for voxel in group:
            sets.unite(first, voxel)
    for strength, _, _, one, other in pairs:
        apart = seeded if strength > 0 else held
        if not (sets.of[one] & apart and sets.of[other] & apart):
            sets.unite(one, other)
    return canonical([group for group in sets.groups() if group & held], mask.shape)


def decided_pairs(pairs, zeros, kinds, frozen):
    """Sets of components that join, and rows of the pairs that wait: those of the forest of all that may not choose.

    Kinds are 0 (holds nothing), 1 (a voxel of an object) and 2 (a seed). Seeds are one there, as is, from the pairs of 0 on, what
    need not wait and holds anything; all pairs are gone through, however late.
    """
    sets = [{number} for number in range(1, len(kinds))]
    groups = [{number for number in range(len(kinds)) if number == 0 or kinds[number] == 2}]
    groups += [{number} for number in range(1, len(kinds)) if kinds[number] != 2]
    waiting = []
    for row, (one, other) in enumerate(pairs):
        whole = 2 if row < zeros else 1
        if row == zeros:
            ended = {0}.union(*(s for s in sets if any(kinds[end] for end in s) and not any(frozen[end] for end in s)))
            hub = set().union(*(group for group in groups if group & ended))
            groups = [hub, *(group for group in groups if not group & ended)]
        mine, theirs = (next(found for found in sets if end in found) for end in (one, other))
        if mine is theirs or all(any(kinds[end] >= whole for end in found) for found in (mine, theirs)):
            continue
        may_not = [any(kinds[end] >= whole or frozen[end] for end in found) for found in (mine, theirs)]
        if not all(may_not):
            sets = [found for found in sets if found is not mine and found is not theirs] + [mine | theirs]
            continue
        owners = [
            next((end for end in found if kinds[end] == 2 or frozen[end]), max(found, key=lambda end: kinds[end]))
            for found in (mine, theirs)
        ]
        one_group, other_group = (next(group for group in groups if owner in group) for owner in owners)
        if one_group is not other_group:
            groups = [g for g in groups if g is not one_group and g is not other_group] + [one_group | other_group]
            waiting.append(row)
    return sets, waiting


def affinity_watershed(levels, mask, low, high, threshold=0.5, per_section=False, most=15):
    """Every voxel unites along its first pair in strict order; pairs of at least `high` always unite.

    Pairs of 0 unite only what is in no other pair with what is.
    """
    sets = Sets(np.ndindex(mask.shape))
    chosen, held = set(), set()
    for strength, _, _, one, other in ranked_pairs(levels, mask, threshold, per_section, most):
        if strength < low:
            break
        if strength > 0:
            if strength >= high or one not in chosen or other not in chosen:
                sets.unite(one, other)
            held |= {one, other}
        elif not (sets.of[one] & held and sets.of[other] & held):
            sets.unite(one, other)
        chosen |= {one, other}
    return canonical([group for group in sets.groups() if group & held], mask.shape)


def seeded_flood(levels, mask, seeds, low, per_section=False):
    """Flood of 255 - mean affinity from the seeds by one ordered queue: (level reached, order of entry)."""
    height = {}
    for voxel, (total, count) in mean_levels(levels, mask, per_section).items():
        height[voxel] = 255 - ((2 * total + count) // (2 * count) if count else 255)
    label, queue, order = {}, [], itertools.count()
    open_voxels = {voxel for voxel in height if mask[voxel] and 255 - height[voxel] >= low}
    for number, group in enumerate(seed_sets(seeds, per_section)):
        label.update(dict.fromkeys(group & open_voxels, number))
    for voxel in sorted(label):
        heapq.heappush(queue, (height[voxel], next(order), voxel))
    steps = ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 1), (0, 1, 0), (1, 0, 0))
    while queue:
        level, _, voxel = heapq.heappop(queue)
        for step in steps:
            other = tuple(p + s for p, s in zip(voxel, step, strict=True))
            if (per_section and step[0]) or other not in open_voxels or other in label:
                continue
            label[other] = label[voxel]
            heapq.heappush(queue, (max(level, height[other]), next(order), other))
    groups = {}
    for voxel, number in label.items():
        groups.setdefault(number, set()).add(voxel)
    return canonical(groups.values(), mask.shape)
