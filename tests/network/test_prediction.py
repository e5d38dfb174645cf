from dataclasses import replace
from importlib.util import find_spec
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from clew.errors import InputError
from clew.network.checkpoint import Checkpoint
from clew.network.device import resolve_device
from clew.network.openvino_runtime import OpenvinoPredictor, Runtime, check_runtime
from clew.network.options import Precision, PredictionOptions
from clew.network.prediction import check_raw, predict_affinities, tile_grid
from clew.network.unet import UNet
from clew.space import Box

OPENVINO = pytest.param(
    "openvino", marks=pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
)


CPU = PredictionOptions(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (23, 30, 37), dtype=np.uint8)


@pytest.fixture(scope="module")
def whole(network: UNet, raw: np.ndarray) -> np.ndarray:
    return predict_affinities(network, raw, options=replace(CPU, tile=(64, 64, 64)))


@pytest.mark.parametrize("runtime", ["torch", OPENVINO])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("tile", [(4, 4, 4), (8, 12, 16), (23, 8, 64), (10, 10, 10)])
def test_the_tile_does_not_change_the_result(
    network: UNet, raw: np.ndarray, tile: tuple, precision: Precision, runtime: Runtime
):
    options = replace(CPU, precision=precision, runtime=runtime)
    whole = predict_affinities(network, raw, options=replace(options, tile=(64, 64, 64)))
    assert whole.std() > 5
    tiled = predict_affinities(network, raw, options=replace(options, tile=tile))
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_bfloat16_is_near_float32(network: UNet, raw: np.ndarray, whole: np.ndarray):
    predicted = predict_affinities(network, raw, options=replace(CPU, precision="bfloat16"))
    difference = np.abs(predicted.astype(int) - whole)
    assert difference.mean() < 1
    assert difference.max() > 0, "bfloat16 was asked for, float32 was done"


@pytest.mark.parametrize("runtime", [OPENVINO])
def test_openvino_agrees_with_torch(network: UNet, raw: np.ndarray, runtime: Runtime):
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    expected = predict_affinities(network, raw, options=CPU)
    predicted = predict_affinities(network, raw, options=replace(CPU, runtime=runtime))
    assert np.abs(predicted.astype(int) - expected).max() <= 1
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_a_runtime_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("clew.network.openvino_runtime.find_spec", lambda name: name)
    check_runtime("openvino", "cpu")
    with pytest.raises(InputError, match="OpenVINO predicts on the CPU, not on cuda"):
        check_runtime("openvino", "cuda")
    monkeypatch.setattr("clew.network.openvino_runtime.find_spec", lambda name: None)
    check_runtime("torch", "cpu")
    with pytest.raises(InputError, match=r"OpenVINO is not installed here; pip install 'clew\[openvino\]'"):
        check_runtime("openvino", "cpu")


def test_a_processor_on_which_openvino_has_no_bfloat16_is_refused():
    predictor = object.__new__(OpenvinoPredictor)
    predictor.settings = {"INFERENCE_PRECISION_HINT": "bf16"}
    predictor.compiled = MagicMock()
    predictor.compiled.get_property.return_value.get_type_name.return_value = "bf16"
    predictor._refuse_other_arithmetic()
    predictor.compiled.get_property.return_value.get_type_name.return_value = "f32"
    with pytest.raises(
        InputError, match="OpenVINO works in f32 on this processor, not in bf16; choose --precision float32"
    ):
        predictor._refuse_other_arithmetic()


@pytest.mark.parametrize("box", [np.s_[3:9, 5:30, 7:8], np.s_[0:23, 0:3, 30:37]])
def test_a_box_is_a_part_of_the_whole(network: UNet, raw: np.ndarray, whole: np.ndarray, box: tuple):
    part = predict_affinities(network, raw, box=box, options=replace(CPU, tile=(8, 8, 8)))
    assert np.abs(part.astype(int) - whole[(slice(None), *box)]).max() <= 1


def test_mirrored_border_is_context(network: UNet, raw: np.ndarray, whole: np.ndarray):
    depth = 12  # a multiple of the pooling factor beyond the context, so that the pooling grid stays
    padded = np.pad(raw, depth, mode="reflect")
    inner = Box.whole(raw.shape).shifted((depth,) * 3)
    part = predict_affinities(network, padded, box=inner, options=CPU)
    assert np.abs(part.astype(int) - whole).max() <= 1


def test_tiles_cover_the_box_once(network: UNet):
    covered = np.zeros((20, 21, 22), int)
    for tile in tile_grid(network.options, np.s_[2:20, 0:21, 5:22], (5, 6, 7)):
        covered[tile] += 1
    expected = np.zeros_like(covered)
    expected[2:20, 0:21, 5:22] = 1
    np.testing.assert_array_equal(covered, expected)


@pytest.mark.parametrize(
    ("shape", "dtype", "voxel_size", "message"),
    [
        ((3, 30, 30, 30), np.uint8, (8, 8, 8), r"raw must be \(z, y, x\)"),
        ((30, 30, 30), np.uint16, (8, 8, 8), "raw must be uint8, not uint16"),
        ((4, 30, 30), np.uint8, (8, 8, 8), "smaller than the network's context"),
        ((30, 30, 30), np.uint8, (40, 8, 8), "trained for"),
    ],
)
def test_unsuitable_raw_is_refused(network: UNet, shape: tuple, dtype: type, voxel_size: tuple, message: str):
    with pytest.raises(InputError, match=message):
        check_raw(shape, np.dtype(dtype), Checkpoint(network, (8.0, 8.0, 8.0)), voxel_size)


def test_a_missing_gpu_is_reported():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert resolve_device("auto") == "cpu"
    with pytest.raises(InputError, match="no CUDA device"):
        resolve_device("cuda")


def test_more_processes_than_gpus_share_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [resolve_device(device) for device in ("auto", "cuda:1", "cuda:4")] == ["cuda", "cuda:1", "cuda:0"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_gpu_agrees_with_cpu(network: UNet, raw: np.ndarray, whole: np.ndarray):
    predicted = predict_affinities(network, raw, options=CPU.on("cuda"))
    assert np.abs(predicted.astype(int) - whole).max() <= 2
