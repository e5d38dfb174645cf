import dataclasses

import numpy as np
import pytest
import torch

from clew.errors import InputError
from clew.network.options import PRESETS, UNetOptions, axis_offsets
from clew.network.prediction import predict_affinities
from clew.network.unet import UNet, count_parameters, valid_input_shape, with_descriptors
from clew.space import Box

TINY = UNetOptions(features=(2, 3, 4), pooling=((1, 2, 2), (2, 3, 2)), encoder_convolutions=(1, 2, 2),
                   decoder_convolutions=(2, 1), upsampling="nearest", residual=True)  # fmt: skip


def meta_network(options: UNetOptions) -> UNet:
    with torch.device("meta"):
        return UNet(options)


@pytest.mark.parametrize(
    ("preset", "transposed"), [("cremi", 87_753_495), ("fib25", 95_834_775), ("segem", 87_281_895)]
)
def test_paper_networks_have_the_papers_parameters(preset: str, transposed: int):
    options = PRESETS[preset]
    assert count_parameters(meta_network(dataclasses.replace(options, upsampling="transposed"))) == transposed
    assert count_parameters(meta_network(dataclasses.replace(options, upsampling="nearest"))) == 84_003_735


@pytest.mark.parametrize(
    ("preset", "raw", "output"),
    [
        ("cremi", (84, 268, 268), (56, 56, 56)),
        ("fib25", (196,) * 3, (92,) * 3),
        ("segem", (144, 188, 188), (96, 100, 100)),
    ],
)
def test_paper_networks_have_the_papers_shapes(preset: str, raw: tuple, output: tuple):
    assert valid_input_shape(PRESETS[preset], output) == (raw, output)
    assert meta_network(PRESETS[preset])(torch.empty(1, 1, *raw, device="meta")).shape == (1, 3, *output)


@pytest.mark.parametrize("options", [TINY, PRESETS["small"], PRESETS["small-anisotropic"], PRESETS["tiny"]])
def test_valid_input_shape_is_what_the_network_needs(options: UNetOptions):
    raw, output = valid_input_shape(options, (13, 17, 20))
    assert meta_network(options)(torch.empty(1, 1, *raw, device="meta")).shape[2:] == output
    assert all(have >= want for have, want in zip(output, (13, 17, 20), strict=True))
    assert tuple((r - o) // 2 for r, o in zip(raw, output, strict=True)) == options.context


def test_same_padding_keeps_the_shape():
    network = UNet(TINY)
    network.set_padding("same")
    assert network(torch.zeros(1, 1, 12, 12, 12)).shape == (1, 3, 12, 12, 12)


def aligned_start(options: UNetOptions, axis: int) -> int:
    """First place beyond the context where a valid crop pools the same voxels together as the padded volume does."""
    for start in range(options.context[axis], 2 * options.context[axis] + options.factor[axis]):
        place, scale, fits = start, 1, True
        for convolutions, pooling in zip(options.encoder_convolutions, options.pooling, strict=False):
            place, scale = place + convolutions * scale, scale * pooling[axis]
            fits = fits and place % scale == 0
        if fits:
            return start
    raise AssertionError("no aligned start")


def test_same_and_valid_agree_where_the_context_is_inside():
    torch.manual_seed(0)
    network = UNet(TINY).eval()
    raw_shape, output_shape = valid_input_shape(TINY, (12, 12, 12))
    starts = [aligned_start(TINY, axis) for axis in range(3)]
    size = [
        factor * (-(-(start + raw) // factor) + 1 + context // factor)
        for factor, start, raw, context in zip(TINY.factor, starts, raw_shape, TINY.context, strict=True)
    ]
    raw = torch.randn(1, 1, *size)
    valid = network(raw[(..., *Box.whole(raw_shape).shifted(starts))])
    network.set_padding("same")
    where = Box.whole(output_shape).shifted(starts).shifted(TINY.context)
    torch.testing.assert_close(valid, network(raw)[(..., *where)], atol=1e-5, rtol=1e-4)


def test_number_of_levels_must_fit():
    with pytest.raises(InputError, match="2 pooling steps need 3 entries in features"):
        UNet(dataclasses.replace(TINY, features=(2, 3)))


def test_descriptors_are_ten_channels_more_in_training_only():
    torch.manual_seed(0)
    plain = UNet(TINY)
    described = with_descriptors(plain)
    assert described.options == dataclasses.replace(TINY, descriptors=True)
    assert count_parameters(described) == count_parameters(plain) + 10 * (TINY.features[0] + 1)
    assert with_descriptors(described) is described
    raw = torch.randn(1, 1, *valid_input_shape(TINY, (4, 4, 4))[0])
    in_training = described.train()(raw)
    assert in_training.shape[1] == 13
    torch.testing.assert_close(in_training[:, :3], plain(raw))
    torch.testing.assert_close(described.eval()(raw), plain(raw))


def test_prediction_does_not_compute_the_descriptors(monkeypatch: pytest.MonkeyPatch):
    network = with_descriptors(UNet(TINY)).train()
    outputs = []
    convolve = torch.nn.functional.conv3d

    def observe(maps: torch.Tensor, weight: torch.Tensor, *rest: object, **options: object) -> torch.Tensor:
        outputs.append(len(weight))
        return convolve(maps, weight, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "conv3d", observe)
    predict_affinities(network, np.zeros((20, 24, 24), np.uint8))
    assert 10 not in outputs
    network(torch.zeros(1, 1, *valid_input_shape(TINY, (4, 4, 4))[0]))
    assert 10 in outputs


def test_axis_offsets():
    assert axis_offsets(1, 4) == ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (-4, 0, 0), (0, -4, 0), (0, 0, -4))
