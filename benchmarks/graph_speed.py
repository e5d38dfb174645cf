"""Region graph, agglomeration, relabelling and overlap table."""

from benchmarks.fragment_speed import FOREST, WATERSHED
from benchmarks.measure import Row, Table, thread_seconds
from benchmarks.workload import Workload
from clew.evaluation.overlap import overlap_table, relabel_table
from clew.segmentation.agglomeration import agglomerate
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.segmentation.region_graph import build_region_graph
from clew.segmentation.relabel import relabel, segment_lookup

MEAN, QUANTILE = AgglomerationOptions(score="mean"), AgglomerationOptions(score="hist_quant_75")
FEW_EDGES = 1_000_000
"""Up to here the graph fits the cache more or less, and the stricter targets hold."""


def measure(work: Workload, repeats: int) -> list[Table]:
    """A table for the affinity watershed (many fragments) and one for the seeded forest (few)."""
    return [
        _chain("the affinity watershed", work, WATERSHED, repeats),
        _chain("the seeded forest", work, FOREST, repeats),
    ]


def _chain(name: str, work: Workload, options: FragmentOptions, repeats: int) -> Table:
    """CPU time per voxel, touching link (pair of voxels in two fragments) and edge, one thread."""
    fragments = extract_fragments(work.levels, options=options)
    graph = build_region_graph(work.levels, fragments)
    tree = agglomerate(graph, options=QUANTILE)
    lookup = segment_lookup(tree, 0.5)
    segments = relabel(fragments, tree.fragments, lookup)
    table = overlap_table(fragments, work.labels)
    spent = thread_seconds(
        {
            "graph": lambda: build_region_graph(work.levels, fragments),
            "mean": lambda: agglomerate(graph, options=MEAN),
            "quantile": lambda: agglomerate(graph, options=QUANTILE),
            "cut": lambda: segment_lookup(tree, 0.5),
            "relabel": lambda: relabel(fragments, tree.fragments, lookup),
            "overlap of fragments": lambda: overlap_table(fragments, work.labels),
            "overlap of segments": lambda: overlap_table(segments, work.labels),
            "relabel table": lambda: relabel_table(table, tree.fragments, lookup),
        },
        repeats,
    )
    edges, links = max(len(graph.edges), 1), max(int(graph.counts.sum()), 1)
    few = edges <= FEW_EDGES
    size = f"{len(graph.fragments):,} fragments, {len(graph.edges):,} edges, {links / work.voxels:.2f} links/voxel"
    per_voxel = {job: 1e9 * seconds / work.voxels for job, seconds in spent.items()}
    rows = [
        Row("region graph", 1e9 * spent["graph"] / links, "ns/link", 25.0, size),
        Row("region graph", per_voxel["graph"], "ns/voxel"),
        Row("agglomeration, mean", 1e9 * spent["mean"] / edges, "ns/edge", 300.0 if few else 500.0, "whole tree"),
        Row("agglomeration, hist_quant_75", 1e9 * spent["quantile"] / edges, "ns/edge", 600.0 if few else 1100.0),
        Row("cut the tree once", 1e9 * spent["cut"] / len(graph.fragments), "ns/fragment"),
        Row("relabel", per_voxel["relabel"], "ns/voxel", 0.45, "target: the prototypes, with dense 32-bit numbers"),
        Row("overlap table of fragments", per_voxel["overlap of fragments"], "ns/voxel", 4.0, "ids of 64 bits"),
        Row("overlap table of segments", per_voxel["overlap of segments"], "ns/voxel", 4.0),
        Row("a further threshold from the table", 1e3 * spent["relabel table"], "ms"),
    ]
    return Table(f"From fragments of {name} to scores", rows)
