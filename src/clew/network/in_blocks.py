"""Tasks that predict affinities: one for each block, on any workers.

Volumes: `raw` in (z, y, x) uint8, the whole of it; `affinities` (3, z, y, x) uint8 out.
"""

from functools import cache, partial

from clew.blockwise.grid import Grid
from clew.blockwise.store import Store
from clew.blockwise.tasks import Task
from clew.blockwise.workers import own_device
from clew.errors import InputError
from clew.network.bundled import open_checkpoint
from clew.network.checkpoint import Checkpoint
from clew.network.device import resolve_device
from clew.network.openvino_runtime import has_openvino
from clew.network.options import PredictionOptions
from clew.network.prediction import predict_tiles, put_together
from clew.space import Lengths, Triple


def prediction_tasks(grid: Grid, checkpoint: str, options: PredictionOptions, voxel_size: Lengths) -> list[Task]:
    """Make one prediction task for each block.

    Blocks agree with each other as tiles do (see `predict_tiles`).

    Parameters
    ----------
    grid : Grid
        Its frame is the raw volume, its domain the part to predict.
    checkpoint : str
        Path, or name of a bundled network.
    options : PredictionOptions
    voxel_size : (z, y, x) nm
    """
    return [
        Task(
            partial(_predict, grid=grid, place=place, checkpoint=checkpoint, options=options, voxel_size=voxel_size),
            (), (("affinities", *place),),
        )
        for place in grid.places()
    ]  # fmt: skip


def _predict(
    store: Store, *, grid: Grid, place: Triple, checkpoint: str, options: PredictionOptions, voxel_size: Lengths
) -> None:
    box = grid.block(place).owned
    own = options.on(own_device(resolve_device(options.device)))
    if own.runtime == "openvino" and not has_openvino():
        raise InputError(
            "this run was begun with OpenVINO, which is not installed where this worker is: pip install 'clew[openvino]' there, or "
            "predict into another folder with --runtime torch"
        )
    tiles = predict_tiles(
        _opened(checkpoint).network, partial(store.read, "raw"), grid.domain.frame, box=box, options=own,
        voxel_size=voxel_size,
    )  # fmt: skip
    store.write("affinities", box, put_together(tiles, box))


@cache
def _opened(checkpoint: str) -> Checkpoint:
    """Open the network once in each worker."""
    return open_checkpoint(checkpoint)
