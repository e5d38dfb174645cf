"""What is handed on, and how: the options of an export and their defaults."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from clew.network.options import Shape
from clew.ranges import Positive

Format = Literal[
    "precomputed", "ply", "obj", "glb", "swc", "nml", "table", "tiff", "cremi", "webknossos", "pychunkedgraph"
]


@dataclass(frozen=True)
class ExportOptions:
    """What an export holds.

    Parameters
    ----------
    format
        `precomputed` is a volume for neuroglancer, with coarser scales and segment properties; `ply`, `obj` and `glb` are meshes,
        `swc` and `nml` skeletons, one file for each segment; `table` is a CSV file of all segments, `tiff` a file
        for each section, for Fiji, `cremi` the HDF5 file of a CREMI submission,
        `webknossos` a dataset of WEBKNOSSOS, and `pychunkedgraph` what PyChunkedGraph (CAVE) ingests.
    minimum_size
        Voxels; segments of fewer get no row, mesh or skeleton.
    meshes
        With `precomputed`: meshes at several levels of detail.
    skeletons
        With `precomputed`: skeletons with radii.
    detail
        Meshes and skeletons are made of voxels of up to this many nm along each axis, by halving; smaller shows and costs more.
    chunk_shape
        With `pychunkedgraph`: voxels z,y,x of its chunks, at whose borders fragments are cut; by default even parts of at most 256.
    """

    format: Format = "precomputed"
    minimum_size: Annotated[int, Ge(0)] = 0
    meshes: bool = False
    skeletons: bool = False
    detail: Positive = 20.0
    chunk_shape: Shape | None = None
