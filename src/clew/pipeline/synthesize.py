"""`clew synthesize`: nothing → raw and its truth."""

from math import prod

from clew.network.options import Shape
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import refuse_outputs
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import Output
from clew.pipeline._progress import timed
from clew.pipeline._protection import refuse_overlap
from clew.space import Lengths
from clew.synthetic import volume as science
from clew.synthetic.options import VOXEL_SIZE, SyntheticOptions
from clew.volumes.save import save_volume


@stage
def synthesize(
    raw: str,
    labels: str,
    *,
    shape: Shape = (128, 128, 128),
    voxel_size: Lengths = VOXEL_SIZE,
    seed: int = 0,
    options: SyntheticOptions,
    output: Output,
    record: Record,
) -> None:
    """Make a synthetic volume of neuropil with its truth.

    Parameters
    ----------
    raw
        Output, (z, y, x) uint8.
    labels
        Output, (z, y, x) uint64.
    shape
        Voxels z,y,x.
    voxel_size
        Voxel size z,y,x in nm.
    seed
        The same seed gives the same volume.
    """
    refuse_overlap([], [raw, labels])
    refuse_outputs(output.overwrite, raw, labels)
    refuse_too_large("synthesize", f"{prod(shape):.3g} voxels", prod(shape), 0)
    with timed("synthesize", prod(shape)):
        volume = science.synthesize(shape, voxel_size=voxel_size, seed=seed, options=options)
    for path, values in ((raw, volume.raw), (labels, volume.labels)):
        save_volume(path, values, voxel_size=voxel_size, attributes=record, overwrite=output.overwrite)
