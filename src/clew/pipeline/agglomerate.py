"""`clew agglomerate`: region graph → merge tree."""

from clew.errors import InputError
from clew.pipeline._constraints import read_constraints
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import open_input, suggestion
from clew.pipeline._options import ConstraintFiles, Input, Output, VoxelSize
from clew.pipeline._progress import timed
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import load_region_graph, save_merge_tree
from clew.segmentation import agglomeration as science
from clew.segmentation.constraints import Constraints
from clew.segmentation.options import AgglomerationChoice
from clew.space import Lengths
from clew.volumes.tables import check_table_path


@stage
def agglomerate(
    region_graph: Input,
    merge_tree: str,
    *,
    options: AgglomerationChoice,
    constraint_files: ConstraintFiles,
    fragments: Input | None = None,
    voxel_size: VoxelSize,
    output: Output,
    record: Record,
) -> None:
    """Merge regions from the best contact to the worst, into a merge tree.

    The merge tree holds the segmentations of all thresholds.

    Parameters
    ----------
    region_graph
        Region graph, as written by build-region-graph.
    merge_tree
        Output, a table in an .h5 file.
    fragments
        Fragments of the region graph; needed with constraints, to find those that they are about.
    """
    refuse_overlap([region_graph, fragments, *constraint_files.paths], [merge_tree])
    check_table_path(merge_tree, overwrite=output.overwrite)
    graph, attributes = load_region_graph(region_graph)
    constraints = _constraints(constraint_files, fragments, voxel_size.voxel_size)
    with timed("agglomerate", int(graph.sizes.sum())):
        tree = science.agglomerate(
            graph, options=options.complete(attributes.get("suggested_score")), constraints=constraints
        )
    save_merge_tree(merge_tree, tree, record | suggestion(attributes), output.overwrite)


def _constraints(files: ConstraintFiles, fragments: str | None, voxel_size: Lengths | None) -> Constraints:
    if not files.paths:
        return Constraints()
    if fragments is None:
        raise InputError("agglomerate: constraints need the fragments that they are about: give --fragments")
    return read_constraints(files, open_input(fragments, voxel_size))
