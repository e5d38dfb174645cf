"""Exports of small synthetic volumes for the readers of other tools: FOLDER."""

import sys
from pathlib import Path

import numpy as np

import clew
from clew import pipeline
from clew.network.onnx_graph import affinities_of_grey
from clew.network.unet import valid_input_shape
from clew.pipeline._tables import load_merge_tree

SIZE, OFFSET = (20.0, 10.0, 10.0), (40.0, 10.0, 30.0)
NEAREST = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
NETWORK = "fib-10nm"


def main(folder: Path) -> None:
    """Write each format, and what a reader should find in it."""
    write_segmentation(folder)
    write_fragments(folder)
    write_network(folder)


def write_segmentation(folder: Path) -> None:
    """All that is made of a segmentation."""
    made = clew.synthesize((64, 120, 130), seed=2)
    source = folder / "segmentation.zarr"
    clew.save_volume(source, made.labels, voxel_size=SIZE, offset=OFFSET)
    clew.save_volume(folder / "raw.zarr", made.raw, voxel_size=SIZE, offset=OFFSET)
    np.savez(folder / "expected.npz", labels=made.labels, voxel_size=SIZE, offset=OFFSET)
    options = {"minimum_size": 200, "workers": 1}
    pipeline.export(str(source), str(folder / "precomputed"), meshes=True, skeletons=True, **options)
    for format in ("ply", "obj", "glb", "swc", "nml", "tiff", "cremi"):
        pipeline.export(str(source), str(folder / format), format=format, **options)
    pipeline.convert_blocks(str(source), str(folder / "converted"), workers=1)


def write_fragments(folder: Path) -> None:
    """All that is made of fragments and a merge tree."""
    labels = np.load(folder / "expected.npz")["labels"]
    targets, _ = clew.affinity_targets(labels[:32, :64, :64], NEAREST)
    attributes = {"offsets": [list(offset) for offset in NEAREST], "value_range": [0, 255]}
    values = np.where(targets, 200, 60).astype(np.uint8)
    clew.save_volume(folder / "affinities.zarr", values, voxel_size=SIZE, attributes=attributes)
    pipeline.segment(str(folder / "affinities.zarr"), str(folder / "segmented"), threshold=0.4)
    tree = load_merge_tree(str(folder / "segmented/merge_tree.h5"))[0]
    fragments = clew.open_volume(folder / "segmented/fragments.zarr").read()
    dense = np.where(fragments == 0, 0, np.searchsorted(tree.fragments, fragments) + 1)
    np.savez(folder / "expected-segmented.npz", fragments=dense, lookup=clew.segment_lookup(tree, 0.4))
    more = {"merge_tree": str(folder / "segmented/merge_tree.h5"), "threshold": 0.4, "workers": 1}
    source = str(folder / "segmented/fragments.zarr")
    pipeline.export(source, str(folder / "webknossos"), format="webknossos", **more)
    pipeline.export(
        source, str(folder / "pychunkedgraph"), format="pychunkedgraph", affinities=str(folder / "affinities.zarr"),
        chunk_shape=(16, 32, 32), **more,
    )  # fmt: skip


def write_network(folder: Path) -> None:
    """A network, and what PyTorch makes of two shapes of raw."""
    pipeline.export_network(NETWORK, str(folder / "network.onnx"))
    pipeline.export_network(NETWORK, str(folder / "network.zip"), author="The clew developers", license="MIT")
    network, raw = clew.open_checkpoint(NETWORK).network, np.load(folder / "expected.npz")["labels"] * 37 % 256
    expected = {}
    for name, output in (("small", (1, 1, 1)), ("large", (8, 1, 16))):
        shape, _ = valid_input_shape(network.options, output)
        repeated = np.pad(
            raw, [(0, max(0, want - have)) for want, have in zip(shape, raw.shape, strict=True)], "reflect"
        )
        expected[f"{name}_raw"] = repeated[tuple(map(slice, shape))].astype(np.float32)[None, None]
        expected[f"{name}_affinities"] = affinities_of_grey(network, expected[f"{name}_raw"])
    np.savez(folder / "expected-network.npz", **expected)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
