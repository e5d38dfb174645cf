"""MALIS weights of a batch, computed in threads on the CPU.

Meanwhile the device goes on with the next forward pass.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.space import NEAREST_OFFSETS
from clew.training.batches import Batch
from clew.training.malis import malis_weights
from clew.training.options import TrainingOptions

NEAREST = slice(0, len(NEAREST_OFFSETS))
Weights = tuple[NDArray[np.float32], NDArray[np.float32]]


class MalisThreads:
    """Threads that compute MALIS weights.

    `waited` sums the seconds in which the device had nothing to do because of them.
    """

    def __init__(self, number: int, options: TrainingOptions) -> None:
        self.pool = ThreadPoolExecutor(number)
        self.options = options
        self.waited = 0.0

    def start(self, logits: Tensor, batch: Batch) -> list["Future[Weights]"]:
        """Begin to weigh the crops of a batch as soon as its logits are computed.

        The batch is on the CPU.
        """
        affinities = torch.sigmoid(logits[:, NEAREST].detach()).to("cpu", non_blocking=True)
        copied = torch.cuda.Event() if logits.is_cuda else None
        if copied is not None:
            copied.record()
        crops = zip(affinities, batch.labels, batch.valid[:, NEAREST], batch.starts, strict=True)
        return [self.pool.submit(_weigh, self.options, copied, *crop) for crop in crops]

    def finish(self, futures: list["Future[Weights]"], device: str) -> tuple[Tensor, Tensor]:
        """The weights of both passes, (batch, 3, z, y, x) each, on the device."""
        if "cuda" in device and not all(future.done() for future in futures):
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        found = [future.result() for future in futures]
        self.waited += time.perf_counter() - start
        positive, negative = (torch.from_numpy(np.stack(weights)).to(device) for weights in zip(*found, strict=True))
        return positive, negative


def _weigh(
    options: TrainingOptions,
    copied: torch.cuda.Event | None,
    affinities: Tensor,
    labels: NDArray[np.uint64],
    valid: Tensor,
    start: NDArray[np.int64],
) -> Weights:
    """Weights of a crop; NaN where an affinity is not finite, as is the loss then."""
    if copied is not None:
        copied.synchronize()
    values = affinities.numpy()
    if not np.isfinite(values).all():
        return np.full_like(values, np.nan), np.full_like(values, np.nan)
    weigh = partial(malis_weights, values, labels, valid.numpy(), passes=options.malis_passes)
    if options.malis_window is None:
        return weigh()
    inside = weigh(window=options.malis_window, start=start.tolist())
    if options.malis_whole_crop == 0:
        return inside
    part = np.float32(options.malis_whole_crop)
    positive, negative = (part * whole + (1 - part) * window for whole, window in zip(weigh(), inside, strict=True))
    return positive, negative
