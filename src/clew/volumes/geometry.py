"""Axes, voxel size and offset of a stored array.

They are understood from the attributes that other tools write.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clew.documents import brief, expect, is_list
from clew.errors import InputError
from clew.space import Lengths, triple

SPATIAL = ("z", "y", "x")
NANOMETERS = {
    "nm": 1.0, "nanometer": 1.0, "nanometers": 1.0, "nanometre": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "\\u00b5m": 1e3, "micron": 1e3, "microns": 1e3,
    "micrometer": 1e3, "micrometers": 1e3, "micrometre": 1e3,
    "a": 0.1, "å": 0.1, "angstrom": 0.1, "ångström": 0.1, "angstroms": 0.1, "pm": 1e-3, "picometer": 1e-3,
    "cm": 1e7, "centimeter": 1e7, "mm": 1e6, "millimeter": 1e6, "millimetre": 1e6, "m": 1e9, "meter": 1e9, "metre": 1e9,
}  # fmt: skip


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of a stored array lie.

    Parameters
    ----------
    axes : tuple of str
        Name of each stored axis, in stored order (z, y, x and at most c, t, …).
    voxel_size : (z, y, x) floats, optional
        In nm; None where nothing says it.
    offset : (z, y, x) floats, optional
        Position of the middle of the first voxel in nm; None where nothing says it in nm.
    offset_voxels : (z, y, x) floats, optional
        The same in voxels, where it is said in voxels or without a unit: in nm it follows from the voxel size in use.
    source : str
        What the voxel size was understood from, for people.
    """

    axes: tuple[str, ...]
    voxel_size: Lengths | None = None
    offset: Lengths | None = None
    source: str = ""
    offset_voxels: Lengths | None = None

    def offset_with(self, voxel_size: Lengths) -> Lengths:
        """The offset in nm with the voxel size in use; 0 where nothing says it."""
        if self.offset_voxels is not None:
            return triple(steps * length for steps, length in zip(self.offset_voxels, voxel_size, strict=True))
        return self.offset or (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class AxisOrder:
    """How a stored array becomes (z, y, x) or (c, z, y, x).

    It holds the stored axis of each of our axes; the others have size 1.
    """

    axes: str
    stored: tuple[int, ...]


def axis_order(names: Sequence[str], shape: Sequence[int], source: str) -> AxisOrder:
    """Find our axes among the stored ones by name.

    Axes of size 1 that are not z, y or x are left out.
    """
    found = {name: index for index, name in enumerate(names)}
    drawn = ", ".join(f"{name}={size}" for name, size in zip(names, shape, strict=True))
    if len(found) != len(names) or any(axis not in found for axis in SPATIAL):
        raise InputError(f"{source} needs the axes z, y and x, each once; its axes are ({drawn})")
    extra = [name for name in names if name not in SPATIAL and shape[found[name]] != 1]
    if extra not in ([], ["c"]):
        raise InputError(f"{source} has more than channels beside z, y and x: ({drawn}); choose one volume of it first")
    wanted = (*extra, *SPATIAL)
    return AxisOrder("".join(wanted), tuple(found[name] for name in wanted))


def default_axes(shape: Sequence[int], source: str, reverse: bool = False) -> tuple[str, ...]:
    """Axes where nothing names them: (t, c, z, y, x) from the right.

    `reverse` is for formats that store x first.
    """
    count = len(shape)
    if not 3 <= count <= 5:
        raise InputError(f"{source} must have 3 axes (z, y, x) or 4 (c, z, y, x), not the shape {tuple(shape)}")
    names = ("t", "c", "z", "y", "x")[5 - count :]
    if not reverse and count == 4 and shape[-1] <= 4 and shape[0] > 16:
        raise InputError(
            f"{source} of shape {tuple(shape)} seems to have its channels last; wanted (c, z, y, x): "
            "transpose it, or name its axes in the attribute axis_names"
        )
    return names[::-1] if reverse else names


def named_axes(attributes: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    """Axis names from `axis_names`, `axes`, `axistags`, `dimension_names`, … or None."""
    for key in ("axis_names", "axes", "axistags", "dimension_names", "_ARRAY_DIMENSIONS", "DIMENSION_LABELS"):
        value = attributes.get(key)
        if isinstance(value, Mapping):
            tags = value.get("axes")
            value = [tag.get("key") for tag in tags if isinstance(tag, Mapping)] if tags and is_list(tags) else None
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")] if "," in value else list(value)
        if not isinstance(value, Sequence) or not all(isinstance(name, str) and name for name in value):
            continue
        names = tuple(name.rstrip("^").lower() for name in value)
        names = tuple({"channel": "c", "time": "t"}.get(name, name) for name in names)
        if len(names) == count and (set(SPATIAL) <= set(names) or set(names) <= {"t", "c", *SPATIAL}):
            return names
    return None


def attribute_geometry(
    levels: Sequence[Mapping[str, Any]], shape: Sequence[int], source: str, reverse: bool = False
) -> Geometry:
    """Understand the attributes of an array and of the groups that hold it.

    Parameters
    ----------
    levels : sequence of mappings
        Attributes: those of the array first, then those of the groups above it.
    shape : sequence of int
        Of the stored array.
    source : str
        Name of the array in messages.
    reverse : bool
        The format stores x first (N5).

    Returns
    -------
    Geometry

    Raises
    ------
    InputError
        If the attributes contradict the shape, or cannot be understood.
    """
    named = named_axes(levels[0], len(shape))
    order = named or default_axes(shape, source, reverse)
    stored = order[::-1] if reverse and named and named[-1] == "x" else order
    axis_order(stored, shape, source)
    for depth, attributes in enumerate(levels):
        found = _voxel_size(attributes, order, source)
        if found is None:
            continue
        voxel_size, key = found
        if depth and "downsamplingFactors" in levels[0]:
            factors = _by_axis(levels[0]["downsamplingFactors"], order, source, "downsamplingFactors")
            voxel_size = triple(a * b for a, b in zip(voxel_size, factors, strict=True))
        if reverse and named is None and key in ("resolution", "voxel_size") and voxel_size[0] < voxel_size[2]:
            raise InputError(
                f"{source}: the attribute {key} means sections of {voxel_size[0]:g} and pixels of {voxel_size[2]:g} nm "
                "in N5's order (x, y, z); it was probably written (z, y, x): say which with --voxel-size z,y,x"
            )
        where = f"attribute {key}" + (f" (order {', '.join(a for a in order if a in SPATIAL)})" if reverse else "")
        return Geometry(stored, voxel_size, _offset(levels[depth:], order, voxel_size, source), where)
    return Geometry(stored, None, _offset(levels, order, None, source))


def check_voxel_size(voxel_size: Sequence[float], source: str) -> Lengths:
    """Check three finite positive numbers, and return them as floats."""
    values = _three(voxel_size)
    if values is None or min(values) <= 0:
        raise InputError(
            f"{source}: the voxel size must be three positive numbers (z, y, x) in nm, not {brief(voxel_size)}"
        )
    return values


def check_offset(offset: Sequence[float], source: str) -> Lengths:
    """Check three finite numbers, and return them as floats."""
    values = _three(offset)
    if values is None:
        raise InputError(f"{source}: the offset must be three numbers (z, y, x) in nm, not {brief(offset)}")
    return values


def nanometers(unit: Any) -> float | None:
    """Nanometers in a unit, None where the unit is not a length that we know."""
    return NANOMETERS.get(str(unit).strip().lower()) if unit else None


def _voxel_size(attributes: Mapping[str, Any], order: Sequence[str], source: str) -> tuple[Lengths, str] | None:
    units = attributes.get("units", attributes.get("unit"))
    for key in ("voxel_size", "resolution"):
        if key in attributes:
            return _lengths(attributes[key], units, order, source, key), key
    if "pixelResolution" in attributes:
        value = attributes["pixelResolution"]
        if isinstance(value, Mapping):
            units, value = value.get("unit"), value.get("dimensions")
        return _lengths(value, units, order, source, "pixelResolution"), "pixelResolution"
    if "element_size_um" in attributes:
        return _lengths(attributes["element_size_um"], "um", order, source, "element_size_um"), "element_size_um"
    transform = attributes.get("transform")
    if isinstance(transform, Mapping) and "scale" in transform:
        names = [name.lower() for name in expect(transform, "axes", "a list of texts", source, order)]
        return _lengths(transform["scale"], transform.get("units"), names, source, "transform"), "transform"
    return None


def _offset(
    levels: Sequence[Mapping[str, Any]], order: Sequence[str], voxel_size: Lengths | None, source: str
) -> Lengths | None:
    for attributes in levels:
        units = attributes.get("units", attributes.get("unit"))
        for key in ("offset", "translation"):
            if key in attributes:
                return _lengths(attributes[key], units, order, source, key, positive=False)
        if "voxel_offset" in attributes and voxel_size is not None:
            voxels = _by_axis(attributes["voxel_offset"], order, source, "voxel_offset")
            return triple(a * b for a, b in zip(voxels, voxel_size, strict=True))
        transform = attributes.get("transform")
        if isinstance(transform, Mapping) and "translate" in transform:
            names = [name.lower() for name in expect(transform, "axes", "a list of texts", source, order)]
            return _lengths(transform["translate"], transform.get("units"), names, source, "transform", positive=False)
    return None


def _lengths(value: Any, units: Any, order: Sequence[str], source: str, key: str, positive: bool = True) -> Lengths:
    """Values of an attribute as nm (z, y, x); without a unit they are nm."""
    lengths = _by_axis(value, order, source, key)
    if units is not None and not (isinstance(units, Sequence) and len(units) == 0):
        names = list(units) if is_list(units) else [units] * len(order)
        spatial = [name for name in order if name in SPATIAL]
        labels = order if len(names) == len(order) else spatial
        by_name = dict(zip(labels, names, strict=False))
        factors = [nanometers(by_name.get(axis)) for axis in SPATIAL]
        if any(factor is None for factor in factors):
            raise InputError(
                f"{source}: the unit {brief(units)} of {key} is not a length; say --voxel-size z,y,x in nm"
            )
        lengths = triple(a * float(b or 1) for a, b in zip(lengths, factors, strict=True))
    return check_voxel_size(lengths, source) if positive else check_offset(lengths, source)


def _by_axis(value: Any, order: Sequence[str], source: str, key: str) -> Lengths:
    """Order three values (or one for each stored axis, or a single one) as (z, y, x)."""
    spatial = [name for name in order if name in SPATIAL]
    try:
        values = [float(number) for number in value] if isinstance(value, Sequence) else [float(value)] * 3
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{source}: the attribute {key} must be three numbers, not {brief(value)}") from None
    names = spatial if len(values) == 3 else list(order)
    if len(values) != len(names) or sorted(spatial) != sorted(SPATIAL):
        raise InputError(f"{source}: the attribute {key} must be three numbers, not {brief(value)}")
    by_name = dict(zip(names, values, strict=True))
    return by_name["z"], by_name["y"], by_name["x"]


def _three(values: Sequence[float]) -> Lengths | None:
    """Three finite numbers as floats; None for anything else."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        return None
    return (found[0], found[1], found[2]) if len(found) == 3 and all(map(math.isfinite, found)) else None
