"""Does webknossos read what `clew export --format webknossos --merge-tree` wrote? DATASET EXPECTED.npz (labels dense, segments)"""

import sys

import networkx
import numpy as np
import webknossos

dataset, expected = webknossos.Dataset.open(sys.argv[1]), np.load(sys.argv[2])
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
