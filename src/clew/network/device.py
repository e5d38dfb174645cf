"""Where a network runs: on a GPU of this machine, or on its processor."""

from typing import NamedTuple

import torch

from clew.errors import InputError


class Gpu(NamedTuple):
    """A GPU: its name, and its memory in bytes."""

    name: str
    memory: int


def find_gpu(device: str) -> Gpu | None:
    """The GPU that a resolved device stands for; None for a processor."""
    if not device.startswith("cuda"):
        return None
    return Gpu(torch.cuda.get_device_name(device), torch.cuda.mem_get_info(device)[1])


def count_gpus() -> int:
    """How many GPUs this machine has."""
    return torch.cuda.device_count()


def resolve_device(device: str) -> str:
    """The device to use: `auto` becomes `cuda` where there is a GPU, else `cpu`.

    `cuda:N` is the N-th GPU, counted round and round.
    """
    kind, colon, number = str(device).partition(":")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device was found; choose --device cpu")
    accelerator = torch.accelerator.current_accelerator()  # such as mps
    if kind not in ("cpu", "cuda", accelerator and accelerator.type) or (colon and not number.isdecimal()):
        raise InputError(f"device must be auto, cpu, cuda or one GPU such as cuda:1, not {device!r}")
    return f"{kind}:{int(number) % count_gpus()}" if number and kind == "cuda" else device
