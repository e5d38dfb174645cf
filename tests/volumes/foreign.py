"""Volumes as other programs write them."""

import numpy as np
import tensorstore

CONFIGURATION = """experiment name "ex145_mag1";
boundary x {x};
boundary y {y};
boundary z {z};
scale x 11.24;
scale y 11.24;
scale z 28.0;
magnification 1;
"""
EDGE = 128


def write_cubes(folder, data, missing=()):
    """Cubes as KNOSSOS writes them: the voxel (x, y, z) of a cube is byte x + 128 y + 128² z."""
    z, y, x = data.shape
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "knossos.conf").write_text(CONFIGURATION.format(x=x, y=y, z=z))
    padded = np.zeros([-(-size // EDGE) * EDGE for size in data.shape], data.dtype)
    padded[:z, :y, :x] = data
    for cz, cy, cx in np.ndindex(*(size // EDGE for size in padded.shape)):
        if (cz, cy, cx) in missing:
            continue
        inner = folder / f"x{cx:04d}" / f"y{cy:04d}" / f"z{cz:04d}"
        inner.mkdir(parents=True)
        cube = padded[tuple(slice(n * EDGE, (n + 1) * EDGE) for n in (cz, cy, cx))]
        (inner / f"ex145_mag1_x{cx:04d}_y{cy:04d}_z{cz:04d}.raw").write_bytes(
            cube.astype(cube.dtype.newbyteorder("<")).tobytes(order="C")
        )


def write_tensorstore(driver, folder, data, **metadata):
    """Write with tensorstore alone; `data` in the order of the format."""
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{folder}/"}, **metadata}
    store = tensorstore.open(spec, create=True, dtype=data.dtype, shape=data.shape).result()
    store[...].write(data).result()


def write_precomputed(folder, data, **scale):
    """Write with tensorstore; `data` in our order."""
    stored = data.transpose(3, 2, 1, 0) if data.ndim == 4 else data.T[..., None]
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {
            "type": "image" if data.dtype.itemsize < 8 else "segmentation",
            "data_type": data.dtype.name,
            "num_channels": stored.shape[3],
        },
        "scale_metadata": {
            "size": stored.shape[:3],
            "encoding": "raw",
            "chunk_size": [4, 3, 2],
            "resolution": [4, 4.24, 40],
            **scale,
        },
    }
    store = tensorstore.open(spec, create=True).result()
    store[tensorstore.d[:].translate_to[0]].write(stored).result()
