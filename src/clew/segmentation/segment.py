"""The whole way of arrays: affinities → segmentation.

Fragments, region graph, merge tree, and a cut of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.segmentation.affinities import quantise
from clew.segmentation.agglomeration import MergeTree, agglomerate, parse_score
from clew.segmentation.constraints import PointConstraints, find_constraints
from clew.segmentation.dust import join_dust, remove_small
from clew.segmentation.fragments import SEEDED_BY_IDS, check_options, extract_fragments
from clew.segmentation.options import AgglomerationOptions, CutOptions, FragmentOptions, SegmentationOptions
from clew.segmentation.region_graph import RegionGraph, build_region_graph
from clew.segmentation.relabel import check_threshold, relabel, segment_lookup


@dataclass(frozen=True)
class Segmentation:
    """A segmentation and all that it was made from.

    So another cut costs next to nothing.

    Parameters
    ----------
    fragments : (z, y, x) uint64
        0 where there is none.
    region_graph : RegionGraph
        Of the fragments.
    merge_tree : MergeTree
        All merges of the fragments.
    lookup : (m,) uint64
        Segment of each of `merge_tree.fragments`; 0 where it was removed.
    segmentation : (z, y, x) uint64
        Each voxel's segment, whose id is the smallest of those of its fragments.

    Examples
    --------
    >>> found = clew.segment(np.full((3, 6, 6, 12), 255, np.uint8))
    >>> found.merge_tree.fragments.tolist(), found.lookup.tolist()
    ([1], [1])
    """

    fragments: NDArray[np.uint64]
    region_graph: RegionGraph
    merge_tree: MergeTree
    lookup: NDArray[np.uint64]
    segmentation: NDArray[np.uint64]


def segment(
    affinities: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    cannot_link: np.ndarray | None = None,
    points: PointConstraints = PointConstraints(),
    options: SegmentationOptions = SegmentationOptions(),
) -> Segmentation:
    """Segment a volume that fits into memory.

    Parameters
    ----------
    affinities : (offset, z, y, x) uint8 (0..255 = 0..1) or float in [0, 1]
        The first three channels belong to the offsets (-1, 0, 0), (0, -1, 0), (0, 0, -1); others are not looked at.
    mask : (z, y, x) bool or numbers, optional
        0 where there is nothing to segment.
    cannot_link : (z, y, x) whole numbers, optional
        Ids of nuclei, somata or glia, 0 elsewhere: no segment holds fragments with different ones (`find_constraints`).
        With `seeded-forest` they are seeds of fragments, too, so that no fragment holds two.
    points : PointConstraints
        Voxels that belong together, or apart. A fragment of `seeded-forest` that holds voxels of two sides is divided.
    options : SegmentationOptions
        Of all steps.

    Returns
    -------
    Segmentation

    Raises
    ------
    InputError
        For options out of range, before any work; for affinities or a mask that cannot be used.

    Notes
    -----
    In blocks the result is the same (`clew segment-blocks`), but for `seeded-flood`, which is approximate at block
    borders, and `mean_top_K`, which only the whole can compute.

    Examples
    --------
    >>> affinities = np.full((3, 6, 6, 12), 255, np.uint8)
    >>> affinities[2, :, :, 6] = 0  # nothing holds x = 5 and x = 6 together
    >>> clew.segment(affinities).segmentation[0, 0].tolist()
    [1, 1, 1, 1, 1, 1, 7, 7, 7, 7, 7, 7]
    """
    _check(options)
    fragments, graph, tree = build_merge_tree(
        affinities, mask=mask, cannot_link=cannot_link, points=points, fragment_options=options.fragments,
        agglomeration_options=options.agglomeration,
    )  # fmt: skip
    lookup = cut_lookup(tree, options.cut, graph)
    return Segmentation(fragments, graph, tree, lookup, relabel(fragments, tree.fragments, lookup))


def build_merge_tree(
    affinities: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    cannot_link: np.ndarray | None = None,
    points: PointConstraints = PointConstraints(),
    fragment_options: FragmentOptions = FragmentOptions(),
    agglomeration_options: AgglomerationOptions = AgglomerationOptions(),
) -> tuple[NDArray[np.uint64], RegionGraph, MergeTree]:
    """Everything that no threshold changes, as of `segment`.

    Fragments, their region graph and its merge tree.
    """
    levels = quantise(affinities)
    ids = cannot_link if fragment_options.method == SEEDED_BY_IDS else None
    fragments = extract_fragments(levels, mask=mask, cannot_link=ids, points=points, options=fragment_options)
    graph = build_region_graph(levels, fragments)
    del levels  # a copy, where the affinities are floats
    constraints = find_constraints(fragments, cannot_link=cannot_link, points=points)
    return fragments, graph, agglomerate(graph, options=agglomeration_options, constraints=constraints)


def cut_lookup(tree: MergeTree, options: CutOptions, graph: RegionGraph | None = None) -> NDArray[np.uint64]:
    """Segment of each fragment where the tree is cut.

    Then dust joins its best neighbour, and what is still small is removed.

    Parameters
    ----------
    tree : MergeTree
    options : CutOptions
    graph : RegionGraph, optional
        Of the fragments; needed to join dust, which is done by the score of the tree, without a floor.

    Returns
    -------
    (m,) uint64
        In the order of `tree.fragments`; 0 where it was removed.

    Raises
    ------
    InputError
        For options out of range, tables that do not fit, or dust to join without a region graph.
    """
    lookup = segment_lookup(tree, options.threshold)
    if options.minimum_size:
        if graph is None:
            raise InputError("minimum_size needs the region graph of the fragments, to find the best neighbour")
        scored = AgglomerationOptions(tree.score)
        size, rows = options.minimum_size, tree.cannot_link
        lookup = join_dust(graph, lookup, minimum_size=size, options=scored, cannot_link=rows)
    return remove_small(tree.sizes, lookup, minimum_size=options.remove_below) if options.remove_below else lookup


def _check(options: SegmentationOptions) -> None:
    """Refuse what the last steps would refuse, before the first."""
    check_options(options.fragments)
    parse_score(options.agglomeration.score)
    check_threshold(options.cut.threshold)
