"""`clew build-region-graph`: affinities and fragments → region graph."""

from math import prod

from clew.pipeline._declare import Record, stage
from clew.pipeline._files import cover, open_affinities, read_ids, suggestion
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import Input, Output, VoxelSize
from clew.pipeline._progress import timed
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import save_region_graph
from clew.segmentation import region_graph as science
from clew.volumes.tables import check_table_path


@stage
def build_region_graph(
    affinities: Input,
    fragments: Input,
    region_graph: str,
    *,
    voxel_size: VoxelSize,
    output: Output,
    record: Record,
) -> None:
    """Collect the affinities between every two touching fragments.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    fragments
        Fragments (z, y, x) of these affinities.
    region_graph
        Output, a table in an .h5 file.
    """
    refuse_overlap([affinities, fragments], [region_graph])
    check_table_path(region_graph, overwrite=output.overwrite)
    source = open_affinities(affinities, voxel_size.voxel_size)
    refuse_too_large("build-region-graph", affinities, prod(source.shape[1:]), 3 * source.dtype.itemsize + 8)
    ids = read_ids(*cover(fragments, source))
    values = source.read(slice(0, 3))
    with timed("build-region-graph", ids.size):
        graph = science.build_region_graph(values, ids)
    save_region_graph(region_graph, graph, record | suggestion(source.attributes), output.overwrite)
