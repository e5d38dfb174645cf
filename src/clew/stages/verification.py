"""`clew verify-blocks`: the proof, on a stored affinity volume."""

from math import prod

import numpy as np

from clew.segmentation.in_blocks.verify import verify_blocks
from clew.segmentation.options import SegmentationOptions
from clew.space import Box
from clew.stages.files import open_affinities, read_like
from clew.stages.memory import refuse_too_large
from clew.stages.progress import say


def verify_paths(
    affinities: str, *, mask: str | None, box: str | None, options: SegmentationOptions, trials: int, seed: int
) -> None:
    """Compare and say what was found; a RuntimeError where anything differs."""
    source = open_affinities(affinities)
    part = Box.parse(box, source.shape)
    refuse_too_large("verify-blocks", affinities, prod(part.shape), 3 * source.dtype.itemsize)
    inside = None if mask is None else read_like(mask, source.shape[1:], source)[part]
    values = source.read((slice(0, 3), *part))
    differences = 0
    found = verify_blocks(values, mask=inside, options=options, trials=trials, rng=np.random.default_rng(seed))
    for result in found:
        how = f"{result.workers} threads" if result.workers else "random order"
        outcome = "; ".join(result.differences) or "identical"
        say(f"blocks of {'×'.join(map(str, result.block_shape)):<12} {how:<13} {outcome}")
        for level in result.passed[:-1]:
            say(f"    {level.words}")
        differences += bool(result.differences)
    if differences:
        raise RuntimeError(f"{differences} of {trials} segmentations in blocks differ from the whole: an error in clew")
