"""What would fit where a batch does not fit in the memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clew.errors import InputError
from clew.space import Triple
from clew.training.options import TrainingOptions


@contextmanager
def memory_explained(options: TrainingOptions, factor: Triple) -> Iterator[None]:
    """Say what would fit where a batch does not."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
        if not known:
            raise
        crop = ",".join(str(size) for size in options.crop)
        crops = options.batch * options.accumulate
        hint = f"--batch 1 --accumulate {crops} takes the same steps in about 1/{options.batch} of it"
        if options.batch == 1:
            half = ",".join(str(max(size // 2 // f, 1) * f) for size, f in zip(options.crop, factor, strict=True))
            hint = f"--crop {half}, about half as long on each axis, needs about an eighth of it"
        raise InputError(
            f"a batch of {options.batch} crops of {crop} voxels does not fit in the memory: {hint}; "
            "clew plan finds out what fits"
        ) from error
