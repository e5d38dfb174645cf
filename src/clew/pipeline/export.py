"""`clew export`: a segmentation → what other tools of the field open, in blocks."""

from collections.abc import Mapping
from typing import Any

from clew.errors import InputError
from clew.export.options import ExportOptions
from clew.pipeline._block_run import BlockWork, run_in_blocks
from clew.pipeline._declare import Record, stage
from clew.pipeline._export_precomputed import lay_out_precomputed
from clew.pipeline._export_pychunkedgraph import lay_out_pychunkedgraph
from clew.pipeline._export_segments import lay_out_files
from clew.pipeline._export_source import open_source
from clew.pipeline._export_stacks import lay_out_cremi, lay_out_tiff
from clew.pipeline._export_table import lay_out_table
from clew.pipeline._export_webknossos import lay_out_webknossos
from clew.pipeline._options import BlockRun, ExportInputs, GeometryOptions, Input, Volumes
from clew.volumes.location import is_remote

FORMATS = {
    "precomputed": lay_out_precomputed,
    **dict.fromkeys(("ply", "obj", "glb", "swc", "nml"), lay_out_files),
    "table": lay_out_table,
    "tiff": lay_out_tiff,
    "cremi": lay_out_cremi,
    "webknossos": lay_out_webknossos,
    "pychunkedgraph": lay_out_pychunkedgraph,
}
"""Opens the source and lays out the run, for each format; nothing is written."""
IN_OBJECT_STORAGE = ("precomputed", "webknossos", "pychunkedgraph")
"""Formats that their readers open there; the others are files that programs open on a disk."""

FRAGMENTS = ("webknossos", "pychunkedgraph")
"""Formats in which fragments are handed on with what makes up a segment."""
USED_BY = {
    "meshes": ("precomputed",), "skeletons": ("precomputed",), "segment_names": ("precomputed", "table"), "nuclei": ("table",),
    "merge_tree": FRAGMENTS, "threshold": FRAGMENTS, "affinities": ("pychunkedgraph",), "chunk_shape": ("pychunkedgraph",),
}  # fmt: skip
"""Options of some formats only."""


@stage
def export(
    source: Input,
    folder: str,
    *,
    beside: ExportInputs,
    export_options: ExportOptions,
    geometry: GeometryOptions,
    volumes: Volumes,
    block_run: BlockRun,
    record: Record,
) -> None:
    """Write a segmentation as other tools read it: precomputed, meshes, skeletons.

    Parameters
    ----------
    source
        Segmentation (z, y, x) of any format that clew reads.
    folder
        Where the export, in a folder or file named after its format, and the state of the run are written.
    """

    def lay_out() -> BlockWork:
        _refuse_unused(export_options.format, vars(export_options) | vars(beside))
        _refuse_object_storage(export_options.format, folder, volumes.volumes)
        given = open_source(source, folder, volumes.volumes, geometry, export_options, beside)
        return FORMATS[export_options.format](given)

    run_in_blocks(lay_out, record, block_run)


def _refuse_unused(format: str, given: Mapping[str, Any]) -> None:
    """Refuse options that would change nothing."""
    for name, formats in USED_BY.items():
        if given[name] and format not in formats:
            instead = "; clew relabel makes segments of fragments" if name in ("merge_tree", "threshold") else ""
            raise InputError(
                f"--{name.replace('_', '-')} is for {' and '.join(formats)}, not for {format}: leave it out{instead}"
            )
    if given["threshold"] is not None and not given["merge_tree"]:
        raise InputError("--threshold says where a merge tree is cut: give --merge-tree, too")


def _refuse_object_storage(format: str, folder: str, volumes: str | None) -> None:
    if volumes is not None and is_remote(volumes) and format not in IN_OBJECT_STORAGE:
        raise InputError(
            f"{format} is read from a disk, not from {volumes}: leave out --volumes, and copy {folder}/{format} there when it "
            f"is finished (to object storage go {', '.join(IN_OBJECT_STORAGE)})"
        )
