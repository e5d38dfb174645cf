"""A small network that has learnt nothing."""

import pytest
import torch

from clew.network.options import UNetOptions, axis_offsets
from clew.network.unet import UNet

OPTIONS = UNetOptions(features=(3, 4, 5), pooling=((1, 2, 2), (2, 2, 2)), encoder_convolutions=(1, 1, 1),
                      decoder_convolutions=(1, 1), residual=True, offsets=axis_offsets(1, 3))  # fmt: skip


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(3)
    return UNet(OPTIONS).eval()
