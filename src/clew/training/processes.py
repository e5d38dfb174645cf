"""Several processes that train together, one for each GPU: each takes its part of a batch, all take the same step.

The gradients are averaged once a step, after all backward passes, in one message. That is less than
DistributedDataParallel does: it sends while the backward pass runs, but not where several forward passes are under way.
The processes find each other by the environment variables of torchrun.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

PATIENCE = timedelta(days=1)
"""How long a process waits for the others; they do while the first one validates."""


@dataclass(frozen=True)
class Processes:
    """Which of the processes this one is.

    Parameters
    ----------
    rank
        From 0 to number - 1; the first process writes and validates.
    number
        Processes on all machines.
    """

    rank: int = 0
    number: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and validates."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace float32 tensors of one device by their means over all processes."""
        if self.number == 1:
            return
        message = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(message)
        message /= self.number
        for tensor, mean in zip(tensors, message.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def share(self, value: Any) -> Any:
        """What the first process has, in all of them."""
        if self.number == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]


def are_launched() -> bool:
    """Whether torchrun, or `clew train --processes`, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def joined(device: str) -> Iterator[tuple[Processes, str]]:
    """Join the other processes, if there are any; gives also this process's own device, such as `cuda:1`."""
    if not are_launched():
        yield Processes(), device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    distributed.init_process_group("gloo" if device == "cpu" else "nccl", timeout=PATIENCE)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()
