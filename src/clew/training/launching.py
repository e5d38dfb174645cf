"""Several training processes on this machine, started as torchrun would.

They are also waited for.

Unlike those of torchrun they listen on the loopback device only, and find each other by a file that only this user can open.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import multiprocessing

from clew.errors import InputError
from clew.signals import Interruption
from clew.training.processes import RENDEZVOUS, are_launched

GRACE = 30.0
"""Seconds that the other processes have to end by themselves when one has failed."""
LOOPBACK = "127.0.0.1"


def run_in_processes(number: int, work: Callable[[], None]) -> None:
    """Run `work` in this process, or in several new ones of this machine.

    All of them end when one fails.

    Raises
    ------
    InputError
        That a process raised, or if one died.
    KeyboardInterrupt
        If the processes were interrupted.
    """
    if number == 1 or are_launched():
        work()
        return
    if torch.cuda.is_available() and number > torch.cuda.device_count():
        raise InputError(f"{number} processes need a GPU each, but there are {torch.cuda.device_count()}")
    with tempfile.TemporaryDirectory(prefix="clew-", ignore_cleanup_errors=True) as folder:
        _run_group(number, (Path(folder) / "rendezvous").as_uri(), work)


def _run_group(number: int, rendezvous: str, work: Callable[[], None]) -> None:
    messages = multiprocessing.get_context("spawn").SimpleQueue()
    told = (number, rendezvous, messages, work)
    group = multiprocessing.start_processes(_run_one, told, nprocs=number, join=False, start_method="spawn")
    interruption = Interruption(lambda: [process.terminate() for process in group.processes])
    try:
        with interruption.listening():
            while not group.join(grace_period=GRACE):
                pass
    except (multiprocessing.ProcessExitedException, multiprocessing.ProcessRaisedException) as error:
        _pass_on(messages, interruption.error)
        if interruption.asked:
            raise interruption.error from error
        if isinstance(error, multiprocessing.ProcessExitedException):
            raise InputError(f"training stopped: {error}") from error
        raise
    _pass_on(messages, interruption.error)


def _pass_on(messages: Any, interrupted: KeyboardInterrupt) -> None:
    """Raise the error of the first process that reported one."""
    reported: list[tuple[int, str | None]] = []
    while not messages.empty():
        reported.append(messages.get())
    if reported:
        _, message = min(reported, key=lambda pair: pair[0])
        raise interrupted if message is None else InputError(message)


def _run_one(rank: int, number: int, rendezvous: str, messages: Any, work: Callable[[], None]) -> None:
    """One process: tells the launcher of bad input, and by None of an interruption."""
    os.environ |= {"WORLD_SIZE": str(number), "RANK": str(rank), "LOCAL_RANK": str(rank), RENDEZVOUS: rendezvous}
    device = _loopback_device()
    os.environ |= {"GLOO_SOCKET_IFNAME": device, "NCCL_SOCKET_IFNAME": f"={device}"}  # NCCL: "=" for the whole name
    torch.set_num_threads(max(1, torch.get_num_threads() // number))
    try:
        work()
    except InputError as error:
        messages.put((rank, str(error)))
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        messages.put((rank, None))


def _loopback_device() -> str:
    """Name of the network device that reaches only this machine."""
    devices = psutil.net_if_addrs().items()
    return next(name for name, addresses in devices if any(each.address == LOOPBACK for each in addresses))
