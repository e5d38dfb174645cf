"""OME-Zarr metadata (0.4 and 0.5): voxel size and offset in multiscales."""

from collections.abc import Mapping, Sequence
from typing import Any

from clew.documents import expect
from clew.errors import InputError
from clew.space import Lengths, triple
from clew.volumes.geometry import SPATIAL, Geometry, nanometers
from clew.volumes.outside import refuse_upwards


def multiscale(attributes: Mapping[str, Any], source: str) -> Mapping[str, Any] | None:
    """The first multiscale image in a group's attributes, or None."""
    return next(iter(multiscales(attributes, source)), None)


def multiscales(attributes: Mapping[str, Any], source: str) -> list[Mapping[str, Any]]:
    """The multiscale images in a group's attributes.

    In 0.5 they lie under `ome`, in 0.4 at the top. Their types are checked.
    """
    ome = expect(attributes, "ome", "an object", source, attributes)
    images = [image for image in expect(ome, "multiscales", "a list of objects", source, ()) if image.get("datasets")]
    for image in images:
        expect(image, "axes", "a list of objects or names", source, ())
        for part in (image, *expect(image, "datasets", "a list of objects", source)):
            for transform in expect(part, "coordinateTransformations", "a list of objects", source, ()):
                for kind in ("scale", "translation"):
                    expect(transform, kind, "a list of numbers", source, ())
        for dataset in image["datasets"]:
            expect(dataset, "path", "text", source)
    return images


def is_plate(attributes: Mapping[str, Any]) -> bool:
    """Whether a group holds images of many wells."""
    inner = attributes.get("ome")
    return "plate" in attributes or (isinstance(inner, Mapping) and "plate" in inner)


def scale_names(image: Mapping[str, Any]) -> list[str]:
    """Paths of the scales in the group, finest first."""
    names = [str(dataset["path"]).strip("/") for dataset in image["datasets"]]
    for name in names:
        refuse_upwards("an OME-Zarr", name)
    return names


def ome_geometry(image: Mapping[str, Any], name: str, shape: Sequence[int], source: str) -> Geometry | None:
    """Axes, voxel size and offset of one scale.

    None where the image does not hold the scale or names no axes.
    """
    axes = image.get("axes")
    if name not in scale_names(image) or not axes:
        return None
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
    names = tuple(_axis_name(axis) for axis in axes)
    if len(names) != len(shape):
        raise InputError(f"{source}: OME multiscales name the axes {names}, the array has the shape {tuple(shape)}")
    dataset = image["datasets"][scale_names(image).index(name)]
    transforms = [*dataset.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]
    strange = [str(transform.get("type")) for transform in transforms if not _is_known(transform, len(names))]
    if strange:
        reason = f"its OME transformation {strange[0]} is not understood for {len(names)} axes"
        return Geometry(names, source=reason, warnings=(f"{reason} and is left out, with all others",))
    if not any(transform.get("type") == "scale" for transform in transforms):
        return Geometry(names, source="its OME multiscales have no scale")
    scale, shift = _compose(transforms, len(names))
    units = {axis_name: nanometers(axis.get("unit")) for axis_name, axis in zip(names, axes, strict=True)}
    if any(axis not in units for axis in SPATIAL):
        return Geometry(names)
    place = [names.index(axis) for axis in SPATIAL]
    if any(units[axis] is None for axis in SPATIAL):
        steps = triple(shift[index] / scale[index] if scale[index] else 0.0 for index in place)
        reason = f"its OME multiscales give a scale of {scale} without a unit of length"
        return Geometry(names, source=reason, offset_voxels=steps)
    lengths = [float(units[axis] or 0) for axis in SPATIAL]
    voxel_size = [scale[index] * length for index, length in zip(place, lengths, strict=True)]
    offset = [shift[index] * length for index, length in zip(place, lengths, strict=True)]
    return Geometry(
        names,
        (voxel_size[0], voxel_size[1], voxel_size[2]),
        (offset[0], offset[1], offset[2]),
        "OME multiscales",
    )


def own_transform(image: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a group of N5 says of one scale, as COSEM has it: `transform`."""
    datasets = [dataset for dataset in image["datasets"] if str(dataset["path"]).strip("/") == name]
    return {"transform": datasets[0]["transform"]} if datasets and "transform" in datasets[0] else {}


def ome_attributes(name: str, axes: str, scales: Mapping[str, tuple[Lengths, Lengths]]) -> dict[str, Any]:
    """Attributes (OME-Zarr 0.5) of a group of scales, finest first.

    Each scale has a voxel size and an offset, (z, y, x) in nm.
    """
    spatial = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in SPATIAL]
    channel = [{"name": "c", "type": "channel"}] if axes.startswith("c") else []
    image = {
        "name": name,
        "axes": [*channel, *spatial],
        "datasets": [
            {
                "path": path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0] * len(channel) + list(voxel_size)},
                    {"type": "translation", "translation": [0.0] * len(channel) + list(offset)},
                ],
            }
            for path, (voxel_size, offset) in scales.items()
        ],
    }
    return {"ome": {"version": "0.5", "multiscales": [image]}}


def _axis_name(axis: Mapping[str, Any]) -> str:
    name = str(axis.get("name", "")).lower()
    return {"channel": "c", "time": "t"}.get(name, "c" if axis.get("type") == "channel" else name)


def _is_known(transform: Mapping[str, Any], count: int) -> bool:
    kind = transform.get("type")
    return kind == "identity" or (kind in ("scale", "translation") and len(transform.get(str(kind), ())) == count)


def _compose(transforms: Sequence[Mapping[str, Any]], count: int) -> tuple[list[float], list[float]]:
    """Apply the transformations in order: x ↦ scale · x + shift."""
    scale, shift = [1.0] * count, [0.0] * count
    for transform in transforms:
        if transform["type"] == "scale":
            scale = [a * float(b) for a, b in zip(scale, transform["scale"], strict=True)]
            shift = [a * float(b) for a, b in zip(shift, transform["scale"], strict=True)]
        elif transform["type"] == "translation":
            shift = [a + float(b) for a, b in zip(shift, transform["translation"], strict=True)]
    return scale, shift
