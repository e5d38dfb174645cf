"""Does webknossos read the dataset and the skeletons of `clew export`? EXPORTS"""

import sys
from pathlib import Path

import networkx
import numpy as np
import webknossos

exports = Path(sys.argv[1])
expected = np.load(exports / "expected-segmented.npz")
dataset = webknossos.Dataset.open(exports / "webknossos/webknossos")
layer = dataset.get_layer("segmentation").as_segmentation_layer()
finest = layer.get_finest_mag()
found = finest.read()
print(found.shape, dataset.voxel_size, [str(mag) for mag in layer.mags])
assert (expected["fragments"] == found.reshape(found.shape[-3:]).T).all(), "voxels differ"
(attachment,) = layer.attachments.agglomerates
parts = [{int(node) for node in part} for part in networkx.connected_components(attachment.to_graph())]
lookup = expected["lookup"]
wanted = {frozenset((np.flatnonzero(lookup == segment) + 1).tolist()) for segment in np.unique(lookup)}
assert set(map(frozenset, parts)) == wanted, "other segments"
print(f"webknossos reads {len(lookup)} fragments of {len(wanted)} segments")

files, expected = sorted((exports / "nml/nml").iterdir()), np.load(exports / "expected.npz")
labels, found = expected["labels"], []
for file in files:
    skeleton = webknossos.Skeleton.load(file)
    assert np.allclose(skeleton.voxel_size[::-1], expected["voxel_size"]), f"{file}: {skeleton.voxel_size}"
    (tree,) = skeleton.flattened_trees()
    at = np.array([node.position for node in tree.nodes])[:, ::-1]
    found.append(labels[tuple(np.clip(np.rint(at).astype(int), 0, np.array(labels.shape) - 1).T)] == int(file.stem))
    assert found[-1].mean() > 0.5, f"{file}: {found[-1].mean():.2f} of its nodes inside"
nodes = np.concatenate(found)
assert nodes.mean() > 0.95, f"{nodes.mean():.3f} of all nodes inside"
print(f"webknossos reads {len(files)} nml files with {len(nodes)} nodes, {nodes.mean():.3f} inside their segment")
