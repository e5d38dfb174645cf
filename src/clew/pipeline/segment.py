"""`clew segment`, `clew segment-blocks`: affinities → segmentation."""

from dataclasses import asdict
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.memory import GIGABYTE, free_memory
from clew.pipeline._block_run import BlockWork, absolute, run_in_blocks, volumes_folder
from clew.pipeline._constraints import check_constraints, label_file, points_of, say_constraints
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import (
    FILE_NAMES,
    check_mask_values,
    chosen_threshold,
    cover,
    handed_on,
    open_affinities,
    refuse_outputs,
)
from clew.pipeline._options import BlockRun, Blocks, ConstraintFiles, Input, Mask, Output, Volumes, VoxelSize
from clew.pipeline._progress import say
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._tables import save_merge_tree_of_blocks
from clew.pipeline.agglomerate import agglomerate
from clew.pipeline.build_region_graph import build_region_graph
from clew.pipeline.extract_fragments import extract_fragments, nothing_inside
from clew.pipeline.relabel import relabel, say_segments
from clew.segmentation.fragments import SEEDED_BY_IDS
from clew.segmentation.in_blocks.constraints import Given
from clew.segmentation.in_blocks.forest import context_of
from clew.segmentation.in_blocks.relabel import load_counts
from clew.segmentation.in_blocks.segment import (
    bytes_of_last_level,
    check_segmentation,
    compile_kernels,
    is_flood,
    passed_up,
    segmentation_tasks,
)
from clew.segmentation.in_blocks.tree import constraints_of_tree
from clew.segmentation.options import AgglomerationChoice, CutChoice, FragmentOptions, SegmentationOptions
from clew.space import Box, Lengths, Triple, triple
from clew.volumes.in_blocks import scale_tasks, shared_scales
from clew.volumes.location import join
from clew.volumes.pyramid import Scale, coarser_scales
from clew.volumes.run_store import FileStore
from clew.volumes.shared import SharedVolume, finish_volume
from clew.volumes.volume import Volume

BYTES_A_VOXEL = 60
"""Memory of a worker for each voxel of a block with its context, at most."""
WHOLE = ("fragments", "region_graph", "merge_tree", "segmentation")
"""What `segment` writes, in this order."""
OUTPUTS = {"pieces": np.uint32, "fragments": np.uint64, "segmentation": np.uint64}
"""The volumes of a run in blocks."""


@stage
def segment(
    affinities: Input,
    directory: str,
    *,
    voxel_size: VoxelSize,
    mask: Mask,
    fragment_options: FragmentOptions,
    agglomeration_options: AgglomerationChoice,
    constraint_files: ConstraintFiles,
    cut: CutChoice,
    output: Output,
) -> None:
    """Go from affinities to a segmentation: the four commands above in one.

    They are extract-fragments, build-region-graph, agglomerate and relabel.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    directory
        Where fragments.zarr, region_graph.h5, merge_tree.h5 and segmentation.zarr are written.
    """
    fragments, graph, tree, segmentation = (str(Path(directory) / FILE_NAMES[name]) for name in WHOLE)
    given = asdict(constraint_files)
    refuse_overlap(
        [affinities, mask.mask, constraint_files.cannot_link, constraint_files.must_link],
        [fragments, graph, tree, segmentation],
    )
    refuse_outputs(output.overwrite, fragments, segmentation)
    size = asdict(voxel_size)
    options = _options(affinities, voxel_size.voxel_size, fragment_options, agglomeration_options, cut)
    check_constraints(constraint_files, open_affinities(affinities, voxel_size.voxel_size))
    seeds = (
        {name: given[name] for name in ("cannot_link", "swc_unit")} if fragment_options.method == SEEDED_BY_IDS else {}
    )
    extract_fragments(
        affinities, fragments, **size, **asdict(mask), **asdict(fragment_options), **seeds, **asdict(output)
    )
    build_region_graph(affinities, fragments, graph, **size, **asdict(output))
    given |= {"fragments": fragments} if constraint_files.paths else {}
    agglomerate(graph, tree, **asdict(options.agglomeration), **given, **asdict(output))
    chosen = asdict(cut) | {"threshold": options.cut.threshold}
    relabel(fragments, tree, segmentation, region_graph=graph, **chosen, **asdict(output))


@stage
def segment_blocks(
    affinities: Input,
    folder: str,
    *,
    voxel_size: VoxelSize,
    mask: Mask,
    blocks: Blocks,
    fragment_options: FragmentOptions,
    agglomeration_options: AgglomerationChoice,
    constraint_files: ConstraintFiles,
    cut: CutChoice,
    volumes: Volumes,
    block_run: BlockRun,
    record: Record,
) -> None:
    """Go from affinities to a segmentation in blocks: the same result as segment.

    The same command goes on where it was interrupted; `status` and `retry` look after the folder.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    folder
        Where fragments.zarr, segmentation.zarr (with coarser scales for viewers), merge_tree.h5 and the state of the run
        are written.
    """

    def lay_out() -> BlockWork:
        size = voxel_size.voxel_size
        options = _options(affinities, size, fragment_options, agglomeration_options, cut)
        return _lay_out(
            affinities, size, Path(folder), volumes.volumes, mask.mask, constraint_files, options, blocks.block_shape
        )

    run_in_blocks(lay_out, record, block_run)


def _options(
    affinities: str,
    voxel_size: Lengths | None,
    fragments: FragmentOptions,
    agglomeration: AgglomerationChoice,
    cut: CutChoice,
) -> SegmentationOptions:
    """The options, with what the network stored where the user says nothing."""
    attributes = open_affinities(affinities, voxel_size).attributes
    complete = agglomeration.complete(attributes.get("suggested_score"))
    threshold = chosen_threshold(cut.threshold, attributes, complete.score, affinities)
    return SegmentationOptions(fragments, complete, cut.complete(threshold))


def _lay_out(
    affinities: str, voxel_size: Lengths | None, folder: Path, volumes: str | None, mask: str | None,
    constraint_files: ConstraintFiles, options: SegmentationOptions, block_shape: Triple | None,
) -> BlockWork:  # fmt: skip
    """Open the inputs and lay out the run; nothing is written."""
    check_segmentation(options)
    affinities, mask, folder = absolute(affinities), mask and absolute(mask), folder.absolute()
    source = open_affinities(affinities, voxel_size)
    shape = triple(source.shape[1:])
    block_shape = block_shape or even_blocks(shape)
    grid = Grid(Domain.whole(shape), block_shape)
    points, labels = points_of(constraint_files, source), label_file(constraint_files)
    labels = labels and absolute(labels)
    inputs = {"affinities": affinities} | ({} if mask is None else {"mask": mask})
    inputs |= {} if labels is None else {"cannot_link": labels}
    places = {} if mask is None else {"mask": _place_of_mask(mask, source)}
    places |= {} if labels is None else {"cannot_link": Box.whole(shape).within(cover(labels, source)[1]).low}
    finest = Scale(shape, source.voxel_size, source.offset)
    scales = {name: [finest] for name in OUTPUTS}
    scales["segmentation"] += coarser_scales(finest)
    place = volumes_folder(folder, volumes)
    outputs: dict[str, SharedVolume] = {}
    for name, dtype in OUTPUTS.items():
        outputs |= shared_scales(join(place, f"{name}.zarr"), name, dtype, scales[name], block_shape)
    store = FileStore(folder / "tables", inputs, outputs, source.voxel_size, places)
    tasks = segmentation_tasks(grid, options, masked=mask is not None, given=Given(labels is not None, points))
    needed = BYTES_A_VOXEL * prod(context_of(grid.block(grid.middle), options.fragments).shape)
    return BlockWork(
        folder, store, tasks + scale_tasks("segmentation", scales["segmentation"], block_shape), (source,), prod(shape), needed,
        partial(_finish, source=source, folder=folder, store=store, grid=grid, options=options),
        tables=(FILE_NAMES["merge_tree"],), warm_up=compile_kernels, expected=_expected_memory(grid, needed),
    )  # fmt: skip


def _expected_memory(grid: Grid, block: int) -> str:
    """What a worker needs at most: for a block, and for the last level.

    The last one grows with the volume.
    """
    last = bytes_of_last_level(grid)
    words = f"memory: up to {block / GIGABYTE:.3g} GB for a block"
    if last:
        words += f"; about {last / GIGABYTE:.3g} GB for the last level above them, more where fragments are small"
    free = free_memory()
    if max(block, last) > free:
        words += f"; {free / GIGABYTE:.3g} GB are free here"
    return words


def _place_of_mask(mask: str, source: Volume) -> Triple:
    """Where the first voxel of a mask lies in a volume."""
    volume, box = cover(mask, source)
    check_mask_values(volume)
    return Box.whole(triple(source.shape[1:])).within(box).low


def _finish(
    record: Record, *, source: Volume, folder: Path, store: FileStore, grid: Grid, options: SegmentationOptions
) -> None:
    """Make the outputs volumes and a table that others can read.

    What each level passed up is shown.
    """
    record |= handed_on(source)
    score, target = options.agglomeration.score, str(folder / FILE_NAMES["merge_tree"])
    save_merge_tree_of_blocks(target, store, score, dict(record))
    for path in ("fragments", "segmentation"):
        scales = [volume for name, volume in store.outputs.items() if name.partition("-")[0] == path]
        finish_volume(scales, record)
    counts = load_counts(store, grid)
    say_segments(counts, options.cut.threshold, score)
    constraints = constraints_of_tree(store)
    if constraints:
        say_constraints(*constraints)
    for level in passed_up(grid, store, forests=not is_flood(options))[:-1]:
        say(level.words)
    if not counts[1]:
        say(nothing_inside(source, options.fragments))
    if is_flood(options):
        say("seeded-flood is approximate at block borders: other blocks give other fragments there")
