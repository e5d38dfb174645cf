"""Exports of a small synthetic segmentation for the readers of other tools: FOLDER."""

import sys
from pathlib import Path

import numpy as np

import clew
from clew import pipeline
from clew.pipeline._tables import load_merge_tree

SIZE, OFFSET = (20.0, 10.0, 10.0), (40.0, 10.0, 30.0)


def main(folder: Path) -> None:
    """Write each format, and what a reader should find in it."""
    labels = clew.synthesize((64, 120, 130), seed=2).labels
    source = folder / "segmentation.zarr"
    clew.save_volume(source, labels, voxel_size=SIZE, offset=OFFSET)
    np.savez(folder / "expected.npz", labels=labels, voxel_size=SIZE, offset=OFFSET)
    options = {"minimum_size": 200, "workers": 1}
    pipeline.export(str(source), str(folder / "precomputed"), meshes=True, skeletons=True, **options)
    for format in ("ply", "obj", "glb", "swc"):
        pipeline.export(str(source), str(folder / format), format=format, **options)
    targets, _ = clew.affinity_targets(labels[:32, :64, :64], [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
    affinities = {"offsets": [[-1, 0, 0], [0, -1, 0], [0, 0, -1]], "value_range": [0, 255]}
    values = np.where(targets, 200, 60).astype(np.uint8)
    clew.save_volume(folder / "affinities.zarr", values, voxel_size=SIZE, attributes=affinities)
    pipeline.segment(str(folder / "affinities.zarr"), str(folder / "segmented"), threshold=0.4)
    tree = load_merge_tree(str(folder / "segmented/merge_tree.h5"))[0]
    fragments = clew.open_volume(folder / "segmented/fragments.zarr").read()
    dense = np.where(fragments == 0, 0, np.searchsorted(tree.fragments, fragments) + 1)
    np.savez(folder / "expected-webknossos.npz", fragments=dense, lookup=clew.segment_lookup(tree, 0.4))
    pipeline.export(
        str(folder / "segmented/fragments.zarr"), str(folder / "webknossos"), format="webknossos", workers=1,
        merge_tree=str(folder / "segmented/merge_tree.h5"), threshold=0.4,
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
