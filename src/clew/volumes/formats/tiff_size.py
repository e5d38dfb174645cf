"""The voxel size of a TIFF: ImageJ's metadata, and what its resolution tags tell."""

import math
import re
from typing import Any

from clew.space import Lengths
from clew.volumes.geometry import nanometers

Size = tuple[Lengths | None, str, tuple[str, ...]]
"""Voxel size (z, y, x) nm and where it was found, or None and why not; and warnings."""
PRINTED = 1000.0
"""Pixels of electron microscopes are smaller, in nm; those of tags for printers (72 or 300 an inch) are larger."""


def tiff_voxel_size(tiff: Any) -> Size:
    """Understand ImageJ's metadata.

    Without them only the resolution in x and y can be known; then the reason tells it.
    """
    found = tiff.imagej_metadata
    tags = tiff.pages[0].tags
    resolutions = [tags[name].value if name in tags else (0, 1) for name in ("YResolution", "XResolution")]
    if not found:
        return None, f"a TIFF without ImageJ or OME metadata carries none{_hint(tags, resolutions)}", ()
    units = {axis: _unit(found.get(f"{axis}unit") or found.get("unit")) for axis in "zyx"}
    scales = {axis: None if unit == "inch" else nanometers(unit) for axis, unit in units.items()}
    z, y, x = scales["z"], scales["y"], scales["x"]
    spacing = _number(found.get("spacing"))
    if spacing is None or z is None or y is None or x is None or any(pixels == 0 for pixels, _ in resolutions):
        drawn = ", ".join(dict.fromkeys(repr(unit) for unit in units.values()))
        return None, f"ImageJ metadata have spacing {found.get('spacing')} and unit {drawn}", ()
    warnings: tuple[str, ...] = ()
    if not found.get("spacing") and int(found.get("images", 1)) > 1:
        warnings = (f"ImageJ leaves out a spacing of 1: sections are taken to be 1 {units['z']} apart",)
    shift = found.get("c0")  # -32768 in images that Fiji calls signed
    if isinstance(shift, float) and shift:
        warnings += (f"ImageJ adds {shift:g} to the values that it shows; the stored ones are read",)
    (y_pixels, y_lengths), (x_pixels, x_lengths) = ((pixels, lengths) for pixels, lengths in resolutions)
    return (z * spacing, y * y_lengths / y_pixels, x * x_lengths / x_pixels), "ImageJ metadata", warnings


def _number(spacing: Any) -> float | None:
    """What ImageJ makes of its spacing: without a sign, 1 where it is left out or 0."""
    try:
        length = abs(float(spacing or 1))
    except ValueError:
        return None
    return length if math.isfinite(length) else None


def _unit(text: Any) -> str:
    r"""A unit as people write it.

    ImageJ writes µ as \u00B5, others as UTF-8 that was read as Latin-1.
    """
    decoded = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), str(text or ""))
    return decoded.strip().strip('"').replace("Â", "")


def _hint(tags: Any, resolutions: list[tuple[int, int]]) -> str:
    """Pixels by the resolution tags, where they are those of a microscope."""
    unit = {2: 2.54e7, 3: 1e7}.get(int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 2)
    if unit is None or any(pixels <= 0 or lengths <= 0 for pixels, lengths in resolutions):
        return ""
    y, x = (unit * lengths / pixels for pixels, lengths in resolutions)
    return f" (its resolution says pixels of {y:g} × {x:g} nm, nothing says z)" if max(y, x) < PRINTED else ""
