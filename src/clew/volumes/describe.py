"""What a volume is, as rows of text."""

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from clew.space import Triple
from clew.volumes.affinities import recorded_offsets
from clew.volumes.warnings import volume_warnings

if TYPE_CHECKING:
    from clew.volumes.volume import Volume


def describe_rows(volume: "Volume", notes: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """Facts about a volume, as pairs (name, value)."""
    spatial = volume.shape[-3:]
    extent = [size * length / 1000 for size, length in zip(spatial, volume.voxel_size, strict=True)]
    rows = [
        ("source", volume.source),
        ("format", volume.format),
        ("axes", f"({', '.join(volume.axes)})"),
        ("shape", _times(volume.shape)),
        ("voxels", f"{math.prod(spatial) / 1e6:.4g} million"),
        ("dtype", str(volume.dtype)),
        ("voxel size", f"{_times(volume.voxel_size)} nm (z, y, x), {volume.voxel_size_source}"),
        ("offset", f"({', '.join(_number(value) for value in volume.offset)}) nm (z, y, x)"),
        ("extent", f"{' × '.join(f'{value:.4g}' for value in extent)} µm (z, y, x)"),
        ("chunks", "none" if volume.chunks is None else _times(volume.chunks)),
        ("uncompressed", _bytes(volume.nbytes)),
        *notes,
    ]
    if volume.axes == "czyx":
        rows.append(("channel offsets", _offsets(recorded_offsets(volume))))
    return [*rows, *_recorded(volume.attributes), *(("warning", text) for text in volume_warnings(volume))]


def _offsets(offsets: Iterable[Triple] | None) -> str:
    if offsets is None:
        return "not recorded"
    return " ".join(f"({z},{y},{x})" for z, y, x in offsets) + " voxels (z, y, x)"


def _recorded(attributes: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in attributes.items():
        if name != "offsets":
            yield name.replace("_", " "), value if isinstance(value, str) else json.dumps(value, default=str)


def _times(values: Iterable[float]) -> str:
    return " × ".join(_number(value) for value in values)


def _number(value: float) -> str:
    return repr(int(value)) if float(value).is_integer() else repr(float(value))


def _bytes(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
