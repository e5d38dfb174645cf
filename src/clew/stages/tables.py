"""Region graphs and merge trees as table files."""

from dataclasses import fields
from typing import Any

from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.region_graph import RegionGraph
from clew.volumes.tables import load_table, save_table

GRAPH, TREE = "region graph", "merge tree"


def save_region_graph(path: str, graph: RegionGraph, record: dict[str, Any], overwrite: bool) -> None:
    """Write a region graph, one column for each of its arrays."""
    columns = {field.name: getattr(graph, field.name) for field in fields(RegionGraph)}
    save_table(path, columns, record, kind=GRAPH, overwrite=overwrite)


def load_region_graph(path: str) -> tuple[RegionGraph, dict[str, Any]]:
    """A region graph and what was recorded with it."""
    names = [field.name for field in fields(RegionGraph)]
    table = load_table(path, kind=GRAPH, columns=names)
    return RegionGraph(**{name: table[name] for name in names}), table.attributes


def save_merge_tree(path: str, tree: MergeTree, record: dict[str, Any], overwrite: bool) -> None:
    """Write a merge tree, one column for each of its arrays."""
    columns = {field.name: getattr(tree, field.name) for field in fields(MergeTree) if field.name != "score"}
    save_table(path, columns, {**record, "score": tree.score}, kind=TREE, overwrite=overwrite)


def load_merge_tree(path: str) -> tuple[MergeTree, dict[str, Any]]:
    """A merge tree and what was recorded with it."""
    names = [field.name for field in fields(MergeTree) if field.name != "score"]
    table = load_table(path, kind=TREE, columns=names)
    return MergeTree(**{name: table[name] for name in names}, score=table.attributes["score"]), table.attributes
