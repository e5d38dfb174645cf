"""Divided fragments as the file of edits keeps them.

With all that a replay needs, so that no volume is read then.
"""

import base64
import zlib
from typing import Any

import numpy as np

from clew.proofreading.pieces import Division
from clew.segmentation.region_graph import RegionGraph
from clew.space import Box

TABLES = {
    "fragments": np.uint64,
    "sizes": np.int64,
    "edges": np.uint64,
    "starts": np.int64,
    "bins": np.uint8,
    "counts": np.int64,
}
"""Columns of the region graph of the pieces."""


def encoded(division: Division) -> dict[str, Any]:
    """A division as JSON: ids and contacts as lists, voxels packed."""
    graph = division.graph
    index = np.searchsorted(division.ids, division.pieces) + (division.pieces != 0)
    packed = zlib.compress(index.astype(np.uint32).tobytes(), 9)
    tables = {name: getattr(graph, name).tolist() for name in TABLES}
    low, shape = division.box.low, division.box.shape
    voxels = base64.b64encode(packed).decode()
    return {
        "fragment": division.fragment,
        "low": low,
        "shape": shape,
        "pieces": division.ids.tolist(),
        "voxels": voxels,
        **tables,
    }


def decoded(content: dict[str, Any]) -> Division:
    """The division of `encoded`."""
    ids = np.array([0, *content["pieces"]], np.uint64)
    index = np.frombuffer(zlib.decompress(base64.b64decode(content["voxels"])), np.uint32)
    columns = {name: np.array(content[name], dtype) for name, dtype in TABLES.items()}
    columns["edges"] = columns["edges"].reshape(-1, 2)
    graph = RegionGraph(**columns)
    low, shape = content["low"], content["shape"]
    box = Box.whole(shape).shifted(low)
    return Division(content["fragment"], box, ids[index.reshape(shape)], graph)
