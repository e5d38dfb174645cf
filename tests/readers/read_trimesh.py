"""Does trimesh read the meshes of `clew export`? FOLDER EXPECTED.npz"""

import sys
from pathlib import Path

import numpy as np
import trimesh

folder, expected = Path(sys.argv[1]), np.load(sys.argv[2])
for kind in ("ply", "obj", "glb"):
    files = sorted((folder / kind / kind).iterdir())
    for file in files:
        where = np.argwhere(expected["labels"] == int(file.stem))
        low, high = (
            (at * expected["voxel_size"] + expected["offset"])[::-1] / 1000 for at in (where.min(0), where.max(0))
        )
        mesh = trimesh.load(file, force="mesh")
        slack = 2 * expected["voxel_size"].max() / 1000
        assert (np.abs(mesh.bounds - [low, high]) <= slack).all(), f"{file}: {mesh.bounds} instead of {low}, {high}"
    print(f"trimesh reads {len(files)} {kind} files")
