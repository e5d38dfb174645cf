"""One part of a volume: raw with its context → affinities.

PyTorch or OpenVINO runs the network.
"""

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clew.errors import InputError
from clew.network.openvino_runtime import OpenvinoPredictor, check_runtime
from clew.network.options import PredictionOptions, UNetOptions
from clew.network.symmetries import Read
from clew.network.unet import UNet, to_logits, valid_input_shape
from clew.space import NEAREST_OFFSETS, Box, Triple


class AffinityPredictor(nn.Module):
    """The part of a U-Net that predicts the three nearest-neighbour affinities.

    Its memory layout is channels-last.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, network: UNet) -> None:
        super().__init__()
        if not set(NEAREST_OFFSETS) <= set(network.options.offsets):
            raise InputError(f"the network must have the offsets {NEAREST_OFFSETS}, not only {network.options.offsets}")
        channels = [network.options.offsets.index(offset) for offset in NEAREST_OFFSETS]
        self.network = network
        self.options = network.options
        self.register_buffer("weight", network.head.weight.detach()[channels].clone())
        self.register_buffer("bias", network.head.bias.detach()[channels].clone())

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        features = self.network.extract_features(raw)
        return torch.sigmoid(to_logits(features, self.weight, self.bias))


Predictor = AffinityPredictor | OpenvinoPredictor


def prepare_predictor(network: UNet, device: str, options: PredictionOptions) -> Predictor:
    """The network's copy that predicts: as PyTorch or OpenVINO runs it."""
    predictor = AffinityPredictor(deepcopy(network)).eval()
    check_runtime(options.runtime, device)
    if options.runtime == "openvino":
        return OpenvinoPredictor(predictor, network.options, options.precision)
    return predictor.to(device, memory_format=torch.channels_last_3d)


def predict_part(predictor: Predictor, read: Read, shape: Triple, part: Box) -> torch.Tensor:
    """Affinities (3, z, y, x) float32 of a part of a volume.

    The network's output starts on the pooling grid.
    """
    options = predictor.options
    low = (round_down(start, factor) for start, factor in zip(part.low, options.factor, strict=True))
    high = (round_up(stop, factor) for stop, factor in zip(part.high, options.factor, strict=True))
    covered = Box.between(low, high)
    patch = _read_context(read, shape, covered, options)
    affinities: torch.Tensor = predictor(_to_tensor(patch, predictor.device))[(0, slice(None), *part.within(covered))]
    return affinities


def _read_context(read: Read, shape: Triple, covered: Box, options: UNetOptions) -> NDArray[np.uint8]:
    """Read raw under a tile with its context, reflected outside the volume."""
    wanted, _ = valid_input_shape(options, covered.shape)
    wide = Box.whole(wanted).shifted(start - more for start, more in zip(covered.low, options.context, strict=True))
    indices = [_reflect(np.arange(axis.start, axis.stop), size) for axis, size in zip(wide, shape, strict=True)]
    box = Box.between((int(index.min()) for index in indices), (int(index.max()) + 1 for index in indices))
    return read(box)[np.ix_(*(index - start for index, start in zip(indices, box.low, strict=True)))]


def _reflect(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    period = max(2 * (size - 1), 1)
    folded = np.abs(index) % period
    return np.where(folded >= size, period - folded, folded)


def _to_tensor(patch: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    raw = torch.from_numpy(np.ascontiguousarray(patch)).to(device)
    return raw.float().div_(127.5).sub_(1)[None, None]


def round_down(value: int, step: int) -> int:
    return value // step * step


def round_up(value: int, step: int) -> int:
    return -(-value // step) * step
