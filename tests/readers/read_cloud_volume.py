"""Does cloud-volume read what `clew export --format precomputed --meshes --skeletons` wrote? PRECOMPUTED EXPECTED.npz"""

import sys

import numpy as np
from cloudvolume import CloudVolume

folder, expected = sys.argv[1], np.load(sys.argv[2])
labels, size, offset = expected["labels"], expected["voxel_size"], expected["offset"]
volume = CloudVolume(f"file://{folder}", mip=0)
assert (labels == np.asarray(volume[:])[..., 0].T).all(), "voxels differ"
for mip in volume.available_mips:
    scale = CloudVolume(f"file://{folder}", mip=mip)
    assert set(np.unique(scale[:])) <= set(np.unique(labels)), f"other ids at scale {mip}"
ids, counts = np.unique(labels[labels > 0], return_counts=True)
for segment in ids[np.argsort(-counts)][:5].tolist():
    where = np.argwhere(labels == segment)
    low, high = ((where.min(0)) * size + offset)[::-1], ((where.max(0) + 1) * size + offset)[::-1]
    for lod in range(4):
        try:
            mesh = volume.mesh.get(segment, lod=lod)[segment]
        except Exception as error:
            assert lod, f"segment {segment} has no mesh: {error!r}"
            break
        slack = 2 * size.max() * 2 ** (lod + 1)
        assert (np.abs(mesh.vertices.min(0) - low) <= slack).all(), (
            f"segment {segment}, level {lod}: {mesh.vertices.min(0)} {low}"
        )
        assert (np.abs(mesh.vertices.max(0) - high) <= slack).all(), (
            f"segment {segment}, level {lod}: {mesh.vertices.max(0)} {high}"
        )
        print(f"segment {segment}, level {lod}: {len(mesh.faces)} triangles")
    skeleton = volume.skeleton.get(segment)
    at = np.floor((skeleton.vertices[:, ::-1] - offset) / size).astype(int)
    inside = labels[tuple(np.clip(at, 0, np.array(labels.shape) - 1).T)] == segment
    assert inside.mean() > 0.9, f"segment {segment}: {inside.mean():.2f} of the skeleton inside"
    print(
        f"segment {segment}: skeleton of {skeleton.cable_length() / 1000:.1f} µm, {inside.mean():.2f} of its nodes inside"
    )
print(f"cloud-volume reads {len(ids)} segments, meshes and skeletons")
