"""MALIS weights of a batch, computed on the CPU in threads while the device goes on with the next forward pass."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.network.options import NEAREST_OFFSETS
from clew.training.batches import Batch
from clew.training.malis import malis_weights

NEAREST = slice(0, len(NEAREST_OFFSETS))
Weights = tuple[NDArray[np.float32], NDArray[np.float32]]


class MalisThreads:
    """Threads that compute MALIS weights; `waited` sums the seconds in which the device had nothing to do for them."""

    def __init__(self, number: int, passes: Literal[1, 2]) -> None:
        self.pool = ThreadPoolExecutor(number)
        self.passes = passes
        self.waited = 0.0

    def start(self, logits: Tensor, batch: Batch) -> list["Future[Weights]"]:
        """Begin to weigh the crops of a batch, given on the CPU, as soon as its logits are computed."""
        affinities = torch.sigmoid(logits[:, NEAREST].detach()).to("cpu", non_blocking=True)
        copied = torch.cuda.Event() if logits.is_cuda else None
        if copied is not None:
            copied.record()
        crops = zip(affinities, batch.labels, batch.valid[:, NEAREST], strict=True)
        return [self.pool.submit(_weigh, self.passes, copied, *crop) for crop in crops]

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
    passes: Literal[1, 2],
    copied: torch.cuda.Event | None,
    affinities: Tensor,
    labels: NDArray[np.uint64],
    valid: Tensor,
) -> Weights:
    """Weights of a crop; not a number where the affinities are none, so that the loss is none either."""
    if copied is not None:
        copied.synchronize()
    values = affinities.numpy()
    if not np.isfinite(values).all():
        return np.full_like(values, np.nan), np.full_like(values, np.nan)
    return malis_weights(values, labels, valid.numpy(), passes=passes)
