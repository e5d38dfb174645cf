"""`clew predict`, `clew predict-blocks`: raw and a network → affinities."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid, even_blocks
from clew.errors import InputError
from clew.memory import refuse_beyond_memory
from clew.network.bundled import bundled_names, open_checkpoint
from clew.network.checkpoint import Checkpoint
from clew.network.device import count_gpus, resolve_device
from clew.network.in_blocks import prediction_tasks
from clew.network.options import DECIDED, PredictionOptions
from clew.network.prediction import check_raw, memory_of_tiles, predict_tiles, tile_edges
from clew.network.runtime import Decision, decide_runtime, may_choose
from clew.pipeline._block_run import MEASURED, BlockWork, absolute, plan_of, run_in_blocks, volumes_folder
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import open_input, unplaced
from clew.pipeline._memory import instead
from clew.pipeline._options import BlockRun, Blocks, Input, Network, Output, Volumes
from clew.pipeline._progress import say, timed, track
from clew.pipeline._protection import refuse_overlap
from clew.space import Box, Lengths, Triple, triple
from clew.volumes.affinities import affinity_attributes
from clew.volumes.location import join
from clew.volumes.place import offset_of
from clew.volumes.run_store import FileStore
from clew.volumes.save import create_volume
from clew.volumes.shared import SharedVolume, finish_volume
from clew.volumes.volume import Volume


@stage
def predict(
    raw: Input,
    affinities: str,
    *,
    network: Network,
    prediction_options: PredictionOptions,
    output: Output,
    record: Record,
) -> None:
    """Predict the affinities of a raw volume, tile by tile.

    Parameters
    ----------
    raw
        Raw volume (z, y, x) uint8.
    affinities
        Output, (3, z, y, x) uint8, for example affinities.zarr.
    """
    refuse_overlap([raw, network.checkpoint], [affinities])
    job = _open(raw, network)
    if resolve_device(prediction_options.device) == "cpu":
        needed = memory_of_tiles(
            job.shape, prediction_options.tile, device="cpu", precision=prediction_options.precision
        )
        refuse_beyond_memory(needed, f"predict of {raw} in tiles", instead("predict"))
    options = _decided(job, prediction_options, record)
    with (
        timed("predict", prod(job.shape)),
        create_volume(affinities, shape=(3, *job.shape), dtype="uint8", voxel_size=job.raw.voxel_size, offset=job.offset,
                      attributes=record | job.attributes, overwrite=output.overwrite) as written,
    ):  # fmt: skip
        tiles = predict_tiles(
            job.model.network,
            job.raw.read,
            triple(job.raw.shape),
            box=job.box,
            options=options,
            voxel_size=job.raw.voxel_size,
        )
        total = prod(len(edges) for edges in tile_edges(job.model.network.options, job.box, options.tile))
        for predicted in track(tiles, total, "predict"):
            written[(slice(None), *predicted.box.within(job.box))] = predicted.affinities


@stage
def predict_blocks(
    raw: Input,
    folder: str,
    *,
    network: Network,
    blocks: Blocks,
    prediction_options: PredictionOptions,
    volumes: Volumes,
    block_run: BlockRun,
    record: Record,
) -> None:
    """Predict affinities in blocks, on many workers, for volumes of any size.

    The affinities are those of `predict`, to within 1/255. The same command goes on where it was interrupted; `status` and
    `retry` look after the folder.

    Parameters
    ----------
    raw
        Raw volume (z, y, x) uint8.
    folder
        Where affinities.zarr and the state of the run are written.
    """
    here = block_run.scheduler is None and block_run.cluster is None
    run_in_blocks(
        lambda: _lay_out(
            raw, Path(folder), volumes.volumes, network, prediction_options, blocks.block_shape, record, here=here,
            restart=block_run.restart,
        ),
        record, block_run,
    )  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """A volume that a network can predict, and the part of it that is wanted."""

    model: Checkpoint
    raw: Volume
    box: Box

    @property
    def shape(self) -> Triple:
        """Shape of the part that is predicted."""
        return self.box.shape

    @property
    def offset(self) -> Lengths:
        """Offset of the part that is predicted, in nm."""
        return offset_of(self.raw, self.box.low)

    @property
    def attributes(self) -> Record:
        """What is recorded with the affinities beside the stage itself."""
        found = affinity_attributes(self.model.network.options.offsets[:3], "uint8") | self.model.suggestion
        return Record(found | unplaced(self.raw, self.box))


def _open(raw: str, network: Network) -> Prediction:
    """Open raw and network, and check that they fit."""
    model, source = open_checkpoint(network.checkpoint), open_input(raw, network.voxel_size)
    try:
        check_raw(source.shape, source.dtype, model, source.voxel_size)
    except InputError as error:
        raise InputError(f"{source.source}: {error}") from error
    return Prediction(model, source, Box.parse(network.box, source.shape))


def _decided(
    job: Prediction, options: PredictionOptions, record: Record, *, begun: Mapping[str, Any] = {}, here: bool = True
) -> PredictionOptions:
    """The options with the runtime and the precision of the whole run.

    Both are recorded. A run that was begun goes on with its own, by its plan. Workers that are elsewhere, and may have GPUs,
    predict by PyTorch, each in the precision that pays there.
    """
    if begun:
        kept = {name: begun.get(name, "auto") for name in DECIDED if getattr(options, name) == "auto"}
        decision = Decision(replace(options, **kept))
    elif here or options.device == "cpu":
        z, y, x = job.raw.shape
        if may_choose(options, job.box):
            say("which runtime is the fastest here? PyTorch and OpenVINO are tried")
        decision = decide_runtime(job.model.network, job.raw.read, (z, y, x), job.box, options)
    else:
        decision = Decision(replace(options, runtime="torch" if options.runtime == "auto" else options.runtime))
    if decision.words:
        say(decision.words)
    record["parameters"] |= {name: getattr(decision.options, name) for name in DECIDED}
    record[MEASURED] = begun.get(MEASURED, decision.record)
    return decision.options


def _lay_out(
    raw: str, folder: Path, volumes: str | None, network: Network, options: PredictionOptions,
    block_shape: Triple | None, record: Record, *, here: bool, restart: bool,
) -> BlockWork:  # fmt: skip
    """Open the inputs and lay out the run; nothing is written.

    `here`: workers are processes of this machine, so its GPUs say whether they predict on them.
    """
    raw, folder = absolute(raw), folder.absolute()
    checkpoint = network.checkpoint if network.checkpoint in bundled_names() else absolute(network.checkpoint)
    job = _open(raw, replace(network, checkpoint=checkpoint))
    block_shape = block_shape or even_blocks(job.shape)
    grid = Grid(Domain(job.box, triple(job.raw.shape)), block_shape)
    place = volumes_folder(folder, volumes)
    output = SharedVolume(
        join(place, "affinities.zarr"), (3, *job.shape), np.uint8, voxel_size=job.raw.voxel_size, offset=job.offset,
        block_shape=block_shape,
    )  # fmt: skip
    store = FileStore(
        folder / "tables", {"raw": raw}, {"affinities": output}, job.raw.voxel_size, {"affinities": job.box.low}
    )
    begun = {} if restart else plan_of(folder, record)
    options = _decided(job, options, record, begun=begun, here=here)
    tasks = prediction_tasks(grid, checkpoint, options, job.raw.voxel_size)
    needed = memory_of_tiles(
        block_shape, options.tile, device=options.device if here else "cpu", precision=options.precision
    )
    return BlockWork(
        folder, store, tasks, (job.raw,), prod(job.shape), needed,
        partial(_finish, attributes=job.attributes, output=output),
        most_workers=count_gpus() if here and resolve_device(options.device) == "cuda" else None,
    )  # fmt: skip


def _finish(record: Record, *, attributes: Record, output: SharedVolume) -> None:
    finish_volume([output], record | attributes)
