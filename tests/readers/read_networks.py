"""Do ONNX Runtime and the tools of the BioImage Model Zoo run what `clew export-network` wrote? EXPORTS"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from bioimageio.core import test_model
from bioimageio.spec import load_description

exports = Path(sys.argv[1])
session, differences = onnxruntime.InferenceSession(exports / "network.onnx"), []
said = json.loads(session.get_modelmeta().custom_metadata_map["clew"])
expected = np.load(exports / "expected-network.npz")
for name in ("small", "large"):
    (found,) = session.run(None, {"raw": expected[f"{name}_raw"]})
    assert found.shape == expected[f"{name}_affinities"].shape, found.shape
    differences.append(np.abs(found - expected[f"{name}_affinities"]).max())
assert max(differences) < 1e-5, differences
most = f"{max(differences):.1e}"
print(
    f"onnxruntime {onnxruntime.__version__}: {len(said['offsets'])} channels, differences of at most {most} at two shapes"
)
description = load_description(exports / "network.zip", perform_io_checks=True)
valid = description.validation_summary.status
assert valid == "valid-format", description.validation_summary
summary = test_model(description, weight_format="onnx")
assert summary.status == "passed", summary.display()
print(f"bioimageio.spec: {valid}, bioimageio.core: {summary.status}")
