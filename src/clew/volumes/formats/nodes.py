"""Arrays and groups in folders, as the metadata of zarr 2, zarr 3 and N5 say."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from clew.documents import expect
from clew.volumes.location import join, parent, read_json

LEVELS_ABOVE = 4
"""Groups above an array that are looked into."""


@dataclass(frozen=True)
class Node:
    """An array or group in a folder, as its metadata file says.

    Parameters
    ----------
    folder, format : str
    is_array : bool
    attributes : mapping
    shape : tuple of int
        Of an array, as stored.
    dtype : str
        Likewise.
    document : mapping
        What its metadata file holds of an array.
    keys : str
        How the files of its chunks are named, one of `NAMES`.
    consolidated : bool
        All this stands in a group above only.
    """

    folder: str
    format: str
    is_array: bool
    attributes: Mapping[str, Any]
    shape: tuple[int, ...] = ()
    dtype: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)
    keys: str = "0/0/0"
    consolidated: bool = False


def read_node(folder: str, consolidated: bool = True) -> Node | None:
    """The array or group in a folder, None where its metadata are absent.

    It is zarr 3, zarr 2 or N5; where it may be `consolidated`, groups above are looked into, too.
    """
    document = read_json(folder, "zarr.json")
    if document is not None:
        source = join(folder, "zarr.json")
        shape = tuple(expect(document, "shape", "a list of sizes", source, ()))
        attributes = dict(expect(document, "attributes", "an object", source, {}))
        names = expect(document, "dimension_names", "a list of names", source, None)
        if names and all(names):
            attributes.setdefault("dimension_names", names)
        dtype = str(document.get("data_type", ""))
        is_array = document.get("node_type") == "array"
        return Node(folder, "zarr 3", is_array, attributes, shape, dtype, document, _zarr3_keys(document, source))
    document, attributes = read_json(folder, ".zarray"), read_json(folder, ".zattrs") or {}
    if document is not None:
        return _zarr2_array(folder, document, attributes)
    if attributes or read_json(folder, ".zgroup") is not None:
        return Node(folder, "zarr 2", False, attributes)
    document = read_json(folder, "attributes.json")
    if document is not None:
        is_array = "dimensions" in document and "dataType" in document
        source = join(folder, "attributes.json")
        shape = tuple(expect(document, "dimensions", "a list of sizes", source)) if is_array else ()
        return Node(folder, "N5", is_array, document, shape, str(document.get("dataType", "")), document)
    return _consolidated_node(folder) if consolidated else None


def _consolidated_node(folder: str) -> Node | None:
    """An array or group of zarr 2 that only `.zmetadata` of a group above names."""
    above, path = folder, ""
    for _ in range(LEVELS_ABOVE):
        document = read_json(above, ".zmetadata")
        if document is not None:
            entries = expect(document, "metadata", "an object", join(above, ".zmetadata"), {})
            found = {kind: entries.get(f"{path}/{kind}".lstrip("/")) for kind in (".zarray", ".zattrs", ".zgroup")}
            array, group, attributes = found[".zarray"], found[".zgroup"], found[".zattrs"] or {}
            if isinstance(array, dict) and isinstance(attributes, dict):
                return replace(_zarr2_array(folder, array, attributes), consolidated=True)
            return Node(folder, "zarr 2", False, attributes) if isinstance(group, dict) else None
        up = parent(above)
        if up is None:
            return None
        above, path = up[0], f"{up[1]}/{path}".rstrip("/")
    return None


def _zarr2_array(folder: str, document: Mapping[str, Any], attributes: Mapping[str, Any]) -> Node:
    shape = tuple(expect(document, "shape", "a list of sizes", join(folder, ".zarray")))
    keys = "0/0/0" if document.get("dimension_separator") == "/" else "0.0.0"
    return Node(folder, "zarr 2", True, attributes, shape, str(document.get("dtype")), document, keys)


def _zarr3_keys(document: Mapping[str, Any], source: str) -> str:
    encoding = expect(document, "chunk_key_encoding", "an object", source, {})
    inner = expect(encoding, "configuration", "an object", source, {})
    if encoding.get("name") == "v2":
        return "0/0/0" if inner.get("separator") == "/" else "0.0.0"
    return "c.0.0.0" if inner.get("separator") == "." else "c/0/0/0"


def with_keys(node: Node, keys: str) -> dict[str, Any] | None:
    """The metadata of an array with another naming of its chunks.

    None where the format has no such.
    """
    if node.format == "zarr 2" and keys[0] == "0":
        return {**node.document, "dimension_separator": keys[1]}
    if node.format == "zarr 3":
        encoding = {"name": "v2" if keys[0] == "0" else "default", "configuration": {"separator": keys[1]}}
        return {**node.document, "chunk_key_encoding": encoding}
    return None
