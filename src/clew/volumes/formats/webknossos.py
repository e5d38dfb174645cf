"""WEBKNOSSOS: zarr and N5 with sizes in `datasource-properties.json` above.

Arrays are (c, x, y, z) there, and begin at the origin of the data set.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from clew.documents import expect, is_list
from clew.errors import InputError
from clew.space import Lengths, triple
from clew.volumes.geometry import SPATIAL, Geometry, check_voxel_size, nanometers
from clew.volumes.location import join, parent, read_json

PROPERTIES = "datasource-properties.json"
ABOVE = 3
"""Folders above that may hold the description: data set, layer, magnification."""


class DataSet(NamedTuple):
    """The description of a data set, its folder, and the path of something in it."""

    document: Mapping[str, Any]
    folder: str
    path: str


def data_set(folder: str) -> DataSet | None:
    """The data set of WEBKNOSSOS that a folder is, or lies in."""
    above, path = folder, ""
    for _ in range(ABOVE):
        document = read_json(above, PROPERTIES)
        if document is not None:
            return DataSet(document, above, path)
        up = parent(above)
        if up is None:
            return None
        above, path = up[0], f"{up[1]}/{path}".rstrip("/")
    return None


def magnifications(folder: str) -> list[str]:
    """Paths of the magnifications in the folder of a layer, finest first.

    Or of a data set of one layer; none for other folders.
    """
    found = data_set(folder)
    layers = [] if found is None else [layer for layer in _layers(found) if found.path in ("", layer.get("name"))]
    if found is None or len(layers) != 1:
        return []
    if layers[0].get("dataFormat") == "wkw":
        raise InputError(
            f"{found.folder} holds WKW files, which clew does not read; write them as zarr with "
            'webknossos (pip install webknossos): Dataset.open(".").copy_dataset("new", data_format="zarr3")'
        )
    paths = [path for path, _ in sorted(_mags(layers[0], found), key=lambda pair: pair[1].factors)]
    return [path.removeprefix(f"{found.path}/") for path in paths]


class _Mag(NamedTuple):
    """A magnification: its factors along z, y and x, and the order of its axes."""

    factors: Lengths
    order: Mapping[str, int]


def webknossos_geometry(folder: str, shape: Sequence[int]) -> Geometry | None:
    """Geometry of an array that is a magnification of a data set; None for others."""
    found = data_set(folder)
    if found is None:
        return None
    for layer in _layers(found):
        for path, mag in _mags(layer, found):
            if path == found.path:
                return _geometry(found, layer, mag, shape)
    return None


def _geometry(found: DataSet, layer: Mapping[str, Any], mag: _Mag, shape: Sequence[int]) -> Geometry:
    names: tuple[str, ...] = ("c", "x", "y", "z") if len(shape) == 4 else ("x", "y", "z")
    if sorted(mag.order.values()) == list(range(len(shape))):
        names = tuple(sorted(mag.order, key=lambda axis: mag.order[axis]))
    fine = _voxel_size(found)
    if fine is None:
        return Geometry(names, source=f"{PROPERTIES} has no scale in a unit of length")
    voxel_size = triple(length * factor for length, factor in zip(fine, mag.factors, strict=True))
    first = _first_voxel(layer, mag, dict(zip(names, shape, strict=True)), _source(found))
    offset = triple(
        length * (start + (factor - 1) / 2) for length, start, factor in zip(fine, first, mag.factors, strict=True)
    )
    return Geometry(names, voxel_size, offset, f"scale (x, y, z) in {PROPERTIES}")


def _first_voxel(layer: Mapping[str, Any], mag: _Mag, sizes: Mapping[str, int], source: str) -> Lengths:
    """Where an array begins, in voxels of magnification 1.

    At the origin; where it is too small to hold the bounding box from there on, at the corner of that.
    """
    box = expect(layer, "boundingBox", "an object", source, {})
    corner = box.get("topLeft", (0, 0, 0))
    if not is_list(corner) or len(corner) != 3 or not all(isinstance(n, int) for n in corner):
        return (0.0, 0.0, 0.0)
    lengths = [box.get(name, 0) for name in ("depth", "height", "width")]
    for axis, start, length, factor in zip(SPATIAL, corner[::-1], lengths, mag.factors, strict=True):
        if isinstance(length, int) and sizes.get(axis, 0) * factor < start + length:
            return triple(map(float, corner[::-1]))
    return (0.0, 0.0, 0.0)


def _voxel_size(found: DataSet) -> Lengths | None:
    """Voxel size of magnification 1 in nm; older versions have a bare list in nm."""
    scale = found.document.get("scale")
    unit = nanometers(scale.get("unit", "nm")) if isinstance(scale, Mapping) else 1.0
    values = scale.get("factor") if isinstance(scale, Mapping) else scale
    if values is None or unit is None:
        return None
    sizes = check_voxel_size(values, _source(found))
    return triple(unit * length for length in sizes[::-1])


def _mags(layer: Mapping[str, Any], found: DataSet) -> list[tuple[str, _Mag]]:
    """Path of each magnification of a layer in the folder of the data set."""
    rows = []
    for entry in expect(layer, "mags", "a list of objects", _source(found), ()):
        factors = [float(text) for text in re.findall(r"\d+", str(entry.get("mag", 1)))]
        factors = factors * 3 if len(factors) == 1 else factors
        name = "-".join(f"{factor:g}" for factor in (factors[:1] if len(set(factors)) == 1 else factors))
        path = str(PurePosixPath(str(entry.get("path") or f"{layer.get('name')}/{name}")))
        order = dict(expect(entry, "axisOrder", "an object", _source(found), {}))
        whole = set(SPATIAL) <= set(order) and all(isinstance(at, int) for at in order.values())
        if len(factors) == 3 and min(factors) > 0:
            rows.append((path, _Mag(triple(factors[::-1]), order if whole else {})))
    return rows


def _layers(found: DataSet) -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = expect(found.document, "dataLayers", "a list of objects", _source(found), ())
    return rows


def _source(found: DataSet) -> str:
    return join(found.folder, PROPERTIES)
