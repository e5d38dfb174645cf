"""A network as an ONNX graph gives the affinities of PyTorch, whatever its architecture and the shape of raw."""

import json

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from clew.network.checkpoint import Checkpoint
from clew.network.onnx_graph import affinities_of_grey, onnx_file
from clew.network.options import UNetOptions
from clew.network.unet import UNet, seed_weights, valid_input_shape

OFFSETS = ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (-4, 3, 0))
ARCHITECTURES = {
    "transposed": UNetOptions((2, 3), ((2, 2, 2),), (1, 1), (1,)),
    "nearest": UNetOptions((2, 3), ((1, 3, 2),), (1, 1), (1,), upsampling="nearest", slope=0.1),
    "residual": UNetOptions((2, 2), ((1, 1, 2),), (2, 1), (2,), residual=True, offsets=OFFSETS),
    "three levels": UNetOptions((1, 2, 2), ((1, 1, 2), (1, 1, 3)), (1, 1, 1), (1, 1), descriptors=True),
    "one level": UNetOptions((2,), (), (1,), ()),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_affinities_are_those_of_pytorch(name: str):
    options = ARCHITECTURES[name]
    seed_weights(1)
    network = UNet(options).eval()
    content = onnx_file(Checkpoint(network, (10.0, 8.0, 8.0), threshold=0.3, score="mean"))
    model = onnx.load_from_string(content)
    stored = json.loads(next(row.value for row in model.metadata_props if row.key == "clew"))
    assert (stored["voxel_size"], stored["suggested_threshold"]) == ([10, 8, 8], 0.3)
    assert [tuple(offset) for offset in stored["offsets"]] == list(options.offsets)
    shape, valid = valid_input_shape(options, (1, 1, 1))
    assert [a - b for a, b in zip(shape, valid, strict=True)] == [2 * edge for edge in stored["context"]]
    assert (stored["smallest"], stored["step"]) == (list(shape), list(options.factor))
    for more in ((0, 0, 0), options.factor):
        grey = np.random.default_rng(0).integers(0, 256, (1, 1, *np.add(shape, more))).astype(np.float32)
        (found,) = ReferenceEvaluator(model).run(None, {"raw": grey})
        expected = affinities_of_grey(network, grey)
        assert found.shape == (1, len(options.offsets), *np.add(valid, more))
        np.testing.assert_allclose(found, expected, atol=1e-6)
