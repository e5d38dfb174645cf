"""`clew export`: a segmentation → what other tools of the field open, in blocks."""

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
        given = open_source(source, folder, volumes.volumes, geometry, export_options, beside)
        return FORMATS[export_options.format](given)

    run_in_blocks(lay_out, record, block_run)
