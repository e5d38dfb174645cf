"""`clew extract-fragments`: affinities → fragments."""

from math import prod
from typing import Literal

import numpy as np

from clew.pipeline._constraints import label_file, points_of
from clew.pipeline._declare import Record, stage
from clew.pipeline._files import cover, open_affinities, read_covering_mask, read_truth, refuse_outputs, save_like
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import ConstraintFiles, Input, Mask, Output, VoxelSize
from clew.pipeline._progress import say, timed
from clew.pipeline._protection import refuse_overlap
from clew.segmentation import fragments as science
from clew.segmentation.options import FragmentOptions
from clew.volumes.volume import Volume


@stage
def extract_fragments(
    affinities: Input,
    fragments: str,
    *,
    voxel_size: VoxelSize,
    mask: Mask,
    options: FragmentOptions,
    cannot_link: Input | None = None,
    swc_unit: Literal["nm", "um", "voxels"] | None = None,
    output: Output,
    record: Record,
) -> None:
    """Divide a volume into fragments that lie inside one neuron each.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    fragments
        Output, (z, y, x) uint64; a fragment's id is 1 + the linear index of its first voxel.
    cannot_link
        Label volume (z, y, x) of nuclei, somata or glia, whose ids are seeds (of `seeded-forest`), or skeletons (.nml, .swc),
        between whose nodes a fragment is divided: no fragment holds two.
    swc_unit
        Unit of coordinates in SWC files, which do not say it.
    """
    refuse_overlap([affinities, mask.mask, cannot_link], [fragments])
    source = open_affinities(affinities, voxel_size.voxel_size)
    refuse_outputs(output.overwrite, fragments)
    given = ConstraintFiles(cannot_link, swc_unit=swc_unit)
    labels, points = label_file(given), points_of(given, source)
    of_ids = 0 if labels is None else np.dtype(np.uint64).itemsize
    refuse_too_large("extract-fragments", affinities, prod(source.shape[1:]), 3 * source.dtype.itemsize + of_ids)
    inside = None if mask.mask is None else read_covering_mask(mask.mask, source)
    seeds = None if labels is None else read_truth(*cover(labels, source))
    values = source.read(slice(0, 3))
    with timed("extract-fragments", values[0].size):
        ids = science.extract_fragments(values, mask=inside, cannot_link=seeds, points=points, options=options)
    if not ids.any():
        say(nothing_inside(source, options))
    save_like(source, fragments, ids, record, output.overwrite)


def nothing_inside(affinities: Volume, options: FragmentOptions) -> str:
    """What to say of affinities that hold no object."""
    highest = f"--boundary-threshold {options.boundary_threshold:g}"
    return f"{affinities.source} holds no fragments: no affinity inside the mask is above {highest}"
