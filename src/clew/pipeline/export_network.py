"""`clew export-network`: checkpoint → ONNX, or a BioImage Model Zoo package."""

import importlib.util
from pathlib import Path

import numpy as np

from clew.errors import InputError
from clew.export.model_zoo import Model, package
from clew.network.bundled import open_checkpoint
from clew.network.checkpoint import Checkpoint
from clew.pipeline._declare import stage
from clew.pipeline._options import Input, Output
from clew.pipeline._progress import say
from clew.pipeline._protection import refuse_overlap
from clew.replace import refuse_existing, written_beside
from clew.synthetic.volume import SMALLEST, synthesize

SUFFIXES = {".onnx": "ONNX", ".zip": "BioImage Model Zoo"}
TESTED = 8
"""Voxels along each axis of the affinities that test a package, at least."""


@stage
def export_network(
    checkpoint: Input,
    target: str,
    *,
    name: str | None = None,
    author: str | None = None,
    license: str | None = None,
    output: Output,
) -> None:
    """Write a network as other tools run it: ONNX, or for the BioImage Model Zoo.

    Parameters
    ----------
    checkpoint
        Checkpoint file, or the name of a bundled one.
    target
        Output: `network.onnx`, or `network.zip` for the BioImage Model Zoo.
    name
        Name of a package, by default that of the checkpoint.
    author
        Authors of a package, joined by `;`.
    license
        License of a package, as SPDX identifier, for example CC-BY-4.0.
    """
    path = Path(target)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{target} must end with .onnx, or with .zip for a package of the BioImage Model Zoo")
    if importlib.util.find_spec("onnx") is None:
        raise InputError("networks are written by onnx, not installed with clew: pip install 'clew[export]'")
    refuse_overlap([checkpoint], [target])
    refuse_existing(path, output.overwrite)
    trained = open_checkpoint(checkpoint)
    from clew.network.onnx_graph import onnx_file

    content = onnx_file(trained)
    if path.suffix == ".zip":
        authors = tuple(part.strip() for part in (author or "").split(";") if part.strip())
        content = _package(trained, content, name or Path(checkpoint).stem, authors, license)
    with written_beside(path, overwrite=output.overwrite) as partial:
        partial.write_bytes(content)
    say(f"{target}: {len(content) / 1e6:.1f} MB, {SUFFIXES[path.suffix]}")


def _package(trained: Checkpoint, weights: bytes, name: str, authors: tuple[str, ...], license: str | None) -> bytes:
    """A package, tested on synthetic neuropil of the voxel size of the network."""
    from clew.network.onnx_graph import OPSET, affinities_of_grey
    from clew.network.unet import valid_input_shape

    options = trained.network.options
    shape, _ = valid_input_shape(options, (TESTED,) * 3)
    made = synthesize([max(length, SMALLEST) for length in shape], voxel_size=trained.voxel_size)
    raw = made.raw[tuple(map(slice, shape))].astype(np.float32)[None, None]
    affinities = affinities_of_grey(trained.network, raw)
    smallest, _ = valid_input_shape(options, (1, 1, 1))
    model = Model(
        name, authors, license, trained.voxel_size, options.offsets, smallest, options.factor, options.context, OPSET
    )
    return package(model, weights, raw, affinities)
