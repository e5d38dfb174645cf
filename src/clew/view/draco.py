"""Meshes as neuroglancer's graph layers read them: Draco, not compressed.

A sequential mesh of 32-bit indices and floats, as section 4 of the Draco bitstream specification 2.2 lays it out. Nothing is
compressed: this is for meshes that are made as a person looks, and go no farther than this machine.
"""

import numpy as np

HEADER = b"DRACO" + bytes([2, 2, 1, 0, 0, 0])
"""Version 2.2, a triangular mesh, coded sequentially, no flags."""
POSITIONS = bytes([1, 1, 0, 9, 3, 0, 0, 0])
"""One decoder of one attribute: positions, float32, 3 components, not normalised, its id 0, as they are."""
MANY = 1 << 21
"""Corners from which on each index has 32 bits."""


def draco_of(mesh: bytes) -> bytes:
    """A mesh in neuroglancer's legacy format as Draco.

    Parameters
    ----------
    mesh : bytes
        Number of corners (uint32), the corners (x, y, z) float32, and three indices (uint32) for each triangle.
    """
    count = int(np.frombuffer(mesh[:4], "<u4")[0])
    corners, faces = mesh[4 : 4 + 12 * count], np.frombuffer(mesh[4 + 12 * count :], "<u4")
    return b"".join(
        [HEADER, _varint(len(faces) // 3), _varint(count), b"\1", _indices(faces, count), POSITIONS, corners]
    )


def _indices(faces: np.ndarray, count: int) -> bytes:
    """Indices in as many bytes as the number of corners asks for."""
    if count < 1 << 8:
        return faces.astype("u1").tobytes()
    if count < 1 << 16:
        return faces.astype("<u2").tobytes()
    return _varints(faces) if count < MANY else faces.tobytes()


def _varint(value: int) -> bytes:
    return _varints(np.array([value], np.uint32))


def _varints(values: np.ndarray) -> bytes:
    """Unsigned numbers in groups of 7 bits, the lowest first.

    All but the last have the highest bit set.
    """
    groups = values[:, None] >> np.arange(0, 35, 7, dtype=np.uint64)
    used = np.maximum(groups > 0, np.arange(5) == 0)
    more = np.pad(used[:, 1:], ((0, 0), (0, 1)))
    return ((groups.astype(np.uint8) & 0x7F) | (more * np.uint8(0x80)))[used].tobytes()
