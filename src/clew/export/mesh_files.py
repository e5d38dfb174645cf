"""Surfaces as files of other programs: PLY, OBJ and GLB; x, y, z in µm."""

import json
import struct

import numpy as np

from clew.meshes.surfaces import Surface

NANOMETERS = 1000.0
"""In a µm."""
ARRAY_BUFFER, ELEMENT_BUFFER, FLOAT, UNSIGNED_INT = 34962, 34963, 5126, 5125
"""Numbers of OpenGL that glTF uses."""


def mesh_file(surface: Surface, name: str, kind: str) -> bytes:
    """The file of a surface.

    Parameters
    ----------
    surface : Surface
        Corners (z, y, x) in nm.
    name : str
        Of the object.
    kind : str
        `ply`, `obj` or `glb`.
    """
    corners = (surface.vertices[:, ::-1] / NANOMETERS).astype("<f4")
    return {"ply": _ply, "obj": _obj, "glb": _glb}[kind](corners, surface.faces.astype("<u4"), name)


def _ply(corners: np.ndarray, faces: np.ndarray, name: str) -> bytes:
    head = (
        f"ply\nformat binary_little_endian 1.0\ncomment segment {name}, in micrometers\nelement vertex {len(corners)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar uint vertex_indices\nend_header\n"
    )
    rows = np.empty(len(faces), [("count", "u1"), ("corners", "<u4", 3)])
    rows["count"], rows["corners"] = 3, faces
    return head.encode() + corners.tobytes() + rows.tobytes()


def _obj(corners: np.ndarray, faces: np.ndarray, name: str) -> bytes:
    lines = [f"# in micrometers\no {name}"]
    lines += [f"v {x:.6g} {y:.6g} {z:.6g}" for x, y, z in corners.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def _glb(corners: np.ndarray, faces: np.ndarray, name: str) -> bytes:
    parts = (faces.tobytes(), corners.tobytes())
    document = {
        "asset": {"version": "2.0", "generator": "clew"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": [{"attributes": {"POSITION": 1}, "indices": 0}]}],
        "accessors": [
            {"bufferView": 0, "componentType": UNSIGNED_INT, "count": faces.size, "type": "SCALAR"},
            {"bufferView": 1, "componentType": FLOAT, "count": len(corners), "type": "VEC3",
             "min": corners.min(0).tolist(), "max": corners.max(0).tolist()},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(parts[0]), "target": ELEMENT_BUFFER},
            {"buffer": 0, "byteOffset": len(parts[0]), "byteLength": len(parts[1]), "target": ARRAY_BUFFER},
        ],
        "buffers": [{"byteLength": sum(map(len, parts))}],
    }  # fmt: skip
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    content = struct.pack("<I4s", len(text), b"JSON") + text
    content += struct.pack("<I4s", sum(map(len, parts)), b"BIN\0") + b"".join(parts)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(content)) + content
