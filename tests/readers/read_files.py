"""Are the files of `clew export` read by trimesh, osteoid, tifffile and h5py? EXPORTS"""

import csv
import sys
from pathlib import Path

import h5py
import numpy as np
import osteoid
import tifffile
import trimesh

exports, expected = Path(sys.argv[1]), np.load(Path(sys.argv[1]) / "expected.npz")
labels, size, offset = expected["labels"], expected["voxel_size"], expected["offset"]
MICROMETER = 1000

for kind in ("ply", "obj", "glb"):
    files = sorted((exports / kind / kind).iterdir())
    for file in files:
        where = np.argwhere(labels == int(file.stem))
        low, high = ((at * size + offset)[::-1] / MICROMETER for at in (where.min(0), where.max(0)))
        mesh = trimesh.load(file, force="mesh")
        slack = 2 * size.max() / MICROMETER
        assert (np.abs(mesh.bounds - [low, high]) <= slack).all(), f"{file}: {mesh.bounds} instead of {low}, {high}"
    print(f"trimesh reads {len(files)} {kind} files")

# small segments are made of coarse voxels, so a few of their nodes lie beside them
files, length, found = sorted((exports / "swc/swc").iterdir()), 0.0, []
for file in files:
    skeleton = osteoid.Skeleton.from_swc(file.read_text())
    at = np.rint((skeleton.vertices[:, ::-1] * MICROMETER - offset) / size).astype(int)
    found.append(labels[tuple(np.clip(at, 0, np.array(labels.shape) - 1).T)] == int(file.stem))
    assert found[-1].mean() > 0.5, f"{file}: {found[-1].mean():.2f} of its nodes inside"
    assert (skeleton.radius > 0).all(), f"{file}: no radii"
    length += skeleton.cable_length()
inside = np.concatenate(found).mean()
assert inside > 0.95, f"{inside:.3f} of all nodes inside"
print(f"osteoid reads {len(files)} swc files, {length:.0f} µm, {inside:.3f} of the nodes inside their segment")

with (exports / "tiff/tiff/ids.csv").open() as file:
    ids = np.array([0, *(int(row["id"]) for row in csv.DictReader(file))], np.uint64)
stack = tifffile.TiffSequence(sorted(map(str, (exports / "tiff/tiff").glob("*.tif")))).asarray()
assert (ids[stack] == labels).all(), "voxels differ"
print(f"tifffile reads {len(stack)} sections of {stack.dtype}")

with h5py.File(exports / "cremi/cremi/submission.h5") as file:
    found = file["volumes/labels/neuron_ids"]
    assert (found[:] == labels).all(), "voxels differ"
    assert (found.attrs["resolution"] == size).all(), "another voxel size"
    assert (found.attrs["offset"] == offset).all(), "another offset"
print("h5py reads the CREMI file")
