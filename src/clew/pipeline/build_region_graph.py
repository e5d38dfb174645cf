"""`clew build-region-graph`: affinities and fragments → region graph."""

from itertools import product

from clew.pipeline._declare import Record, stage
from clew.pipeline._files import cover, open_affinities, read_ids, suggestion
from clew.pipeline._options import Input, Output, VoxelSize
from clew.pipeline._progress import timed, track
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import save_region_graph
from clew.segmentation import region_graph as science
from clew.segmentation.region_graph import RegionGraph, merge_region_graphs
from clew.space import Box, Triple
from clew.volumes.tables import check_table_path
from clew.volumes.volume import Volume

PART = 256
"""Edge in voxels of the parts that are read one after the other: about 0.3 GB each."""


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

    The volumes are read in parts, and only the region graph is in memory whole.

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
    ids, place = cover(fragments, source)
    with timed("build-region-graph", place.size):
        parts = _parts(place.shape)
        shown = track(parts, len(parts), "parts") if len(parts) > 1 else parts
        graph = merge_region_graphs(_graph(source, ids, place, owned) for owned in shown)
    save_region_graph(region_graph, graph, record | suggestion(source.attributes), output.overwrite)


def _parts(shape: Triple) -> list[Box]:
    """Boxes side by side that make up a volume (z, y, x)."""
    whole = Box.whole(shape)
    places = product(*(range(-(-length // PART)) for length in shape))
    return [Box.tile(place, (PART, PART, PART)).overlap(whole) for place in places]


def _graph(affinities: Volume, fragments: Volume, place: Box, owned: Box) -> RegionGraph:
    """The contacts that a part owns.

    With one voxel more on its low sides they are those of the whole.
    """
    box = owned.grown((1, 1, 1), (0, 0, 0), inside=Box.whole(place.shape))
    ids = read_ids(fragments, box.shifted(place.low))
    return science.build_region_graph(affinities.read((slice(0, 3), *box)), ids, owned=owned.within(box))
