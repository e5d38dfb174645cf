"""A network as an ONNX graph, which runs without clew and without PyTorch.

All convolutions are valid, so that what is cropped of each level is the same for every shape of input: the graph has no
arithmetic of shapes. Everything that clew knows about ONNX is in this file.
"""

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clew.network.checkpoint import Checkpoint
from clew.network.options import UNetOptions
from clew.network.unet import Level, UNet, valid_input_shape
from clew.space import Triple, triple

RAW, AFFINITIES = "raw", "affinities"
"""Names of input and output."""
OPSET, FORMAT = 17, 8
"""Versions of operators and file, which runtimes know since 2022."""
GREY = 127.5
"""Grey values are divided by this, and 1 is taken away: −1..1."""
SPATIAL = np.array([2, 3, 4])
"""Axes z, y, x of maps (batch, channel, z, y, x)."""


def onnx_file(checkpoint: Checkpoint) -> bytes:
    """A trained network as the content of an ONNX file.

    Parameters
    ----------
    checkpoint : Checkpoint

    Returns
    -------
    bytes
        Input `raw`: (batch, 1, z, y, x) float32, grey values 0..255. Output `affinities`: (batch, offset, z, y, x) float32 in
        [0, 1], one channel for each offset of the network, smaller by its context on each side. What else a user must
        know is in the metadata `clew`, as JSON.
    """
    import onnx

    network = checkpoint.network
    graph = _Graph()
    maps = graph.add(
        "Sub", graph.add("Div", RAW, graph.constant("half", np.float32(GREY))), graph.constant("one", np.float32(1))
    )
    maps = graph.add(
        "Sigmoid", graph.convolution(_features(graph, network, maps), "head", network.head), output=AFFINITIES
    )
    shape, kind = ["batch", 1, "z", "y", "x"], onnx.TensorProto.FLOAT
    smaller = ["batch", len(network.options.offsets), "z_valid", "y_valid", "x_valid"]
    found = onnx.helper.make_graph(
        graph.nodes, "clew", [onnx.helper.make_tensor_value_info(RAW, kind, shape)],
        [onnx.helper.make_tensor_value_info(AFFINITIES, kind, smaller)], graph.weights,
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(found, producer_name="clew", ir_version=FORMAT, opset_imports=opset)
    onnx.helper.set_model_props(model, {"clew": json.dumps(description(checkpoint))})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def affinities_of_grey(network: UNet, raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the graph of a network gives, by PyTorch.

    Parameters
    ----------
    network : UNet
    raw : (batch, 1, z, y, x) float32
        Grey values 0..255, of a shape that the network takes.
    """
    with torch.inference_mode():
        affinities: NDArray[np.float32] = torch.sigmoid(network(torch.from_numpy(raw) / GREY - 1)).numpy()
    return affinities


def description(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a user of a network must know, as plain JSON values."""
    options = checkpoint.network.options
    return {
        "axes": "zyx", "voxel_size": list(checkpoint.voxel_size), "offsets": [list(offset) for offset in options.offsets],
        "context": list(options.context), "smallest": list(valid_input_shape(options, (1, 1, 1))[0]), "step": list(options.factor),
        **checkpoint.suggestion,
    }  # fmt: skip


def cropped(options: UNetOptions, level: int) -> Triple:
    """Voxels (z, y, x) that maps of a level lose on each side on the way below it."""
    if level == len(options.pooling):
        return (0, 0, 0)
    below = options.encoder_convolutions[level + 1]
    below += options.decoder_convolutions[level + 1] if level + 1 < len(options.pooling) else 0
    lost = cropped(options, level + 1)
    return triple(factor * (below + more) for factor, more in zip(options.pooling[level], lost, strict=True))


class _Graph:
    """Nodes and weights, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; the name of its output."""
        import onnx

        name = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, values: Any) -> str:
        """Add weights or other constant numbers; their name."""
        import onnx

        self.weights.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def convolution(self, maps: str, name: str, module: nn.Module, operator: str = "Conv", **attributes: Any) -> str:
        """Add a convolution with the weights of a module."""
        weights = [self.constant(f"{name}.{key}", value.detach().numpy()) for key, value in module.named_parameters()]
        return self.add(operator, maps, *weights, **attributes)

    def crop(self, maps: str, by: Triple) -> str:
        """Add a cut that leaves out so many voxels on each side."""
        name = f"crop_{len(self.nodes)}"
        low, high = np.array(by), np.where(np.array(by) > 0, -np.array(by), np.iinfo(np.int64).max)
        ends = [
            self.constant(f"{name}_{part}", values)
            for part, values in (("low", low), ("high", high), ("axes", SPATIAL))
        ]
        return self.add("Slice", maps, *ends)


def _features(graph: _Graph, network: UNet, maps: str) -> str:
    """The same way as `UNet.extract_features`."""
    options, skips = network.options, []
    for level, encoder in enumerate(network.encoders):
        maps = _level(graph, f"encoders.{level}", encoder, maps)
        if level < len(options.pooling):
            skips.append(maps)
            pool = options.pooling[level]
            maps = graph.add("MaxPool", maps, kernel_shape=pool, strides=pool)
    for level in reversed(range(len(skips))):
        maps = _upsampled(graph, network, level, maps)
        maps = graph.add("Concat", graph.crop(skips.pop(), cropped(options, level)), maps, axis=1)
        maps = _level(graph, f"decoders.{level}", network.decoders[level], maps)
    return maps


def _level(graph: _Graph, name: str, level: nn.Module, maps: str) -> str:
    assert isinstance(level, Level)
    for index, convolution in enumerate(level.convolutions):
        before = maps
        maps = graph.convolution(maps, f"{name}.convolutions.{index}", convolution)
        if level.residual and index > 0:
            maps = graph.add("Add", maps, graph.crop(before, (1, 1, 1)))
        maps = graph.add("LeakyRelu", maps, alpha=float(level.slope))
    return maps


def _upsampled(graph: _Graph, network: UNet, level: int, maps: str) -> str:
    factor, name = network.options.pooling[level], f"upsamplings.{level}"
    module = network.upsamplings[level]
    if isinstance(module, nn.ConvTranspose3d):
        return graph.convolution(maps, name, module, "ConvTranspose", strides=factor)
    scales = graph.constant(f"{name}.scales", np.array([1, 1, *factor], np.float32))
    maps = graph.add(
        "Resize", maps, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    assert isinstance(module, nn.Sequential)
    return graph.convolution(maps, f"{name}.1", module[1])
