"""OpenVINO in place of PyTorch on the CPU, where it is faster.

It fuses convolutions with what follows them. Everything that clew knows about OpenVINO is in this file.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from clew.errors import InputError
from clew.network.options import Precision, Runtime, UNetOptions
from clew.network.precision import uses_bfloat16
from clew.network.unet import valid_input_shape


class OpenvinoPredictor:
    """A network converted from PyTorch and compiled for the last shape of input.

    Only the last shape is kept: a compiled network holds the memory of its tile, and compiling takes a fraction of a second.
    """

    def __init__(self, predictor: nn.Module, options: UNetOptions, precision: Precision) -> None:
        import openvino

        shape, _ = valid_input_shape(options, (1, 1, 1))
        with torch.inference_mode():
            traced = torch.jit.trace(predictor, torch.zeros(1, 1, *shape), check_trace=False)
            self.model = openvino.convert_model(traced, input=[(1, 1, -1, -1, -1)])
        self.core = openvino.Core()
        self.settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if uses_bfloat16("cpu", precision) else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        self.compiled: Any = None
        self.shape: torch.Size | None = None
        self.options = options
        self.device = torch.device("cpu")

    def __call__(self, raw: torch.Tensor) -> torch.Tensor:
        """Affinities (1, 3, z, y, x) float32 of raw (1, 1, z, y, x) float32."""
        if raw.shape != self.shape:
            self.compiled = None  # its memory goes before that of the next one comes
            self.model.reshape(list(raw.shape))
            self.compiled = self.core.compile_model(self.model, "CPU", self.settings)
            self._refuse_other_arithmetic()
            self.shape = raw.shape
        return torch.from_numpy(self.compiled(raw.numpy())[0])

    def _refuse_other_arithmetic(self) -> None:
        """Refuse a processor on which OpenVINO takes float32 for bfloat16."""
        wanted = self.settings["INFERENCE_PRECISION_HINT"]
        found = self.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if found != wanted:
            raise InputError(
                f"OpenVINO works in {found} on this processor, not in {wanted}; choose --precision float32, or --runtime torch"
            )


def has_openvino() -> bool:
    """Tell whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def check_runtime(runtime: Runtime, device: str) -> None:
    """Refuse OpenVINO where it is not installed, or for any device but the CPU."""
    if runtime == "openvino" and not has_openvino():
        raise InputError("OpenVINO is not installed here; pip install 'clew[openvino]', or choose --runtime torch")
    if runtime == "openvino" and torch.device(device).type != "cpu":
        raise InputError(f"OpenVINO predicts on the CPU, not on {device}; choose --device cpu or --runtime torch")
