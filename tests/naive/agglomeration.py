"""Slow, obvious twins of region graph, agglomeration and dust: dictionaries of sorted pairs to lists of bytes."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product

import numpy as np

from clew.segmentation.region_graph import RegionGraph

Contacts = dict[tuple[int, int], list[int]]
Sides = dict[int, set[tuple[int, int]]]
"""Of each region, (split, side)."""


def region_contacts(affinities: np.ndarray, fragments: np.ndarray) -> Contacts:
    """The affinities of every pair of touching voxels of two fragments."""
    contacts: Contacts = {}
    for voxel in product(*map(range, fragments.shape)):
        for axis in range(3):
            before = tuple(p - (axis == d) for d, p in enumerate(voxel))
            if min(before) < 0:
                continue
            one, two = int(fragments[before]), int(fragments[voxel])
            if one != two and one and two:
                contacts.setdefault((min(one, two), max(one, two)), []).append(int(affinities[(axis, *voxel)]))
    return contacts


def graph_contacts(graph: RegionGraph) -> Contacts:
    """The same dictionary, read from a region graph."""
    contacts = {}
    for edge, (one, two) in enumerate(graph.edges.tolist()):
        cells = slice(graph.starts[edge], graph.starts[edge + 1])
        contacts[one, two] = np.repeat(graph.bins[cells], graph.counts[cells]).tolist()
    return contacts


def statistic(score: str, values: list[int]) -> int:
    """Score of a contact in 65535ths."""
    values = sorted(values)
    if score == "mean":
        return sum(values) * 257 // len(values)
    if score.startswith("mean_top_"):
        values = values[-int(score.removeprefix("mean_top_")) :]
        return sum(values) * 257 // len(values)
    percent = int(score.removeprefix("hist_quant_").removesuffix("_init_max"))
    return values[min(percent * len(values) // 100, len(values) - 1)] * 257


def start(contacts: Contacts, score: str) -> dict:
    """Current edges: pair to (values, key)."""
    return {pair: ([max(v)] if score.endswith("_init_max") else list(v), pair) for pair, v in contacts.items()}


def rank(edges: dict, score: str) -> Callable:
    """Sort key of an edge: higher score first, then the smaller key."""
    return lambda pair: (-statistic(score, edges[pair][0]), edges[pair][1])


def unite(edges: dict, pair: tuple[int, int]) -> None:
    """Merge the two regions of `pair` into the smaller id and pool the edges that become parallel."""
    survivor, absorbed = pair
    edges.pop(pair, None)
    for old in [edge for edge in edges if absorbed in edge]:
        values, key = edges.pop(old)
        other = old[0] if old[1] == absorbed else old[1]
        new = (min(survivor, other), max(survivor, other))
        if new in edges:
            edges[new] = (edges[new][0] + values, max(edges[new][1], key))
        else:
            edges[new] = (values, key)


def apart(sides: Sides, one: int, two: int) -> bool:
    """Whether two regions have sides of one split, and these are not a single one."""
    mine, yours = sides.get(one, set()), sides.get(two, set())
    both = {split for split, _ in mine} & {split for split, _ in yours}
    return any(len({side for name, side in mine | yours if name == split}) > 1 for split in both)


def merge_sequence(
    contacts: Contacts, score: str, floor: int = 0, must_link: Iterable = (), cannot_link: Iterable = ()
) -> list[tuple[int, int, int]]:
    """Rescan all edges of regions that are not apart, merge the best, until none reaches the floor.

    What must be linked is one region before: (survivor, absorbed, score).
    """
    edges, sides = start(contacts, score), {}
    for fragment, split, side in cannot_link:
        sides.setdefault(fragment, set()).add((split, side))
    for link in must_link:
        merge(edges, sides, tuple(link))
    merges = []
    while permitted := [pair for pair in edges if not apart(sides, *pair)]:
        best = min(permitted, key=rank(edges, score))
        level = statistic(score, edges[best][0])
        if level < floor:
            break
        merges.append((*best, level))
        merge(edges, sides, best)
    return merges


def merge(edges: dict, sides: Sides, pair: tuple[int, int]) -> None:
    """Unite two regions, and what they have."""
    unite(edges, pair)
    sides[pair[0]] = sides.get(pair[0], set()) | sides.pop(pair[1], set())


def lookup_by_union(merges: list[tuple[int, int, int]], fragments: list[int], threshold: float) -> dict[int, int]:
    """Segment of each fragment after the merges with 1 - score < threshold."""
    segment = {fragment: fragment for fragment in fragments}
    for survivor, absorbed, level in merges:
        if not Fraction(65535 - level, 65535) < Fraction(str(threshold)):
            break
        old, new = segment[absorbed], segment[survivor]
        segment = {fragment: new if name == old else name for fragment, name in segment.items()}
    smallest = {name: min(f for f in segment if segment[f] == name) for name in set(segment.values())}
    return {fragment: smallest[name] for fragment, name in segment.items()}


def joined_dust(
    contacts: Contacts, sizes: dict[int, int], score: str, minimum_size: int, rng: np.random.Generator, sides: Sides
) -> dict[int, int]:
    """Merge edges that are the best of both regions, in random order: region to the region that took it in.

    Edges between two regions that are not dust do not count, nor those between two that are apart.
    """
    edges = start(contacts, score)
    sizes, sides = dict(sizes), dict(sides)
    segment = {region: region for region in sizes}

    def counts(pair: tuple[int, int]) -> bool:
        return min(sizes[region] for region in pair) < minimum_size and not apart(sides, *pair)

    def is_best(pair: tuple[int, int], region: int) -> bool:
        return pair == min((edge for edge in edges if region in edge and counts(edge)), key=rank(edges, score))

    while True:
        candidates = [pair for pair in edges if counts(pair) and all(is_best(pair, region) for region in pair)]
        if not candidates:
            return segment
        pair = candidates[rng.integers(len(candidates))]
        sizes[pair[0]] += sizes.pop(pair[1])
        segment = {region: pair[0] if name == pair[1] else name for region, name in segment.items()}
        merge(edges, sides, pair)
