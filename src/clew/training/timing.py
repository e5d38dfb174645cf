"""How long a step of training takes on this machine.

A few real steps are timed and extrapolated by the number of voxels.
"""

import math
import time
from dataclasses import replace
from typing import NamedTuple

import torch

from clew.network.unet import UNet
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.sampling import TrainingVolume
from clew.training.trainer import Trainer

STEPS = 3
"""Steps that are timed of each kind; the first, which compiles and allocates, does not count."""


class Timing(NamedTuple):
    """How long a step of training takes on this machine.

    Parameters
    ----------
    plain, malis : float
        Seconds for each voxel of its crops, before MALIS and with it.
    spread : float
        The slowest step over the fastest.
    share : float
        Share of the cores that the steps had.
    """

    plain: float
    malis: float
    spread: float
    share: float


def time_steps(
    network: UNet, volume: TrainingVolume, options: TrainingOptions, augmentation: AugmentationOptions, device: str
) -> Timing:
    """Take a few training steps, without MALIS and with it, and time them.

    They are timed by the wall clock.

    Parameters
    ----------
    network : UNet
        Network of the architecture in question; it is changed.
    volume : TrainingVolume
        At least of the size of a crop.
    options : TrainingOptions
        The recipe, whose crop and batch are timed; steps and schedule do not matter.
    augmentation : AugmentationOptions
    device : str
        `cpu` or `cuda`.

    Returns
    -------
    Timing
        From the fastest steps; other jobs on the machine count as if they stayed.
    """
    options = replace(options, steps=2 * STEPS, warmup=1, malis_after=STEPS)
    seconds, last, processor = [], time.perf_counter(), time.process_time()
    for _ in Trainer(network, [volume], options, augmentation, device=device):
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
    voxels = math.prod(options.crop) * options.batch
    plain, malis = seconds[1:STEPS], seconds[STEPS + 1 :]
    spread = max(max(plain) / min(plain), max(malis) / min(malis))
    share = (time.process_time() - processor) / (sum(seconds) * torch.get_num_threads())
    return Timing(min(plain) / voxels, min(malis) / voxels, spread, min(share, 1.0))
