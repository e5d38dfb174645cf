"""Prediction from files to files: of a whole volume in this process, or laid out as blocks for many."""

from dataclasses import asdict, dataclass
from math import prod

from clew.errors import InputError
from clew.memory import refuse_beyond_memory
from clew.network.bundled import open_checkpoint
from clew.network.checkpoint import Checkpoint
from clew.network.options import PredictionOptions
from clew.network.prediction import check_raw, memory_of_tiles, predict_tiles, resolve_device, tile_edges
from clew.space import Box, Lengths, Triple
from clew.stages.declaration import Record
from clew.stages.memory import instead
from clew.stages.progress import timed, track
from clew.stages.protection import refuse_overlap
from clew.volumes.affinities import affinity_attributes
from clew.volumes.open import open_volume
from clew.volumes.save import create_volume
from clew.volumes.volume import Volume


@dataclass(frozen=True)
class Prediction:
    """A volume that a network can predict, and the part of it that is wanted."""

    model: Checkpoint
    raw: Volume
    box: Box

    @property
    def shape(self) -> Triple:
        """Of the part."""
        return self.box.shape

    @property
    def offset(self) -> Lengths:
        """Of the part, in nm."""
        raw = self.raw
        z, y, x = (o + s * axis.start for o, s, axis in zip(raw.offset, raw.voxel_size, self.box, strict=True))
        return z, y, x

    @property
    def attributes(self) -> Record:
        """What is recorded with the affinities beside the stage."""
        found = affinity_attributes(self.model.network.options.offsets[:3], "uint8") | self.model.suggestion
        return Record(found)


def open_prediction(raw: str, checkpoint: str, box: str | None, voxel_size: Lengths | None) -> Prediction:
    """Open raw and network, and check that they fit."""
    model, source = open_checkpoint(checkpoint), open_volume(raw, voxel_size=voxel_size)
    try:
        check_raw(source.shape, source.dtype, model, source.voxel_size)
    except InputError as error:
        raise InputError(f"{source.source}: {error}") from error
    return Prediction(model, source, Box.parse(box, source.shape))


def predict_volume(
    raw: str,
    affinities: str,
    *,
    checkpoint: str,
    box: str | None,
    options: PredictionOptions,
    voxel_size: Lengths | None,
    overwrite: bool,
    record: Record,
) -> None:
    """Predict tile by tile."""
    refuse_overlap([raw, checkpoint], [affinities])
    job = open_prediction(raw, checkpoint, box, voxel_size)
    if resolve_device(options.device) == "cpu":
        needed = memory_of_tiles(job.shape, options.tile, device="cpu", precision=options.precision)
        refuse_beyond_memory(needed, f"predict of {raw} in tiles", instead("predict"))
    z, y, x = job.raw.shape
    with (
        timed("predict", prod(job.shape)),
        create_volume(affinities, shape=(3, *job.shape), dtype="uint8", voxel_size=job.raw.voxel_size, offset=job.offset,
                      attributes=record | job.attributes, overwrite=overwrite) as output,
    ):  # fmt: skip
        tiles = predict_tiles(
            job.model.network, job.raw.read, (z, y, x), box=job.box, voxel_size=job.raw.voxel_size, **asdict(options)
        )
        total = prod(len(edges) for edges in tile_edges(job.model.network.options, job.box, options.tile))
        for predicted in track(tiles, total, "predict"):
            output[(slice(None), *predicted.box.within(job.box))] = predicted.affinities
