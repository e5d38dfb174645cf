"""Several processes that train together, one for each GPU.

Each takes its part of a batch, and all take the same step.

The gradients are averaged once a step, after all backward passes, in one message. That is less than
DistributedDataParallel does: it sends while the backward pass runs, but not where several forward passes are under way.
The processes find each other by the environment variables of torchrun, or by a file where all are of one machine. None
unpickles what another sends: whoever reaches a socket of theirs could run code otherwise.
"""

import io
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
RENDEZVOUS = "CLEW_RENDEZVOUS"
"""Variable with the URL of the file by which processes of one machine find each other; without it they do as torchrun says."""


@dataclass(frozen=True)
class Processes:
    """Which of the processes this one is.

    Parameters
    ----------
    rank : int
        From 0 to number - 1; the first process writes and validates.
    number : int
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
        """Give a value of the first process to all processes.

        It may hold tensors and plain values, as a checkpoint does.
        """
        if self.number == 1:
            return value
        device = "cpu" if distributed.get_backend() == "gloo" else "cuda"
        packed = io.BytesIO()
        torch.save(value if self.first else None, packed)
        length = torch.tensor([packed.tell()], device=device)
        distributed.broadcast(length, 0)
        content = torch.empty(int(length), dtype=torch.uint8, device=device)
        if self.first:
            content.copy_(torch.frombuffer(packed.getbuffer(), dtype=torch.uint8))
        distributed.broadcast(content, 0)
        return torch.load(io.BytesIO(content.cpu().numpy().tobytes()), map_location="cpu", weights_only=True)


def are_launched() -> bool:
    """Tell whether this process was started as one of several.

    It is started by torchrun, or by `clew train --processes`.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def joined(device: str) -> Iterator[tuple[Processes, str]]:
    """Join the other processes, if there are any.

    The context gives this process's rank and its own device, such as `cuda:1`.
    """
    if not are_launched():
        yield Processes(), device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    rank, number = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend, place = "gloo" if device == "cpu" else "nccl", os.environ.get(RENDEZVOUS, "env://")
    distributed.init_process_group(backend, place, timeout=PATIENCE, rank=rank, world_size=number)
    try:
        yield Processes(rank, number), device
    finally:
        distributed.destroy_process_group()
