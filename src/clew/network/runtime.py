"""What runs a network here, in which arithmetic, and how exact that is.

They are found out once for a run, before it begins, by a trial on a small part of the volume.
"""

import itertools
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import NamedTuple

import torch

from clew.network.device import resolve_device
from clew.network.openvino_runtime import check_runtime, has_openvino
from clew.network.options import Precision, PredictionOptions
from clew.network.precision import autocast, uses_bfloat16
from clew.network.predictor import predict_part, prepare_predictor
from clew.network.symmetries import Read
from clew.network.unet import UNet
from clew.space import Box, Triple

TRIAL = 32
"""Edge in voxels of the part that is predicted on trial; its context makes most of the work."""
WORTH_A_TRIAL = 10_000_000
"""Voxels from which on a faster runtime brings more than the trial takes."""
WORTH_A_CHANGE = 0.9
"""Share of PyTorch's time that another runtime may take at most: converting and compiling the network takes time, too."""
STEP = 1.0
"""A runtime may be this much (in 1/255) farther from PyTorch in float32 than PyTorch itself is in the same arithmetic."""
SEEN = 0.01
"""Smaller differences (in 1/255) are not written in digits."""
NAMES = {"torch": "PyTorch", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Difference:
    """How far affinities are from those of PyTorch in float32, in 1/255."""

    mean: float
    largest: float

    def __str__(self) -> str:
        mean, largest = (
            f"{steps:.2f}" if not steps < SEEN else f"less than {SEEN}" for steps in (self.mean, self.largest)
        )
        return f"{mean}/255 on average, {largest}/255 at most"


class Decision(NamedTuple):
    """What predicts.

    Parameters
    ----------
    options : PredictionOptions
        The same with a runtime, and a precision, that are no longer `auto`.
    difference : Difference or None
        From PyTorch in float32; None where that is what predicts, or where nothing was tried.
    words : str
        One line for the person; empty where nothing was tried.
    """

    options: PredictionOptions
    difference: Difference | None = None
    words: str = ""

    @property
    def record(self) -> dict[str, dict[str, float]]:
        """What was measured, to be recorded with the affinities."""
        return {} if self.difference is None else {"difference_from_float32": asdict(self.difference)}


def decide_runtime(network: UNet, read: Read, shape: Triple, box: Box, options: PredictionOptions) -> Decision:
    """Decide on the runtime and the arithmetic of a run.

    What is decided says how far its affinities are from those of PyTorch in float32.

    `auto` becomes the fastest runtime that is installed, if its affinities differ from those of PyTorch in float32 by no more
    than 1/255 beyond what PyTorch itself does in the same arithmetic (which is 0 in float32). On small volumes, on GPUs, and
    where OpenVINO is not installed that is PyTorch.

    Parameters
    ----------
    network : UNet
    read : callable
        Reads raw of a box.
    shape : (z, y, x)
        Of raw.
    box : Box
        Part of it that is predicted.
    options : PredictionOptions

    Raises
    ------
    InputError
        If the runtime that is asked for cannot work here.
    """
    device = resolve_device(options.device)
    check_runtime(options.runtime, device)
    precision: Precision = "bfloat16" if uses_bfloat16(torch.device(device).type, options.precision) else "float32"
    plain = replace(options, runtime="torch", precision="float32")
    wanted = replace(options, runtime="torch" if options.runtime == "auto" else options.runtime, precision=precision)
    other = replace(wanted, runtime="openvino") if may_choose(options, box) else wanted
    if plain == wanted == other:
        return Decision(plain)
    part = _varied_part(read, box)
    tried = f"tried on {' × '.join(map(str, part.shape))} voxels"
    attempt = partial(_Attempt, network, read, shape, part, device)
    reference = attempt(plain)
    usual = reference if wanted == plain else attempt(wanted)
    if wanted == other:
        found = usual.difference(reference)
        return Decision(wanted, found, f"{_name(wanted)}: affinities differ from float32 by {found} ({tried})")
    try:
        return _choose(usual, attempt(other), reference, tried)
    except Exception as error:  # whatever a broken installation or an unusual network raises there
        found, (reason, *_) = usual.difference(reference), [*str(error).splitlines(), ""]
        return Decision(
            wanted, found, f"{_name(wanted)}: {NAMES[other.runtime]} fails here, {type(error).__name__}: {reason}"
        )


def may_choose(options: PredictionOptions, box: Box) -> bool:
    """Tell whether there is a choice of runtimes that is worth a trial."""
    on_processor = torch.device(resolve_device(options.device)).type == "cpu"
    return options.runtime == "auto" and on_processor and has_openvino() and box.size >= WORTH_A_TRIAL


class _Attempt:
    """A small part of a volume, predicted in one way."""

    def __init__(
        self, network: UNet, read: Read, shape: Triple, part: Box, device: str, options: PredictionOptions
    ) -> None:
        self.options, self.device = options, device
        self.predict = partial(predict_part, prepare_predictor(network, device, options), read, shape, part)
        self.affinities = self.run().cpu()

    def run(self) -> torch.Tensor:
        with torch.inference_mode(), autocast(self.device, self.options.precision):
            return self.predict()

    def seconds(self) -> float:
        """CPU seconds that it takes when all that is done once has been done."""
        start = time.process_time()
        self.run()
        return time.process_time() - start

    def difference(self, reference: "_Attempt") -> Difference:
        steps = 255 * (self.affinities - reference.affinities).abs()
        return Difference(float(steps.mean()), float(steps.max()))


def _choose(usual: _Attempt, other: _Attempt, reference: _Attempt, tried: str) -> Decision:
    """Between PyTorch and another runtime in the same arithmetic."""
    own, found = usual.difference(reference), other.difference(reference)
    name, rival = _name(usual.options), NAMES[other.options.runtime]
    if not found.largest <= own.largest + STEP:  # NaN is not
        return Decision(usual.options, own, f"{name}: {rival} differs from float32 by {found} ({tried})")
    pace = usual.seconds() / max(other.seconds(), 1e-9)
    if pace * WORTH_A_CHANGE < 1:
        own_words = "" if usual.options == reference.options else f"; affinities differ from float32 by {own}"
        return Decision(usual.options, own, f"{name}: {rival} is {pace:.2f} times as fast here{own_words} ({tried})")
    words = (
        f"{pace:.2f} times as fast as {NAMES[usual.options.runtime]} here; affinities differ from float32 by {found}"
    )
    return Decision(other.options, found, f"{_name(other.options)}: {words} ({tried})")


def _name(options: PredictionOptions) -> str:
    return f"predict by {NAMES[options.runtime]} in {options.precision}"


def _varied_part(read: Read, box: Box) -> Box:
    """A small part that is not empty: of nine places the one where raw varies most."""
    size = [min(TRIAL, length) for length in box.shape]
    room = [length - edge for length, edge in zip(box.shape, size, strict=True)]
    shares = [(0.5, 0.5, 0.5), *itertools.product((0.25, 0.75), repeat=3)]
    lows = [[start + int(share * free) for start, share, free in zip(box.low, at, room, strict=True)] for at in shares]
    parts = [Box.between(low, map(sum, zip(low, size, strict=True))) for low in lows]
    return max(parts, key=lambda part: float(read(part).std()))
