"""A 3D U-Net of valid convolutions that predicts affinities.

Source: arXiv 1709.02974, section 2.1.
"""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from clew.errors import InputError
from clew.network.options import DESCRIPTORS, UNetOptions, Upsampling
from clew.network.precision import full_precision
from clew.space import Box, Triple, triple

Padding = Literal["valid", "same"]


class UNet(nn.Module):
    """3D U-Net from one raw channel to one logit map for each offset.

    Input (batch, 1, z, y, x) float in [-1, 1]; output (batch, offset, z, y, x) logits, the sigmoid of which are affinities.
    With `padding="valid"` (the default, and the only mode of prediction) the output is smaller by the context, and is
    exact under tiling where tile starts are multiples of the total pooling factor. With `padding="same"`, meant for
    training on small crops, convolutions see zeros outside the crop.

    With `options.descriptors`, and in training mode only, ten further channels follow: logits of the local shape descriptors.

    Parameters
    ----------
    options : UNetOptions
        The architecture.

    Raises
    ------
    InputError
        If no network can be built from the options.

    Examples
    --------
    >>> network = clew.UNet(clew.PRESETS["tiny"])
    >>> network.options.context
    (10, 10, 10)
    >>> raw = network.head.weight.new_zeros(1, 1, 36, 36, 36)
    >>> tuple(network(raw).shape)
    (1, 3, 14, 14, 14)
    """

    def __init__(self, options: UNetOptions) -> None:
        super().__init__()
        check_options(options)
        self.options = options
        features, depth = options.features, len(options.pooling)
        inputs = (1, *features[:-1])
        self.encoders = nn.ModuleList(
            Level(inputs[i], features[i], options.encoder_convolutions[i], options) for i in range(depth + 1)
        )
        self.upsamplings = nn.ModuleList(
            _upsampling(features[i + 1], features[i], options.pooling[i], options.upsampling) for i in range(depth)
        )
        self.decoders = nn.ModuleList(
            Level(2 * features[i], features[i], options.decoder_convolutions[i], options) for i in range(depth)
        )
        self.head = nn.Conv3d(features[0], len(options.offsets), 1)
        self.descriptor_head = nn.Conv3d(features[0], len(DESCRIPTORS), 1) if options.descriptors else None

    def set_padding(self, padding: Padding) -> None:
        """Switch all convolutions between `valid` and `same`."""
        for module in self.modules():
            if isinstance(module, Level):
                module.padding = 1 if padding == "same" else 0

    def forward(self, raw: Tensor) -> Tensor:
        features = self.extract_features(raw)
        heads = [self.head]
        if self.descriptor_head is not None and self.training:
            heads.append(self.descriptor_head)
        return torch.cat([to_logits(features, head.weight, head.bias) for head in heads], dim=1)

    def extract_features(self, raw: Tensor) -> Tensor:
        """Feature maps of the finest level, before the 1×1×1 convolution to logits."""
        skips = []
        maps = raw
        for level, encoder in enumerate(self.encoders):
            maps = encoder(maps)
            if level < len(self.options.pooling):
                skips.append(maps)
                maps = functional.max_pool3d(maps, self.options.pooling[level])
        for level in reversed(range(len(skips))):
            maps = self.upsamplings[level](maps)
            skip = crop_center(skips.pop(), maps.shape[2:])
            maps = self.decoders[level](torch.cat((skip, maps), dim=1))
        return maps


class Level(nn.Module):
    """The convolutions of one level, each followed by a ReLU.

    Optionally with an identity shortcut around all but the first of them.
    """

    def __init__(self, inputs: int, outputs: int, convolutions: int, options: UNetOptions) -> None:
        super().__init__()
        channels = (inputs, *(outputs,) * convolutions)
        self.convolutions = nn.ModuleList(nn.Conv3d(before, after, 3) for before, after in pairwise(channels))
        self.residual = options.residual
        self.slope = options.slope
        self.padding = 0
        for convolution in self.convolutions:
            _kaiming_normal(convolution.weight, a=options.slope)
            nn.init.zeros_(convolution.bias)
        if self.residual and convolutions > 1:
            with torch.no_grad():
                self.convolutions[-1].weight.mul_(0.3)

    def forward(self, maps: Tensor) -> Tensor:
        for index, convolution in enumerate(self.convolutions):
            before = maps
            maps = functional.conv3d(maps, convolution.weight, convolution.bias, padding=self.padding)
            if self.residual and index > 0:
                maps.add_(crop_center(before, maps.shape[2:]))
            maps = functional.leaky_relu(maps, self.slope, inplace=True)
        return maps


def to_logits(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The 1×1×1 convolution at the end, in float32 everywhere.

    It is in float32 even where the rest is bfloat16, because MALIS orders affinities finely.
    """
    with full_precision(features.device.type):
        return functional.conv3d(features.float(), weight, bias)


def with_descriptors(network: UNet) -> UNet:
    """Give a network a head for the local shape descriptors.

    A network that has one is returned as it is, any other as a copy with an untrained head.
    """
    if network.options.descriptors:
        return network
    copy = UNet(replace(network.options, descriptors=True)).train(network.training)
    copy.load_state_dict(network.state_dict(), strict=False)
    return copy


def crop_center(maps: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Cut the central part of a spatial shape from maps (batch, channel, z, y, x)."""
    return maps[(..., *Box.whole(maps.shape).middle(shape))]


def valid_input_shape(options: UNetOptions, output: Triple) -> tuple[Triple, Triple]:
    """The smallest input shape (z, y, x) whose valid output covers `output`.

    Followed by the shape of that output.
    """
    sizes = [_valid_size(options, axis, output[axis]) for axis in range(3)]
    return triple(size for size, _ in sizes), triple(covered for _, covered in sizes)


def seed_weights(seed: int) -> None:
    """Let the random weights of the networks that are made next follow from a seed."""
    torch.manual_seed(seed)


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


@cache
def parameters_of(options: UNetOptions) -> int:
    """Number of trainable parameters of an architecture, without building it."""
    with torch.device("meta"):
        return count_parameters(UNet(options))


def _valid_size(options: UNetOptions, axis: int, output: int) -> tuple[int, int]:
    depth = len(options.pooling)
    bottom = 1
    while True:
        size = bottom
        for level in reversed(range(depth)):
            size = size * options.pooling[level][axis] - 2 * options.decoder_convolutions[level]
        if size >= output:
            break
        bottom += 1
    covered = size
    size = bottom + 2 * options.encoder_convolutions[depth]
    for level in reversed(range(depth)):
        size = size * options.pooling[level][axis] + 2 * options.encoder_convolutions[level]
    return size, covered


def _kaiming_normal(weight: Tensor, **options: Any) -> None:
    """Draw weights, except on the device `meta`.

    There only their shape is wanted, and PyTorch would load much first (1.2 s).
    """
    if not weight.is_meta:
        nn.init.kaiming_normal_(weight, **options)


def _upsampling(inputs: int, outputs: int, factor: Triple, kind: str) -> nn.Module:
    if kind == "transposed":
        module: nn.Module = nn.ConvTranspose3d(inputs, outputs, factor, stride=factor)
        _kaiming_normal(module.weight, mode="fan_out", nonlinearity="linear")
        with torch.no_grad():
            module.weight.mul_((factor[0] * factor[1] * factor[2]) ** 0.5 * (outputs / inputs) ** 0.5)
        return module
    module = nn.Sequential(nn.Upsample(scale_factor=factor, mode="nearest"), nn.Conv3d(inputs, outputs, 1))
    _kaiming_normal(module[1].weight, nonlinearity="linear")
    return module


def check_options(options: UNetOptions) -> UNetOptions:
    """Check that a network can be built from the options, and return them."""
    depth = len(options.pooling)
    lengths = (len(options.features) - 1, len(options.encoder_convolutions) - 1, len(options.decoder_convolutions))
    if any(length != depth for length in lengths):
        raise InputError(
            f"{depth} pooling steps need {depth + 1} entries in features, {depth + 1} in encoder_convolutions and {depth} "
            f"in decoder_convolutions, not {lengths[0] + 1}, {lengths[1] + 1} and {lengths[2]}"
        )
    counts = (options.features, options.encoder_convolutions, options.decoder_convolutions, *options.pooling)
    if any(count < 1 for some in counts for count in some):
        raise InputError("features, convolutions and pooling factors must be at least 1")
    if not options.offsets:
        raise InputError("a network needs at least one offset of affinities")
    if options.upsampling not in get_args(Upsampling):
        raise InputError(f"upsampling must be one of {', '.join(get_args(Upsampling))}, not {options.upsampling!r}")
    return options
