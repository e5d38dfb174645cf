"""Small exports of every format, kept. Anew, where a change is meant: `PYTHONPATH=tests python tests/golden_exports.py`."""

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import pytest

from clew import pipeline
from clew.network.checkpoint import Checkpoint, save_checkpoint
from clew.network.options import UNetOptions
from clew.network.unet import UNet
from clew.space import NEAREST_OFFSETS
from clew.volumes.affinities import affinity_attributes
from clew.volumes.save import save_volume
from pipeline.block_runs import work_here

KEPT = Path(__file__).parent / "export" / "golden.zip"
SIZE, OFFSET, SHAPE = (40.0, 20.0, 20.0), (80.0, 20.0, 40.0), (12, 20, 36)
MADE_BY = (
    "bioimage-cpp",
    "DracoPy",
    "fast-simplification",
    "h5py",
    "imagecodecs",
    "numpy",
    "onnx",
    "tensorstore",
    "tifffile",
)
"""Packages on whose versions bytes depend."""
JSON = ("info", ".json", ".yml")
FORMATS = ("precomputed", "ply", "obj", "glb", "swc", "nml", "table", "tiff", "cremi", "webknossos", "pychunkedgraph")


def write_inputs(folder: Path) -> None:
    """Boxes as fragments, of which some are joined, and a network of round numbers."""
    z, y, x = np.indices(SHAPE)
    fragments = (1 + z // 6 + 2 * (y // 10) + 4 * (x // 18)).astype(np.uint64)
    fragments[:, 8:12, 5:9] = 0
    values = np.where(np.arange(SHAPE[2]) % 18 == 0, 200, 60)[None] * np.ones((3, *SHAPE))
    size = {"voxel_size": SIZE, "offset": OFFSET}
    save_volume(
        folder / "affinities.zarr",
        values.astype(np.uint8),
        attributes=affinity_attributes(NEAREST_OFFSETS, "uint8"),
        **size,
    )
    save_volume(folder / "fragments.zarr", fragments, **size)
    graph, tree = str(folder / "region_graph.h5"), str(folder / "merge_tree.h5")
    pipeline.build_region_graph(str(folder / "affinities.zarr"), str(folder / "fragments.zarr"), graph)
    pipeline.agglomerate(graph, tree)
    network = UNet(UNetOptions((1, 2), ((1, 2, 2),), (1, 1), (1,)))
    for place, weight in enumerate(network.parameters()):
        weight.data = (torch_like(weight) - 4 + place % 3) / 16
    save_checkpoint(folder / "network.pt", Checkpoint(network, SIZE, threshold=0.5, score="mean"))


def torch_like(weight: Any) -> Any:
    """Whole numbers from 0 to 8, in the shape of weights."""
    return weight.new_tensor((np.arange(weight.numel()) * 5 % 9).reshape(tuple(weight.shape)))


def write_exports(inputs: Path, folder: Path) -> dict[str, bytes]:
    """Every format; its files by name."""
    source = str(inputs / "fragments.zarr")
    more: dict[str, dict[str, Any]] = {
        "precomputed": {"meshes": True, "skeletons": True},
        "webknossos": {"merge_tree": str(inputs / "merge_tree.h5"), "threshold": 0.5},
    }
    more["pychunkedgraph"] = more["webknossos"] | {
        "affinities": str(inputs / "affinities.zarr"),
        "chunk_shape": (12, 16, 16),
    }
    for format in FORMATS:
        pipeline.export(source, str(folder / format), format=format, detail=40, **more.get(format, {}))
    for name in ("network.onnx", "network.zip"):
        pipeline.export_network(str(inputs / "network.pt"), str(folder / "networks" / name))
    places = [*(folder / format / format for format in FORMATS), folder / "networks"]
    files = [file for place in places for file in sorted(place.rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def plain(name: str, content: bytes) -> Any:
    """What a file says: without compression, without what clew records of how it was made, without places of this machine."""
    if name.endswith(JSON):
        return _without_record(json.loads(content))
    if name.endswith(".zst"):
        return imagecodecs.zstd_decode(content)
    if name.endswith(".h5"):
        return _datasets(content)
    if name.endswith(".zip"):  # without what PyTorch computed, which depends on the processor
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.namelist(), archive.read("network.onnx"), archive.read("README.md")
    return content


def _without_record(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_record(part) for key, part in value.items() if key not in ("clew", "data_source", "id")}
    return [_without_record(part) for part in value] if isinstance(value, list) else value


def _datasets(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def note(name: str, part: Any) -> None:
        values = (part.dtype.str, part.shape, part[()].tobytes()) if isinstance(part, h5py.Dataset) else ()
        found[name] = (values, {key: str(value) for key, value in part.attrs.items() if key != "clew"})

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(note)
    return found


def kept() -> dict[str, bytes]:
    """The exports that are kept."""
    with zipfile.ZipFile(KEPT) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def main() -> None:
    """Write the exports that are kept."""
    with pytest.MonkeyPatch.context() as monkeypatch, tempfile.TemporaryDirectory() as temporary:
        work_here(monkeypatch)
        inputs = Path(temporary) / "inputs"
        write_inputs(inputs)
        files = write_exports(inputs, Path(temporary) / "exports")
    with zipfile.ZipFile(KEPT, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            content = json.dumps(plain(name, content)).encode() if name.endswith(JSON) else content
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    print(f"{KEPT}: {len(files)} files, {KEPT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
