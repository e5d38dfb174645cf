"""`clew export-network`: what is written is a network that others run."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from clew import pipeline
from clew.errors import InputError
from clew.network.checkpoint import Checkpoint, save_checkpoint
from clew.network.options import UNetOptions
from clew.network.unet import UNet, seed_weights


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "tiny.pt"
    seed_weights(0)
    save_checkpoint(path, Checkpoint(UNet(UNetOptions((1, 2), ((1, 2, 2),), (1, 1), (1,))), (20.0, 10.0, 10.0)))
    return path


def test_a_package_holds_what_its_description_says(checkpoint: Path, tmp_path: Path):
    for name in ("a.zip", "b.zip"):
        pipeline.export_network(str(checkpoint), str(tmp_path / name), author="Ada; Bob", license="MIT")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    said = json.loads(files["rdf.yaml"])
    assert (said["name"], said["license"], said["authors"]) == ("tiny", "MIT", [{"name": "Ada"}, {"name": "Bob"}])
    raw, affinities = said["inputs"][0], said["outputs"][0]
    for part in (raw["test_tensor"], affinities["test_tensor"], said["weights"]["onnx"]):
        assert hashlib.sha256(files[part["source"]]).hexdigest() == part["sha256"]
    given, wanted = (np.load(io.BytesIO(files[tensor["test_tensor"]["source"]])) for tensor in (raw, affinities))
    (found,) = ReferenceEvaluator(onnx.load_from_string(files["network.onnx"])).run(None, {"raw": given})
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    for number, axis in enumerate(raw["axes"][2:], 2):
        assert (given.shape[number] - axis["size"]["min"]) % axis["size"]["step"] == 0
        assert wanted.shape[number] == given.shape[number] + affinities["axes"][number]["size"]["offset"]
        assert axis["scale"] == (20, 10, 10)[number - 2]
    assert affinities["axes"][1]["channel_names"] == ["z_minus_1", "y_minus_1", "x_minus_1"]


def test_what_is_there_is_not_written_over(checkpoint: Path, tmp_path: Path):
    pipeline.export_network(str(checkpoint), str(tmp_path / "a.onnx"))
    before = (tmp_path / "a.onnx").read_bytes()
    with pytest.raises(InputError, match="exists already: choose another name or give --overwrite"):
        pipeline.export_network(str(checkpoint), str(tmp_path / "a.onnx"))
    pipeline.export_network(str(checkpoint), str(tmp_path / "a.onnx"), overwrite=True)
    assert (tmp_path / "a.onnx").read_bytes() == before
    with pytest.raises(InputError, match="would replace the input"):
        pipeline.export_network(f"{tmp_path}/a.onnx", str(tmp_path / "a.onnx"), overwrite=True)


@pytest.mark.parametrize(
    ("target", "message"), [("a.pt", "must end with .onnx, or with .zip"), ("a.onnx", "pip install")]
)
def test_what_cannot_be_written_is_refused(
    checkpoint: Path, tmp_path: Path, target: str, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=message):
        pipeline.export_network(str(checkpoint), str(tmp_path / target))
    assert not list(tmp_path.iterdir())
