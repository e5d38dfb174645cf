"""Region graphs and merge trees as table files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from numpy.typing import NDArray

from clew.blockwise.store import Store
from clew.documents import expect
from clew.errors import InputError
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.in_blocks.tree import tree_columns
from clew.segmentation.region_graph import RegionGraph
from clew.volumes.tables import LongColumn, Table, load_table, save_table, table_record

GRAPH, TREE = "region graph", "merge tree"
GRAPH_COLUMNS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "fragments": ("uint64", (None,)),
    "sizes": ("int64", (None,)),
    "edges": ("uint64", (None, 2)),
    "starts": ("int64", (None,)),
    "bins": ("uint8", (None,)),
    "counts": ("int64", (None,)),
}
TREE_COLUMNS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "fragments": ("uint64", (None,)),
    "sizes": ("int64", (None,)),
    "merges": ("uint64", (None, 2)),
    "scores": ("float32", (None,)),
}
"""dtype and shape of each column; None for any length."""
CONSTRAINT_COLUMNS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "must_link": ("uint64", (None, 2)),
    "cannot_link": ("uint64", (None, 3)),
}
"""Columns of a merge tree that was made under constraints."""


def save_region_graph(path: str, graph: RegionGraph, record: dict[str, Any], overwrite: bool) -> None:
    """Write a region graph, one column for each of its arrays."""
    columns = {field.name: getattr(graph, field.name) for field in fields(RegionGraph)}
    save_table(path, columns, record, kind=GRAPH, overwrite=overwrite)


def load_region_graph(path: str) -> tuple[RegionGraph, dict[str, Any]]:
    """A region graph and what was recorded with it."""
    table = load_table(path, kind=GRAPH, columns=list(GRAPH_COLUMNS))
    columns = _checked(table, GRAPH_COLUMNS, path)
    with _named(path):
        return RegionGraph(**columns), table.attributes


def save_merge_tree(path: str, tree: MergeTree, record: dict[str, Any], overwrite: bool) -> None:
    """Write a merge tree, one column for each of its arrays."""
    columns = {field.name: getattr(tree, field.name) for field in fields(MergeTree) if field.name != "score"}
    columns = {name: values for name, values in columns.items() if name in TREE_COLUMNS or len(values)}
    save_table(path, columns, {**record, "score": tree.score}, kind=TREE, overwrite=overwrite)


def save_merge_tree_of_blocks(path: str, store: Store, score: str, record: dict[str, Any]) -> None:
    """Write the merge tree that blocks have made, some rows at a time."""
    columns: dict[str, Any] = {name: LongColumn(*column) for name, column in tree_columns(store).items()}
    columns |= store.load(("tree",))
    written = {name: column for name, column in columns.items() if name in TREE_COLUMNS or column.shape[0]}
    save_table(path, written, {**record, "score": score}, kind=TREE, overwrite=True)


def load_merge_tree(path: str) -> tuple[MergeTree, dict[str, Any]]:
    """A merge tree and what was recorded with it."""
    table = load_table(path, kind=TREE, columns=list(TREE_COLUMNS))
    there = {name: shape for name, shape in CONSTRAINT_COLUMNS.items() if name in table.columns}
    columns = _checked(table, TREE_COLUMNS | there, path)
    with _named(path):
        tree = MergeTree(**columns, score=expect(table.attributes, "score", "text", path))
        _ = tree.cuts  # refuses merges that are none; kept for later
        return tree, table.attributes


def merge_tree_record(path: str) -> tuple[str, dict[str, Any]]:
    """The score of a merge tree and what was recorded with it, without its columns."""
    attributes = table_record(path) or {}
    score: str = expect(attributes, "score", "text", path)
    return score, attributes


def _checked(table: Table, wanted: dict[str, tuple[str, tuple[int | None, ...]]], path: str) -> dict[str, NDArray[Any]]:
    """The columns, each of the dtype and shape that it must have."""
    for name, (dtype, shape) in wanted.items():
        found = table[name]
        fits = len(found.shape) == len(shape) and all(
            size in (None, n) for size, n in zip(shape, found.shape, strict=True)
        )
        if found.dtype != dtype or not fits:
            drawn = ", ".join("n" if size is None else str(size) for size in shape)
            raise InputError(f"{path}: the column {name} must be ({drawn}) {dtype}, not {found.shape} {found.dtype}")
    return {name: table[name] for name in wanted}


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Say the name of the file with what is wrong in it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
