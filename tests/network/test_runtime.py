"""Which runtime predicts: found out by a trial. OpenVINO need not be installed: another PyTorch plays its part."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clew.errors import InputError
from clew.network import runtime
from clew.network.options import PredictionOptions
from clew.network.prediction import predict_affinities
from clew.network.runtime import decide_runtime, may_choose
from clew.network.unet import UNet
from clew.space import Box

CPU = PredictionOptions(device="cpu", precision="float32")
SHAPE = (40, 44, 48)
WHOLE = Box.whole(SHAPE)


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    raw = np.full(SHAPE, 7, np.uint8)
    raw[:20, 22:, :24] = np.random.default_rng(0).integers(0, 256, (20, 22, 24))
    return raw


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch):
    """Let PyTorch play OpenVINO: `off` steps of 255 away from float32, `pace` times as fast."""

    def start(off: float, pace: float) -> list[str]:
        tried: list[str] = []
        true = runtime.prepare_predictor

        def prepare(network: UNet, device: str, options: PredictionOptions):
            tried.append(options.runtime)
            predictor = true(network, device, replace(options, runtime="torch"))
            if options.runtime == "openvino":
                predictor.register_forward_hook(lambda module, given, found: found + off / 255)
            return predictor

        def seconds(attempt: runtime._Attempt) -> float:
            return 1 / pace if attempt.options.runtime == "openvino" else 1.0

        monkeypatch.setattr(runtime, "has_openvino", lambda: True)
        monkeypatch.setattr("clew.network.openvino_runtime.has_openvino", lambda: True)
        monkeypatch.setattr(runtime, "WORTH_A_TRIAL", 1000)
        monkeypatch.setattr(runtime, "prepare_predictor", prepare)
        monkeypatch.setattr(runtime._Attempt, "seconds", seconds)
        return tried

    return start


@pytest.mark.parametrize(
    ("off", "pace", "chosen", "words"),
    [
        (0.25, 1.5, "openvino", "predict by OpenVINO in float32: 1.50 times as fast as PyTorch here; affinities differ from "
         "float32 by 0.25/255 on average, 0.25/255 at most (tried on 32 × 32 × 32 voxels)"),
        (0.25, 1.05, "torch", "predict by PyTorch in float32: OpenVINO is 1.05 times as fast here (tried on"),
        (0.25, 0.5, "torch", "predict by PyTorch in float32: OpenVINO is 0.50 times as fast here (tried on"),
        (1.5, 9.0, "torch", "by PyTorch in float32: OpenVINO differs from float32 by 1.50/255 on average, 1.50/255 at most (tried"),
        (float("nan"), 9.0, "torch", "OpenVINO differs from float32 by nan"),
    ],
)  # fmt: skip
def test_the_fastest_within_one_step_predicts(
    network: UNet, raw: np.ndarray, play, off: float, pace: float, chosen: str, words: str
):
    tried = play(off, pace)
    found = decide_runtime(network, raw.__getitem__, SHAPE, WHOLE, CPU)
    assert tried == ["torch", "openvino"]
    assert words in found.words
    assert found.options == replace(CPU, runtime=chosen)
    assert found.record["difference_from_float32"]["largest"] == pytest.approx(
        0.25 if chosen == "openvino" else 0, abs=1e-3
    )


def test_in_bfloat16_a_runtime_may_be_as_far_as_torch_and_a_step(network: UNet, raw: np.ndarray, play):
    half = replace(CPU, precision="bfloat16")
    for off, chosen in ((0.9, "openvino"), (9.0, "torch")):
        play(off, 2.0)
        found = decide_runtime(network, raw.__getitem__, SHAPE, WHOLE, half)
        assert found.options == replace(half, runtime=chosen)
        assert "affinities differ from float32 by" in found.words or chosen == "torch"


def test_bfloat16_says_how_far_it_is_from_float32(network: UNet, raw: np.ndarray):
    half = replace(CPU, precision="bfloat16")
    found = decide_runtime(network, raw.__getitem__, SHAPE, WHOLE, half)
    assert found.options == replace(half, runtime="torch")
    part = Box.between((2, 9, 4), (34, 41, 36))  # of the nine places the one with most of what varies
    exact, rough = (predict_affinities(network, raw, box=part, options=each).astype(int) for each in (CPU, half))
    assert found.difference.largest == pytest.approx(np.abs(exact - rough).max(), abs=1)
    assert found.difference.mean == pytest.approx(np.abs(exact - rough).mean(), abs=0.1)
    assert found.words.startswith("predict by PyTorch in bfloat16: affinities differ from float32 by 0.")


def test_a_runtime_that_fails_in_the_trial_is_not_taken(
    network: UNet, raw: np.ndarray, play, monkeypatch: pytest.MonkeyPatch
):
    play(0.0, 9.0)
    right = runtime.prepare_predictor

    def broken(network: UNet, device: str, options: PredictionOptions):
        if options.runtime == "openvino":
            raise OSError("libtbb.so is missing\nand more")
        return right(network, device, options)

    monkeypatch.setattr(runtime, "prepare_predictor", broken)
    found = decide_runtime(network, raw.__getitem__, SHAPE, WHOLE, CPU)
    assert found.options == replace(CPU, runtime="torch")
    assert found.words == "predict by PyTorch in float32: OpenVINO fails here, OSError: libtbb.so is missing"


def test_where_there_is_no_choice_nothing_is_tried(
    network: UNet, raw: np.ndarray, play, monkeypatch: pytest.MonkeyPatch
):
    tried = play(0.0, 9.0)
    monkeypatch.setattr(runtime, "WORTH_A_TRIAL", raw.size + 1)
    for options in (CPU, replace(CPU, runtime="torch")):
        found = decide_runtime(network, raw.__getitem__, SHAPE, WHOLE, options)
        assert (found.options, found.words, found.record) == (replace(CPU, runtime="torch"), "", {})
    assert not may_choose(CPU, WHOLE)
    assert not tried


def test_arrays_are_predicted_by_what_is_chosen(network: UNet, raw: np.ndarray, play, monkeypatch: pytest.MonkeyPatch):
    tried = play(0.0, 9.0)
    monkeypatch.setattr("clew.network.prediction.prepare_predictor", runtime.prepare_predictor)
    predict_affinities(network, raw, options=CPU)
    assert tried[-1] == "openvino"
    predict_affinities(network, raw, options=replace(CPU, runtime="torch"))
    assert tried[-1] == "torch"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "gpu"}, "device must be auto, cpu, cuda or one GPU such as cuda:1, not 'gpu'"),
        ({"device": "cpu:x"}, "not 'cpu:x'"),
        ({"precision": "half"}, "precision must be one of auto, float32, bfloat16, not 'half'"),
        ({"runtime": "onnx"}, "runtime must be one of auto, torch, openvino, not 'onnx'"),
        ({"test_time_augmentation": "flip"}, "test_time_augmentation must be one of none, flips, all, not 'flip'"),
    ],
)
def test_unknown_words_are_refused(network: UNet, raw: np.ndarray, given: dict, message: str):
    with pytest.raises(InputError, match=message):
        predict_affinities(network, raw, options=PredictionOptions(**given))


def test_a_trial_leaves_the_network_as_it_was(network: UNet, raw: np.ndarray, play):
    play(0.0, 9.0)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    decide_runtime(network, raw.__getitem__, SHAPE, WHOLE, CPU)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_tiny_differences_are_not_written_in_digits():
    assert str(runtime.Difference(7.7e-06, 2.914)) == "less than 0.01/255 on average, 2.91/255 at most"
