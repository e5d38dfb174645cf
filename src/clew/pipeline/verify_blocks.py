"""`clew verify-blocks`: the proof that blocks change nothing.

It segments a stored affinity volume.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from clew.pipeline._constraints import label_file, points_in, points_of
from clew.pipeline._declare import stage
from clew.pipeline._files import cover, open_affinities, read_covering_mask, read_truth
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import ConstraintFiles, Mask, VoxelSize
from clew.pipeline._progress import say
from clew.segmentation.in_blocks import verify as science
from clew.segmentation.options import AgglomerationOptions, CutOptions, FragmentOptions, SegmentationOptions
from clew.space import Box
from clew.volumes.volume import Volume


@stage
def verify_blocks(
    affinities: str,
    *,
    voxel_size: VoxelSize,
    mask: Mask,
    box: str | None = None,
    fragment_options: FragmentOptions,
    agglomeration_options: AgglomerationOptions,
    constraint_files: ConstraintFiles,
    cut: CutOptions,
    trials: Annotated[int, Gt(0)] = 3,
    seed: Annotated[int, Ge(0)] = 0,
) -> None:
    """Segment a volume whole and in random blocks, and compare: nothing may differ.

    Shapes of blocks and orders of tasks are random.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    box
        Part in voxels to segment, as z0:z1,y0:y1,x0:x1; it has to fit into memory.
    trials
        How many block shapes to try.
    seed
        Of the random shapes and orders.
    """
    options = SegmentationOptions(fragment_options, agglomeration_options, cut)
    source = open_affinities(affinities, voxel_size.voxel_size)
    part = Box.parse(box, source.shape)
    refuse_too_large("verify-blocks", affinities, part.size, 3 * source.dtype.itemsize)
    inside = None if mask.mask is None else read_covering_mask(mask.mask, source)[part]
    values = source.read((slice(0, 3), *part))
    labels, points = label_file(constraint_files), points_in(points_of(constraint_files, source), part)
    ids = None if labels is None else _labels_in(labels, source, part)
    found = science.verify_blocks(
        values,
        mask=inside,
        cannot_link=ids,
        points=points,
        options=options,
        trials=trials,
        rng=np.random.default_rng(seed),
    )
    differences = 0
    for trial in found:
        _say(trial)
        differences += bool(trial.differences)
    if differences:
        raise RuntimeError(f"{differences} of {trials} segmentations in blocks differ from the whole: an error in clew")


def _labels_in(path: str, source: Volume, part: Box) -> NDArray[np.uint64]:
    volume, whole = cover(path, source)
    return read_truth(volume, part.shifted(whole.low))


def _say(trial: science.Verification) -> None:
    how = f"{trial.workers} threads" if trial.workers else "random order"
    outcome = "; ".join(trial.differences) or "identical"
    say(f"blocks of {'×'.join(map(str, trial.block_shape)):<12} {how:<13} {outcome}")
    for level in trial.passed[:-1]:
        say(f"    {level.words}")
