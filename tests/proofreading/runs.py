"""Small region graphs with their merge trees."""

import numpy as np

from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.constraints import Constraints
from clew.segmentation.options import AgglomerationOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph

THRESHOLDS = [0.0, 0.3, 0.6, 0.9, 1.0]


def random_run(seed: int):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 6, 3))
    fragments = rng.integers(1, rng.integers(3, 16), shape).astype(np.uint64)
    graph = build_region_graph(rng.integers(0, 256, (3, *shape), np.uint8), fragments)
    links = rng.choice(graph.fragments, (rng.integers(0, 2), 2))
    tree = agglomerate(graph, options=AgglomerationOptions("mean"), constraints=Constraints(must_link=links))
    return rng, graph, tree


def graph_of(contacts: dict[tuple[int, int], tuple[int, int]], sizes: list[int]) -> RegionGraph:
    """A graph from (fragment, fragment): (affinity, voxel pairs)."""
    pairs = sorted(contacts)
    values = np.array([contacts[pair] for pair in pairs])
    return RegionGraph(
        np.arange(1, len(sizes) + 1, dtype=np.uint64), np.array(sizes), np.array(pairs, np.uint64), np.arange(len(pairs) + 1),
        values[:, 0].astype(np.uint8), values[:, 1],
    )  # fmt: skip
