"""What several training processes send each other."""

import io
import pickle
from pathlib import Path

import pytest
import torch

from clew.training import processes
from clew.training.processes import Processes


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def receive(content: bytes, monkeypatch: pytest.MonkeyPatch) -> object:
    """What the second of two processes makes of these bytes from the first."""
    values = [torch.tensor([len(content)]), torch.frombuffer(bytearray(content), dtype=torch.uint8)]
    monkeypatch.setattr(processes.distributed, "get_backend", lambda: "gloo")
    monkeypatch.setattr(processes.distributed, "broadcast", lambda tensor, _: tensor.copy_(values.pop(0)))
    return Processes(rank=1, number=2).share(None)


def test_tensors_and_plain_values_are_received(monkeypatch: pytest.MonkeyPatch):
    packed = io.BytesIO()
    torch.save({"step": 3, "weights": [torch.arange(4.0)]}, packed)
    found = receive(packed.getvalue(), monkeypatch)
    assert found["step"] == 3
    torch.testing.assert_close(found["weights"][0], torch.arange(4.0))


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_that_is_received_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool):
    packed = io.BytesIO()
    torch.save(Payload(tmp_path / "executed"), packed, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError):
        receive(packed.getvalue(), monkeypatch)
    assert not (tmp_path / "executed").exists()
