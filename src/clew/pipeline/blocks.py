"""The way in blocks: the segmentation of volumes of any size, and the proof that blocks change nothing."""

from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt

from clew.segmentation.agglomeration_options import AgglomerationChoice, AgglomerationOptions
from clew.segmentation.fragment_options import FragmentOptions
from clew.stages.declaration import Record, stage
from clew.stages.option_types import Shape, Threshold


@stage
def segment_blocks(
    affinities: str,
    folder: str,
    *,
    mask: str | None = None,
    block_shape: Shape = (256, 256, 256),
    fragment_options: FragmentOptions,
    agglomeration_options: AgglomerationChoice,
    threshold: Threshold | None = None,
    minimum_size: Annotated[int, Ge(0)] = 0,
    remove_below: Annotated[int, Ge(0)] = 0,
    workers: Annotated[int, Ge(0)] = 0,
    scheduler: str | None = None,
    cluster: str | None = None,
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
        Where fragments.zarr, segmentation.zarr, merge_tree.h5 and the state of the run are written.
    mask
        Volume (z, y, x), 0 where there is nothing to segment.
    block_shape
        Voxels z,y,x of a block; the result does not depend on it. Multiples of 64 are stored best.
    threshold
        Merge while 1 - score < threshold; a larger one merges more. By default the one stored with the network.
    minimum_size
        Segments of fewer voxels join their best neighbour.
    remove_below
        Segments of still fewer voxels are removed (0 in the output).
    workers
        Processes on this machine; 0 for as many as cores and memory allow.
    scheduler
        Address of a running Dask scheduler whose workers to use instead, for example tcp://node7:8786.
    cluster
        TOML file with a table [cluster]: workers are jobs of this batch system (SLURM, LSF, PBS, SGE).
    dry_run
        Only show the job script of the cluster.
    restart
        Discard what an earlier run left in the folder.
    """
    from clew.blockwise.segment import SegmentationOptions
    from clew.blockwise.workers import Workers
    from clew.stages.block_run import prepare, read_cluster, run_in_blocks, say_job
    from clew.stages.files import chosen_threshold, open_affinities

    where = Workers(workers, scheduler, read_cluster(cluster))
    if dry_run:
        say_job(where)
        return
    attributes = open_affinities(affinities).attributes
    agglomeration = agglomeration_options.complete(attributes.get("suggested_score"))
    threshold = chosen_threshold(threshold, attributes, agglomeration.score, affinities)
    options = SegmentationOptions(fragment_options, agglomeration, threshold, minimum_size, remove_below)
    run = prepare(affinities, Path(folder), mask, options, block_shape)
    run_in_blocks(run, Path(folder), record, where, restart=restart)


@stage
def status(folder: str) -> None:
    """Show how far a run in blocks is: tasks done, failed and to do, distinct errors, time left.

    Parameters
    ----------
    folder
        Folder of `segment-blocks`.
    """
    from clew.stages.block_run import show_status

    show_status(Path(folder))


@stage
def retry(
    folder: str,
    *,
    workers: Annotated[int, Ge(0)] = 0,
    scheduler: str | None = None,
    cluster: str | None = None,
) -> None:
    """Go on with a run in blocks whose tasks failed, with the options it was begun with.

    Parameters
    ----------
    folder
        Folder of `segment-blocks`.
    workers
        Processes on this machine; 0 for as many as cores and memory allow.
    scheduler
        Address of a running Dask scheduler whose workers to use instead.
    cluster
        TOML file with a table [cluster]: workers are jobs of this batch system.
    """
    from clew.stages.block_run import parameters_of

    where = {"workers": workers, "scheduler": scheduler, "cluster": cluster}
    segment_blocks(**parameters_of(Path(folder)) | where)


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
    from clew.blockwise.segment import SegmentationOptions
    from clew.stages.verification import verify_paths

    options = SegmentationOptions(fragment_options, agglomeration_options, threshold, minimum_size, remove_below)
    verify_paths(affinities, mask=mask, box=box, options=options, trials=trials, seed=seed)
