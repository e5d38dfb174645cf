"""The way in blocks: prediction, segmentation and scores of volumes of any size, and the proof that blocks change nothing."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt

from clew.blockwise.worker_options import Workers
from clew.network.options import BUNDLED, PredictionOptions
from clew.segmentation.options import (
    AgglomerationChoice,
    AgglomerationOptions,
    CutOptions,
    FragmentOptions,
    SegmentationOptions,
)
from clew.space import Lengths
from clew.stages.declaration import Record, command_name, stage
from clew.stages.option_types import Input, Shape, Threshold


@stage
def predict_blocks(
    raw: Input,
    folder: str,
    *,
    checkpoint: Input = BUNDLED,
    box: str | None = None,
    block_shape: Shape | None = None,
    prediction_options: PredictionOptions,
    voxel_size: Lengths | None = None,
    volumes: str | None = None,
    worker_options: Workers,
    dry_run: bool = False,
    restart: bool = False,
    record: Record,
) -> None:
    """Predict the affinities of a raw volume of any size in blocks, on many workers: what `predict` does, to within 1/255.

    The same command goes on where it was interrupted; `status` and `retry` look after the folder.

    Parameters
    ----------
    raw
        Raw volume (z, y, x) uint8.
    folder
        Where affinities.zarr and the state of the run are written.
    checkpoint
        Checkpoint file, or the name of a bundled one.
    box
        Part of the volume in voxels, as z0:z1,y0:y1,x0:x1 (each end may be left out); the raw around it serves as context.
    block_shape
        Voxels z,y,x of a block, predicted in tiles; by default even parts of at most 256. Multiples of 64 are stored best.
    voxel_size
        Voxel size z,y,x in nm, where the volume does not say it.
    volumes
        Where affinities.zarr is written, if not in the folder: another one, or an address (s3://bucket/place).
    dry_run
        Only show the job script of the cluster.
    restart
        Discard what an earlier run left.
    """
    from clew.stages.block_prediction import prediction_run
    from clew.stages.block_run import run_in_blocks, say_job

    if dry_run:
        say_job(worker_options)
        return
    run = prediction_run(
        raw, Path(folder), volumes, checkpoint, box, prediction_options, voxel_size, block_shape,
        here=worker_options.scheduler is None and worker_options.cluster is None,
    )  # fmt: skip
    run_in_blocks(run, record, worker_options, restart=restart)


@stage
def segment_blocks(
    affinities: Input,
    folder: str,
    *,
    mask: Input | None = None,
    block_shape: Shape | None = None,
    fragment_options: FragmentOptions,
    agglomeration_options: AgglomerationChoice,
    threshold: Threshold | None = None,
    minimum_size: Annotated[int, Ge(0)] = 0,
    remove_below: Annotated[int, Ge(0)] = 0,
    volumes: str | None = None,
    worker_options: Workers,
    dry_run: bool = False,
    restart: bool = False,
    record: Record,
) -> None:
    """Affinities to segmentation in blocks, on many workers: the same result as `segment`, for volumes of any size.

    The same command goes on where it was interrupted; `status` and `retry` look after the folder.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    folder
        Where fragments.zarr, segmentation.zarr (with coarser scales for viewers), merge_tree.h5 and the state of the run
        are written.
    mask
        Volume (z, y, x), 0 where there is nothing to segment.
    block_shape
        Voxels z,y,x of a block; by default even parts of at most 256. The result does not depend on it (`seeded-flood`: nearly).
        Multiples of 64 are stored best.
    threshold
        Merge while 1 - score < threshold; a larger one merges more. By default the one stored with the network.
    minimum_size
        Segments of fewer voxels join their best neighbour.
    remove_below
        Segments of still fewer voxels are removed (0 in the output).
    volumes
        Where the volumes are written, if not in the folder: another one, or an address (s3://bucket/place).
    dry_run
        Only show the job script of the cluster.
    restart
        Discard what an earlier run left.
    """
    from clew.stages.block_run import run_in_blocks, say_job
    from clew.stages.block_segmentation import segmentation_run
    from clew.stages.files import chosen_threshold, open_affinities

    if dry_run:
        say_job(worker_options)
        return
    attributes = open_affinities(affinities).attributes
    agglomeration = agglomeration_options.complete(attributes.get("suggested_score"))
    threshold = chosen_threshold(threshold, attributes, agglomeration.score, affinities)
    cut = CutOptions(threshold, minimum_size, remove_below)
    options = SegmentationOptions(fragment_options, agglomeration, cut)
    run = segmentation_run(affinities, Path(folder), volumes, mask, options, block_shape)
    run_in_blocks(run, record, worker_options, restart=restart)


@stage
def relabel_blocks(
    blocks: Input,
    folder: str,
    *,
    threshold: Threshold,
    minimum_size: Annotated[int, Ge(0)] = 0,
    remove_below: Annotated[int, Ge(0)] = 0,
    volumes: str | None = None,
    worker_options: Workers,
    restart: bool = False,
    record: Record,
) -> None:
    """Cut the merge tree of `segment-blocks` at another threshold, in blocks, on many workers: what `relabel` does.

    Parameters
    ----------
    blocks
        Folder of a finished `segment-blocks`.
    folder
        Where segmentation.zarr (with coarser scales for viewers) and the state of the run are written.
    threshold
        Merge while 1 - score < threshold; a larger one merges more.
    minimum_size
        Segments of fewer voxels join their best neighbour.
    remove_below
        Segments of still fewer voxels are removed (0 in the output).
    volumes
        Where segmentation.zarr is written, if not in the folder: another one, or an address (s3://bucket/place).
    restart
        Discard what an earlier run left.
    """
    from clew.stages.block_relabelling import relabelling_run
    from clew.stages.block_run import run_in_blocks

    cut = CutOptions(threshold, minimum_size, remove_below)
    run = relabelling_run(Path(blocks), Path(folder), volumes, cut)
    run_in_blocks(run, record, worker_options, restart=restart)


@stage
def convert_blocks(
    source: Input,
    folder: str,
    *,
    voxel_size: Lengths | None = None,
    offset: Lengths | None = None,
    block_shape: Shape | None = None,
    volumes: str | None = None,
    worker_options: Workers,
    restart: bool = False,
    record: Record,
) -> None:
    """Copy a volume of any size to OME-Zarr in blocks, on many workers, with coarser scales for viewers.

    Parameters
    ----------
    source
        Volume (z, y, x) of any format that clew reads: an image (uint8, uint16) or labels.
    folder
        Where volume.zarr and the state of the run are written.
    voxel_size
        Voxel size z,y,x in nm, instead of what the volume says.
    offset
        Offset z,y,x in nm, instead of what the volume says.
    block_shape
        Voxels z,y,x of a block; by default even parts of at most 256. Multiples of 64 are stored best.
    volumes
        Where volume.zarr is written, if not in the folder: another one, or an address (s3://bucket/place).
    restart
        Discard what an earlier run left.
    """
    from clew.stages.block_conversion import conversion_run
    from clew.stages.block_run import run_in_blocks

    run = conversion_run(source, Path(folder), volumes, voxel_size, offset, block_shape)
    run_in_blocks(run, record, worker_options, restart=restart)


@stage
def evaluate_blocks(
    segmentation: Input,
    truth: Input,
    folder: str,
    *,
    merge_tree: Input | None = None,
    thresholds: Annotated[int, Gt(1)] = 51,
    border: Annotated[float, Ge(0)] = 0.0,
    box: str | None = None,
    block_shape: Shape | None = None,
    worker_options: Workers,
    restart: bool = False,
    record: Record,
) -> None:
    """Compare a segmentation of any size with the truth in blocks, on many workers: the scores of `evaluate`.

    Parameters
    ----------
    segmentation
        Segmentation (z, y, x), or the fragments of the merge tree.
    truth
        True neuron ids (z, y, x), of which voxels with 0 are ignored. Truth and segmentation may be parts of each other, by
        their offsets.
    folder
        Where scores.json and the state of the run are written.
    merge_tree
        Merge tree of the fragments: scores are then given for many thresholds.
    thresholds
        Number of thresholds from 0 to 1.
    border
        Ignore truth within this distance (nm, per section) of a border between neurons; CREMI uses 25.
    box
        Part of the segmentation in voxels to compare, as z0:z1,y0:y1,x0:x1.
    block_shape
        Voxels z,y,x of a block; by default even parts of at most 256. The scores do not depend on it.
    restart
        Discard what an earlier run left.
    """
    from clew.stages.block_run import run_in_blocks
    from clew.stages.block_scoring import scoring_run

    run = scoring_run(segmentation, truth, Path(folder), merge_tree, thresholds, border, box, block_shape)
    run_in_blocks(run, record, worker_options, restart=restart)


@stage
def status(folder: str) -> None:
    """Show how far a run in blocks is: tasks done, failed and to do, distinct errors, time left.

    Parameters
    ----------
    folder
        Folder of `predict-blocks` or one of its kin.
    """
    from clew.stages.block_run import show_status

    show_status(Path(folder))


@stage
def retry(folder: str, *, worker_options: Workers) -> None:
    """Go on with a run in blocks, with the options it was begun with; what was lost or damaged since is made again.

    Parameters
    ----------
    folder
        Folder of `predict-blocks` or one of its kin.
    """
    from clew.stages.block_run import begun_with, look_again

    command, keywords = begun_with(Path(folder))
    look_again(Path(folder))
    functions = (predict_blocks, segment_blocks, relabel_blocks, evaluate_blocks, convert_blocks)
    begun = {command_name(function): function for function in functions}
    begun[command](**keywords | asdict(worker_options))


@stage
def verify_blocks(
    affinities: str,
    *,
    mask: str | None = None,
    box: str | None = None,
    fragment_options: FragmentOptions,
    agglomeration_options: AgglomerationOptions,
    threshold: Threshold = 0.5,
    minimum_size: Annotated[int, Ge(0)] = 0,
    remove_below: Annotated[int, Ge(0)] = 0,
    trials: Annotated[int, Gt(0)] = 3,
    seed: Annotated[int, Ge(0)] = 0,
) -> None:
    """Segment a volume whole and in blocks of random shapes and orders, and compare: nothing may differ.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    mask
        Volume (z, y, x), 0 where there is nothing to segment.
    box
        Part in voxels to segment, as z0:z1,y0:y1,x0:x1; it has to fit into memory.
    threshold
        Merge while 1 - score < threshold.
    minimum_size
        Segments of fewer voxels join their best neighbour.
    remove_below
        Segments of still fewer voxels are removed.
    trials
        How many block shapes to try.
    seed
        Of the random shapes and orders.
    """
    from clew.stages.verification import verify_paths

    cut = CutOptions(threshold, minimum_size, remove_below)
    options = SegmentationOptions(fragment_options, agglomeration_options, cut)
    verify_paths(affinities, mask=mask, box=box, options=options, trials=trials, seed=seed)
