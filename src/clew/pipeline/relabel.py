"""`clew relabel`, `clew relabel-blocks`: fragments and merge tree → segmentation."""

from dataclasses import fields
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.blockwise.ledger import Ledger
from clew.errors import InputError
from clew.pipeline._block_run import STAGE, BlockWork, run_in_blocks, volumes_folder
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import (
    FILE_NAMES,
    chosen_threshold,
    open_input,
    open_sized,
    read_ids,
    refuse_outputs,
    save_like,
    unplaced,
)
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import BlockRun, ConstraintFiles, Input, Output, Volumes, VoxelSize
from clew.pipeline._progress import say, timed
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import load_merge_tree, load_region_graph, merge_tree_record
from clew.segmentation import relabel as science
from clew.segmentation.in_blocks.relabel import load_counts, relabel_tasks
from clew.segmentation.in_blocks.segment import compile_kernels
from clew.segmentation.options import CutChoice
from clew.segmentation.segment import cut_lookup
from clew.space import triple
from clew.volumes.in_blocks import scale_tasks, shared_scales
from clew.volumes.location import join
from clew.volumes.pyramid import Scale, coarser_scales
from clew.volumes.run_store import FileStore
from clew.volumes.shared import finish_volume

BYTES_A_VOXEL = 40
"""Memory of a worker for each voxel of a block, at most."""


@stage
def relabel(
    fragments: Input,
    merge_tree: Input,
    segmentation: str,
    *,
    cut: CutChoice,
    region_graph: Input | None = None,
    voxel_size: VoxelSize,
    output: Output,
    record: Record,
) -> None:
    """Cut the merge tree at a threshold and give every voxel the id of its segment.

    Parameters
    ----------
    fragments
        Fragments (z, y, x).
    merge_tree
        Merge tree of these fragments.
    segmentation
        Output, (z, y, x) uint64.
    region_graph
        Region graph of the fragments; needed to join dust.
    """
    refuse_overlap([fragments, merge_tree, region_graph], [segmentation])
    tree, attributes = load_merge_tree(merge_tree)
    threshold = chosen_threshold(cut.threshold, attributes, tree.score, merge_tree)
    source = open_sized(fragments, voxel_size.voxel_size)
    refuse_outputs(output.overwrite, segmentation)
    refuse_too_large("relabel", fragments, prod(source.shape), 8)
    ids = read_ids(source)
    with timed("relabel", ids.size):
        if cut.minimum_size and region_graph is None:
            raise InputError("relabel: minimum-size needs the region graph: give --region-graph")
        graph = load_region_graph(region_graph)[0] if cut.minimum_size and region_graph else None
        lookup = cut_lookup(tree, cut.complete(threshold), graph)
        segments = science.relabel(ids, tree.fragments, lookup)
    save_like(source, segmentation, segments, Record(record | {"threshold": threshold}), output.overwrite)
    say_segments((len(np.unique(lookup[lookup > 0])), len(lookup)), threshold, tree.score)


def say_segments(counts: tuple[int, int], threshold: float, score: str) -> None:
    """Say how many segments and fragments there are, and at which threshold."""
    segments, fragments = counts
    say(
        f"{segments:,} segment{'s' * (segments != 1)} of {fragments:,} fragments, at threshold {threshold:g} of score {score}"
    )


@stage
def relabel_blocks(
    blocks: Input, folder: str, *, cut: CutChoice, volumes: Volumes, block_run: BlockRun, record: Record
) -> None:
    """Cut the merge tree of segment-blocks at another threshold, in blocks.

    Parameters
    ----------
    blocks
        Folder of a finished `segment-blocks`.
    folder
        Where segmentation.zarr (with coarser scales for viewers) and the state of the run are written.
    """
    run_in_blocks(lambda: _lay_out(Path(blocks), Path(folder), volumes.volumes, cut), record, block_run)


def _lay_out(blocks: Path, folder: Path, volumes: str | None, cut: CutChoice) -> BlockWork:
    """Open what `segment-blocks` left and lay out the run; nothing is written."""
    blocks, folder = blocks.absolute(), folder.absolute()
    plan, tree_file = Ledger(blocks).plan(), blocks / FILE_NAMES["merge_tree"]
    if plan.get(STAGE) != "segment-blocks" or not tree_file.exists():
        raise InputError(f"{blocks} must be the folder of a finished run of segment-blocks")
    path = join(plan.get("volumes") or str(blocks), FILE_NAMES["fragments"])
    fragments = open_input(path)
    shape = triple(fragments.shape)
    block_shape = triple(plan.get("block_shape") or even_blocks(shape))
    grid = Grid(Domain.whole(shape), block_shape)
    scales = [Scale(shape, fragments.voxel_size, fragments.offset)]
    scales += coarser_scales(scales[0])
    place = join(volumes_folder(folder, volumes), FILE_NAMES["segmentation"])
    outputs = shared_scales(place, "segmentation", np.uint64, scales, grid.block_shape)
    store = FileStore(folder / "tables", {"fragments": path}, outputs, fragments.voxel_size, earlier=blocks / "tables")
    score, attributes = merge_tree_record(str(tree_file))
    threshold = chosen_threshold(cut.threshold, attributes, score, str(blocks))
    constrained = any(plan.get(option.name) for option in fields(ConstraintFiles))
    tasks = relabel_tasks(grid, cut.complete(threshold), score=score, constrained=constrained)
    return BlockWork(
        folder, store, tasks + scale_tasks("segmentation", scales, grid.block_shape), (fragments,), prod(shape),
        BYTES_A_VOXEL * prod(grid.block_shape),
        partial(_finish, store=store, grid=grid, place=unplaced(fragments), threshold=threshold, score=score),
        warm_up=compile_kernels,
    )  # fmt: skip


def _finish(
    record: Record, *, store: FileStore, grid: Grid, place: dict[str, bool], threshold: float, score: str
) -> None:
    finish_volume(list(store.outputs.values()), record | place)
    say_segments(load_counts(store, grid), threshold, score)
