"""Segment properties: what neuroglancer's list of segments shows and sorts by."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clew.export.segment_table import SegmentRows
from clew.space import Lengths

CUBIC_MICROMETER = 1e9
"""In nm³."""


def volumes_of(rows: SegmentRows, voxel_size: Lengths) -> np.ndarray:
    """Volumes of segments in µm³."""
    volumes: np.ndarray = rows.voxels * (float(np.prod(voxel_size)) / CUBIC_MICROMETER)
    return volumes


def segment_properties(
    rows: SegmentRows, voxel_size: Lengths, names: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """The file `info` of the folder of segment properties.

    Parameters
    ----------
    rows : SegmentRows
    voxel_size : (z, y, x) floats
        In nm.
    names : mapping of int to str, optional
        By id.

    Returns
    -------
    dict
        As https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/segment_properties.md describes it.
    """
    whole = not len(rows.ids) or int(rows.voxels.max()) < 1 << 32
    volumes = volumes_of(rows, voxel_size).astype(np.float32)
    properties = [
        {"id": "voxels", "type": "number", "data_type": "uint32" if whole else "float32", "values": rows.voxels.tolist()},
        {"id": "volume", "type": "number", "data_type": "float32", "description": "in µm³",
         "values": [float(f"{value:.6g}") for value in volumes]},
    ]  # fmt: skip
    if names:
        labels = [names.get(segment, "") for segment in rows.ids.tolist()]
        properties.insert(0, {"id": "label", "type": "label", "values": labels})
    inline = {"ids": [str(segment) for segment in rows.ids.tolist()], "properties": properties}
    return {"@type": "neuroglancer_segment_properties", "inline": inline}
