"""The arithmetic of a network: 32-bit floats, or bfloat16 where that is faster."""

from contextlib import AbstractContextManager, nullcontext

import torch

from clew.network.options import Precision


def autocast(device: str, precision: Precision) -> torch.autocast:
    """The context in which a network runs, in bfloat16 or in float32.

    In bfloat16 only the convolutions run in bfloat16.

    `auto` is bfloat16 where it pays: on GPUs that have it, and on CPUs with AMX matrix units (measured there: 4 times
    faster than float32); without such units it is slower, and `auto` is float32.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=uses_bfloat16(kind, precision))


def uses_bfloat16(kind: str, precision: Precision) -> bool:
    """Tell whether a kind of device (`cpu`, `cuda`) works in bfloat16."""
    return has_bfloat16_units(kind) if precision == "auto" else precision == "bfloat16"


def full_precision(kind: str) -> AbstractContextManager[object]:
    """The context in which a part of a network stays in float32 inside `autocast`."""
    available = torch.amp.is_autocast_available(kind)
    return torch.autocast(kind, enabled=False) if available else nullcontext()


def has_bfloat16_units(kind: str) -> bool:
    """Tell whether a kind of device (`cpu`, `cuda`) has units for bfloat16.

    Such units multiply matrices of bfloat16 in hardware.
    """
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and torch.cpu._is_amx_tile_supported()
