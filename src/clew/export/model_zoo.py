"""A network as a package of the BioImage Model Zoo: description and files.

https://github.com/bioimage-io/spec-bioimage-io, model 0.5
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.space import Lengths, Triple

SPEC = "0.5.4"
DESCRIPTION, DOCUMENTATION, WEIGHTS = "rdf.yaml", "README.md", "network.onnx"
TESTS = {"raw": "test_raw.npy", "affinities": "test_affinities.npy"}
SOME_DAY = (2020, 1, 1, 0, 0, 0)
"""Of all files in a package, so that the same network gives the same bytes."""
PAPER = {
    "text": "Funke et al., Large Scale Image Segmentation with Structured Loss based Deep Learning for Connectome Reconstruction",
    "url": "https://arxiv.org/abs/1709.02974",
}


class Model(NamedTuple):
    """What is said of a network.

    Parameters
    ----------
    name : str
    authors : sequence of str
    license : str, optional
        SPDX identifier.
    voxel_size : (z, y, x) floats
        In nm.
    offsets : sequence of (z, y, x) ints
        Of the channels.
    smallest, step, context : (z, y, x) ints
        Voxels of raw at least, steps in which there may be more, and how many are lost on each side.
    opset : int
        Version of ONNX operators.
    """

    name: str
    authors: tuple[str, ...]
    license: str | None
    voxel_size: Lengths
    offsets: tuple[Triple, ...]
    smallest: Triple
    step: Triple
    context: Triple
    opset: int


def package(model: Model, weights: bytes, raw: NDArray[np.float32], affinities: NDArray[np.float32]) -> bytes:
    """The content of a package, a ZIP file.

    Parameters
    ----------
    model : Model
    weights : bytes
        ONNX.
    raw : (1, 1, z, y, x) float32
        Grey values for the test of the package.
    affinities : (1, offset, z, y, x) float32
        What the network makes of them.
    """
    files = {
        WEIGHTS: weights,
        TESTS["raw"]: _array_file(raw),
        TESTS["affinities"]: _array_file(affinities),
        DOCUMENTATION: documentation(model).encode(),
    }
    files[DESCRIPTION] = json.dumps(model_description(model, files), indent=1).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in files.items():
            archive.writestr(zipfile.ZipInfo(name, SOME_DAY), part)
    return content.getvalue()


def model_description(model: Model, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The description of a package; JSON is YAML, too."""
    raw = {
        "id": "raw",
        "description": "electron microscopy, grey values 0 to 255",
        "data": {"type": "float32", "range": [0, 255]},
    }
    out = {
        "id": "affinities",
        "description": "1 where two voxels are of one neuron",
        "data": {"type": "float32", "range": [0, 1]},
    }
    steps = zip(model.smallest, model.step, strict=True)
    lost = [
        {"tensor_id": "raw", "axis_id": axis, "offset": -2 * edge}
        for axis, edge in zip("zyx", model.context, strict=True)
    ]
    sizes = [{"min": smallest, "step": step} for smallest, step in steps]
    said = {"authors": [{"name": name} for name in model.authors], "license": model.license}
    return {
        "type": "model", "format_version": SPEC, "name": model.name, "cite": [PAPER],
        "description": "Affinities between neighbouring voxels of electron microscopy, of which neurons are segmented.",
        **{key: value for key, value in said.items() if value},
        "tags": ["3d", "electron-microscopy", "neurons", "affinities", "unet", "segmentation", "clew"],
        "documentation": DOCUMENTATION,
        "inputs": [raw | _tensor(files, TESTS["raw"], ["raw"], sizes, model.voxel_size)],
        "outputs": [out | _tensor(files, TESTS["affinities"], _channels(model), lost, model.voxel_size)],
        "weights": {"onnx": {**_file(files, WEIGHTS), "opset_version": model.opset}},
    }  # fmt: skip


def documentation(model: Model) -> str:
    """A page that says how to use the network."""
    size, lost = ("{:g} × {:g} × {:g}".format(*values) for values in (model.voxel_size, model.context))
    rows = "\n".join(
        f"| {number} | {name} | {offset} |"
        for number, (name, offset) in enumerate(zip(_channels(model), model.offsets, strict=True))
    )
    return f"""# {model.name}

A 3D U-Net that predicts affinities (z, y, x) from electron microscopy with voxels of {size} nm: for each voxel and each offset,
whether the two voxels are of one neuron. Raw has grey values 0 to 255; membranes are dark. Convolutions are valid: affinities
have {lost} voxels less on each side.

| channel | name | offset (z, y, x) |
|---|---|---|
{rows}

Neurons are segmented from the affinities by seeded watershed and agglomeration, as `clew segment` does it.

## Validation

Predict a volume with truth, segment the affinities, and compare: variation of information and adapted Rand error. Other voxel
sizes, stains or tissues than those of training may give worse affinities.
"""


def _channels(model: Model) -> list[str]:
    """Names such as z_minus_1."""
    signs = {True: "minus", False: "plus"}
    return [
        "_".join(f"{axis}_{signs[step < 0]}_{abs(step)}" for axis, step in zip("zyx", offset, strict=True) if step)
        for offset in model.offsets
    ]


def _tensor(
    files: Mapping[str, bytes], test: str, channels: list[str], sizes: list[dict[str, Any]], voxel_size: Lengths
) -> dict[str, Any]:
    space = [
        {"type": "space", "id": axis, "size": size, "unit": "nanometer", "scale": scale}
        for axis, size, scale in zip("zyx", sizes, voxel_size, strict=True)
    ]
    axes = [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *space]
    return {"axes": axes, "test_tensor": _file(files, test)}


def _file(files: Mapping[str, bytes], name: str) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}


def _array_file(values: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()
