"""Axes, voxel size and offset of a stored array."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clew.documents import brief
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
        What the voxel size was understood from, or why there is none, for people.
    unclear_offset : str
        Why the offset is not understood; a volume is refused unless one is given.
    warnings : tuple of str
        What a person should know of it.
    """

    axes: tuple[str, ...]
    voxel_size: Lengths | None = None
    offset: Lengths | None = None
    source: str = ""
    offset_voxels: Lengths | None = None
    unclear_offset: str = ""
    warnings: tuple[str, ...] = ()

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
    if not reverse and count > 3 and shape[-1] <= 4 and (shape[-4] > 16 or min(shape[-3:-1]) > 16):
        raise InputError(
            f"{source} of shape {tuple(shape)} seems to have its channels last; wanted (c, z, y, x): "
            "transpose it, or name its axes in the attribute axis_names"
        )
    return names[::-1] if reverse else names


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


def _three(values: Sequence[float]) -> Lengths | None:
    """Three finite numbers as floats; None for anything else."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        return None
    return (found[0], found[1], found[2]) if len(found) == 3 and all(map(math.isfinite, found)) else None
