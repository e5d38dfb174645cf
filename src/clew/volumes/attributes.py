"""Axes, voxel size and offset as programs write them into attributes.

What is not understood is no error here: the voxel size and the offset may be given.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from clew.documents import brief, is_list
from clew.errors import InputError
from clew.space import Lengths, triple
from clew.volumes.geometry import (
    SPATIAL,
    Geometry,
    axis_order,
    check_offset,
    check_voxel_size,
    default_axes,
    nanometers,
)

Attributes = Mapping[str, Any]
ONE: Lengths = (1.0, 1.0, 1.0)
SIZES = ("transform", "voxel_size", "resolution", "pixelResolution", "element_size_um")
PLACES = ("transform", "offset", "translation", "voxel_offset")
CHANNELS = ("channel", "channels", "affs", "affinities", "neighborhood")
VOXELS = ("pixel", "pixels", "px", "voxel", "voxels", "vx")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_UNIT = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Coarse:
    """A coarser scale, and the finest one beside it.

    Parameters
    ----------
    index : int
        Of the scale; 0 is the finest.
    attributes : mapping
        Of the finest scale.
    shape : tuple of int
        Of the finest scale, as stored.
    """

    index: int
    attributes: Attributes
    shape: tuple[int, ...]


def scale_and_finest(name: str) -> tuple[int, str] | None:
    """Index of a coarser scale and the name of the finest one.

    They are told by a name s1, s2, … or 1, 2, …; None for others.
    """
    found = re.fullmatch(r"(s?)([1-9]\d*)", name)
    return (int(found[2]), f"{found[1]}0") if found else None


class Size(NamedTuple):
    """A voxel size in nm that was found, (z, y, x).

    Its key, the index of the level that says it, and the factors by which what that says was multiplied.
    """

    lengths: Lengths
    key: str
    depth: int
    factors: Lengths = ONE


def named_axes(attributes: Attributes, count: int) -> tuple[str, ...] | None:
    """Axis names from `axis_names`, `axes`, `axistags`, `dimension_names`, … or None."""
    for key in ("axis_names", "axes", "axistags", "dimension_names", "_ARRAY_DIMENSIONS", "DIMENSION_LABELS"):
        value: Any = attributes.get(key)
        if isinstance(value, Mapping):
            tags = value.get("axes")
            value = [tag.get("key") for tag in tags if isinstance(tag, Mapping)] if tags and is_list(tags) else None
        if is_list(value) and all(isinstance(part, Mapping) for part in value):
            value = [part.get("name") for part in value]
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")] if "," in value else list(value)
        if not isinstance(value, Sequence) or not all(isinstance(name, str) and name for name in value):
            continue
        names = _our_names(value)
        if len(names) == count and (set(SPATIAL) <= set(names) or set(names) <= {"t", "c", *SPATIAL}):
            return names
    return None


def _our_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of axes as we call them.

    funlib marks channels by ^, and calls axes without a name d0, d1, d2.
    """
    found = [name.lower() for name in names]
    found = ["c" if name.endswith("^") or name in CHANNELS else {"time": "t"}.get(name, name) for name in found]
    numbered = [name for name in found if re.fullmatch(r"d\d", name)]
    renamed = dict(zip(numbered, SPATIAL, strict=True)) if len(numbered) == len(SPATIAL) else {}
    return tuple(renamed.get(name, name) for name in found)


def attribute_geometry(
    levels: Sequence[Attributes],
    shape: Sequence[int],
    source: str,
    reverse: bool = False,
    coarse: Coarse | None = None,
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
    coarse : Coarse, optional
        For a coarser scale of a pyramid.

    Returns
    -------
    Geometry

    Raises
    ------
    InputError
        If the axes are not understood.
    """
    named = named_axes(levels[0], len(shape))
    order = named or default_axes(shape, source, reverse)
    stored = order[::-1] if reverse and named and named[-1] == "x" else order
    axis_order(stored, shape, source)
    size, reason = None, ""
    try:
        size = _size(levels, order, _ratio(coarse, stored, shape), coarse)
        if size and reverse and named is None:
            _refuse_other_order(size)
    except InputError as error:
        size, reason = None, str(error)
    if size:
        reason = f"attribute {size.key}" + _how(size, [axis for axis in order if axis in SPATIAL] if reverse else [])
    found = Geometry(stored, size and size.lengths, None, reason, warnings=tuple(_contradictions(levels, order)))
    return _placed(found, levels, order, size)


def _how(size: Size, order: Sequence[str]) -> str:
    factors = "" if size.factors == ONE else f" × {' × '.join(f'{factor:g}' for factor in size.factors)} of the scale"
    return factors + (f" (order {', '.join(order)})" if order else "")


def _refuse_other_order(size: Size) -> None:
    """Refuse sections thinner than pixels in N5, whose order is x, y, z."""
    z, _, x = size.lengths
    if size.key in ("resolution", "voxel_size") and z < x:
        raise InputError(
            f"the attribute {size.key} means sections of {z:g} and pixels of {x:g} nm "
            "in N5's order (x, y, z); it was probably written (z, y, x)"
        )


def _size(
    levels: Sequence[Attributes], order: Sequence[str], ratio: Lengths | str | None, coarse: Coarse | None
) -> Size | None:
    """The voxel size that the attributes of an array, or else of a group above, mean."""
    found = next((size for depth in range(len(levels)) if (size := _said(levels[depth], order, depth))), None)
    if found is None or found.key == "transform":
        return found
    factors = _said_factors(levels, order, coarse)
    if found.depth == 0:
        if factors in (None, ONE) or not _is_of_finest(found, levels, order, coarse):
            return found
    elif factors is None:
        if isinstance(ratio, str):
            raise InputError(ratio)
        factors = ratio
    factors = factors or ONE
    lengths = triple(length * factor for length, factor in zip(found.lengths, factors, strict=True))
    return Size(lengths, found.key, found.depth, factors)


def _is_of_finest(own: Size, levels: Sequence[Attributes], order: Sequence[str], coarse: Coarse | None) -> bool:
    """Whether an array with factors repeats the voxel size of the finest scale.

    N5 Viewer has it so.
    """
    others = [*levels[1:], *([coarse.attributes] if coarse else [])]
    stated = next((size for attributes in others if (size := _said(attributes, order, 0))), None)
    if stated is None:
        return own.key == "pixelResolution" and "downsamplingFactors" in levels[0]
    return all(abs(a - b) <= 1e-3 * b for a, b in zip(own.lengths, stated.lengths, strict=True))


def _said_factors(levels: Sequence[Attributes], order: Sequence[str], coarse: Coarse | None) -> Lengths | None:
    """Voxels of the finest scale in one of the array, if attributes say it."""
    if "downsamplingFactors" in levels[0]:
        return _factors(levels[0]["downsamplingFactors"], order, "downsamplingFactors")
    for attributes in levels[1:]:
        for key in ("downsamplingFactors", "scales"):
            rows: Any = attributes.get(key)
            if coarse and is_list(rows) and coarse.index < len(rows) and is_list(rows[coarse.index]):
                return _factors(rows[coarse.index], order, key)
    return None


def _factors(value: Any, order: Sequence[str], key: str) -> Lengths:
    factors = _by_axis(value, order, key)
    if not all(math.isfinite(factor) and factor > 0 for factor in factors):
        raise InputError(f"the attribute {key} must be three positive numbers, not {brief(value)}")
    return factors


def _ratio(coarse: Coarse | None, stored: Sequence[str], shape: Sequence[int]) -> Lengths | str | None:
    """The factors that shapes show; text where they are no whole numbers."""
    if coarse is None or len(coarse.shape) != len(shape) or 0 in shape:
        return None
    sizes = [(coarse.shape[stored.index(axis)], shape[stored.index(axis)]) for axis in SPATIAL]
    factors = [max(round(fine / size), 1) for fine, size in sizes]
    if any(size not in (fine // step, -(-fine // step)) for (fine, size), step in zip(sizes, factors, strict=True)):
        return f"it is scale {coarse.index} of a pyramid, whose finest has the shape {coarse.shape}: no whole factor"
    return triple(map(float, factors))


def _placed(found: Geometry, levels: Sequence[Attributes], order: Sequence[str], size: Size | None) -> Geometry:
    """The geometry with the offset that the attributes mean.

    The first voxel of a coarser scale begins where that of the finest does; its middle lies further in.
    """
    factors = size.factors if size else ONE
    inwards = triple((factor - 1) / (2 * factor) for factor in factors)
    for depth, attributes in enumerate(levels):
        key = next((key for key in PLACES if _has(attributes, key, "translate")), None)
        if key is None:
            continue
        moved = inwards if size and depth >= size.depth else (0.0, 0.0, 0.0)
        try:
            values, in_voxels = _place(attributes, key, order)
        except InputError as error:
            return replace(found, unclear_offset=str(error))
        if in_voxels:
            steps = (v / f if any(moved) else v for v, f in zip(values, factors, strict=True))
            return replace(found, offset_voxels=triple(v + m for v, m in zip(steps, moved, strict=True)))
        lengths = size.lengths if size else ONE
        return replace(found, offset=triple(v + m * s for v, m, s in zip(values, moved, lengths, strict=True)))
    return replace(found, offset_voxels=inwards) if any(inwards) else found


def _place(attributes: Attributes, key: str, order: Sequence[str]) -> tuple[Lengths, bool]:
    """A place (z, y, x) that attributes say, in nm; or in voxels."""
    value, units, order = _value(attributes, key, "translate", order)
    names = {str(unit).strip().lower() for unit in (units if is_list(units) else [units])}
    if key == "voxel_offset" or names & set(VOXELS):
        return check_offset(_by_axis(value, order, key), f"the attribute {key}"), True
    return check_offset(_lengths(value, units, order, key), f"the attribute {key}"), False


def _said(attributes: Attributes, order: Sequence[str], depth: int) -> Size | None:
    """The voxel size that one level of attributes says."""
    key = next((key for key in SIZES if _has(attributes, key, "scale")), None)
    if key is None:
        return None
    value, units, order = _value(attributes, key, "scale", order)
    lengths = _lengths(value, "um" if key == "element_size_um" else units, order, key)
    return Size(check_voxel_size(lengths, f"the attribute {key}"), key, depth)


def _has(attributes: Attributes, key: str, inner: str) -> bool:
    if key != "transform":
        return attributes.get(key) not in (None, "", [], ())
    return isinstance(attributes.get(key), Mapping) and inner in attributes[key]


def _value(attributes: Attributes, key: str, inner: str, order: Sequence[str]) -> tuple[Any, Any, Sequence[str]]:
    """What an attribute says, in which unit, in which order of axes."""
    value, units = attributes[key], attributes.get("units", attributes.get("unit", _units_of_axes(attributes)))
    if key == "transform":
        names = value.get("axes", order)
        if not is_list(names) or not all(isinstance(name, str) for name in names):
            raise InputError(f"the axes of the attribute transform must be a list of texts, not {brief(names)}")
        return value[inner], value.get("units"), [name.lower() for name in names]
    if isinstance(value, Mapping) and "dimensions" in value:
        return value["dimensions"], value.get("unit"), order
    return value, units, order


def _units_of_axes(attributes: Attributes) -> list[Any] | None:
    """The units of axes that are described as objects."""
    axes: Any = attributes.get("axes")
    described = bool(axes) and is_list(axes) and all(isinstance(axis, Mapping) for axis in axes)
    return [axis.get("unit") for axis in axes] if described else None


def _lengths(value: Any, units: Any, order: Sequence[str], key: str) -> Lengths:
    """Values of an attribute as nm (z, y, x); without a unit they are nm."""
    value = ", ".join(value) if is_list(value) and all(isinstance(part, str) for part in value) else value
    lengths = _by_axis(value, order, key)
    inside = _UNIT.findall(_NUMBER.sub(" ", value)) if isinstance(value, str) else []
    units = [unit for unit in inside if unit != "x"] or units
    names = list(units) if is_list(units) else [units]
    names = names[:1] * len(order) if len(set(map(str, names))) == 1 else names
    spatial = [name for name in order if name in SPATIAL]
    if names and len(names) not in (len(order), len(spatial)):
        raise InputError(f"the units {brief(units)} of {key} must be one for each axis")
    by_name = dict(zip(order if len(names) == len(order) else spatial, names, strict=False))
    factors = [_factor(by_name.get(axis), units, key) for axis in SPATIAL]
    return triple(length * factor for length, factor in zip(lengths, factors, strict=True))


def _factor(unit: Any, units: Any, key: str) -> float:
    """Nanometers in a unit; a blank one says nothing."""
    if unit is None or not str(unit).strip():
        return 1.0
    found = nanometers(unit)
    if found is None:
        raise InputError(f"the unit {brief(units)} of {key} is not a length")
    return found


def _by_axis(value: Any, order: Sequence[str], key: str) -> Lengths:
    """Order three values (or one for each stored axis, or a single one) as (z, y, x)."""
    spatial = [name for name in order if name in SPATIAL]
    try:
        values = list(_numbers(value, spatial))
    except (TypeError, ValueError, OverflowError, KeyError):
        raise InputError(f"the attribute {key} must be three numbers, not {brief(value)}") from None
    values = values * 3 if len(values) == 1 else values
    names = spatial if len(values) == 3 else list(order)
    if len(values) != len(names) or sorted(spatial) != sorted(SPATIAL):
        raise InputError(f"the attribute {key} must be three numbers, not {brief(value)}")
    by_name = dict(zip(names, values, strict=True))
    return by_name["z"], by_name["y"], by_name["x"]


def _numbers(value: Any, spatial: Sequence[str]) -> Iterator[float]:
    """Numbers in a list, in text such as "[40, 4, 4]", or by the names of axes."""
    value = value.tolist() if hasattr(value, "tolist") else value
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    if isinstance(value, Mapping):
        yield from (float(value[axis]) for axis in spatial)
    elif isinstance(value, str):
        yield from map(float, _NUMBER.findall(value))
    elif is_list(value):
        for part in value:
            yield float(part)
    else:
        yield float(value)


def _contradictions(levels: Sequence[Attributes], order: Sequence[str]) -> Iterator[str]:
    """Two attributes of an array that say different voxel sizes."""
    said = []
    for key in SIZES:
        try:
            found = _said({name: levels[0][name] for name in (key, "unit", "units") if name in levels[0]}, order, 0)
        except InputError:
            continue
        said += [found] if found else []
    for other in said[1:]:
        if any(abs(a - b) > 1e-3 * b for a, b in zip(other.lengths, said[0].lengths, strict=True)):
            sizes = [" × ".join(f"{length:g}" for length in each.lengths) for each in (said[0], other)]
            yield f"the attribute {said[0].key} says {sizes[0]} nm (z, y, x), {other.key} says {sizes[1]}; the first is taken"
