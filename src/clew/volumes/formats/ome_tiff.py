"""OME-TIFF: sets of files, and the voxel size in their XML."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from clew.documents import brief
from clew.errors import InputError
from clew.volumes.formats.tiff_size import Size
from clew.volumes.geometry import nanometers
from clew.volumes.location import TIFF_SUFFIXES
from clew.volumes.outside import refuse_outside


def open_set(path: Path) -> Any:
    """Open a TIFF.

    A member of a set that leaves the XML to another file is opened with that.
    """
    tiff = tifffile.TiffFile(path)
    only = next(_nodes(tiff.ome_metadata, "BinaryOnly"), None) if tiff.is_ome else None
    if only is None:
        return tiff
    tiff.close()
    master = path.parent / str(only.get("MetadataFile"))
    refuse_outside(path, master)
    if not master.is_file():
        raise InputError(
            f"{path} belongs to a set of OME-TIFF files that {master} describes, which is missing: bring it back"
        )
    if master.suffix.lower() in TIFF_SUFFIXES:
        return tifffile.TiffFile(master)
    return tifffile.TiffFile(path, omexml=master.read_text(encoding="utf-8").strip())


def members(text: str | None, path: Path) -> list[Path]:
    """The files that OME-XML names, in order.

    The file itself is among them by its present name: it may have been renamed.
    """
    own = ElementTree.fromstring(text).get("UUID") if text else None
    files = {
        path if own and (node.text or "").strip() == own else path.parent / str(node.get("FileName")): None
        for node in _nodes(text, "UUID")
        if node.get("FileName")
    }
    return list(files)


def set_of(path: Path) -> list[Path]:
    """The files of the OME-TIFF set that a file belongs to, if it does."""
    try:
        with open_set(path) as tiff:
            return members(tiff.ome_metadata, path) if tiff.is_ome else []
    except InputError:
        raise
    except Exception:  # damaged: whoever reads it says so
        return []


def check_members(tiff: Any, path: Path) -> None:
    """Refuse a set with files that are missing; tifffile would read them as zeros."""
    files = members(tiff.ome_metadata, path)
    for file in files:
        refuse_outside(path, file)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        drawn = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise InputError(
            f"{path} belongs to a set of {len(files)} OME-TIFF files, of which {len(missing)} are missing in "
            f"{path.parent}: {drawn}; bring them back"
        )


def ome_voxel_size(tiff: Any) -> Size:
    """Understand PhysicalSizeX and so on; without a unit they are µm."""
    text = tiff.ome_metadata
    try:
        pixels = next(_nodes(text, "Pixels"), None)
    except ElementTree.ParseError:
        return None, "OME metadata are no valid XML", ()
    sizes = []
    for axis in "ZYX":
        size = None if pixels is None else pixels.get(f"PhysicalSize{axis}")
        unit = "µm" if pixels is None else pixels.get(f"PhysicalSize{axis}Unit", "µm")
        scale = nanometers(unit)
        try:
            length = float(size or 0) * (scale or 0)
        except ValueError:
            length = 0.0
        if length <= 0:
            said = f"PhysicalSize{axis} {brief(size)} {unit}" if size else f"no PhysicalSize{axis}"
            return None, f"OME metadata have {said}", ()
        sizes.append(length)
    return (sizes[0], sizes[1], sizes[2]), "OME metadata", ()


def _nodes(text: str | None, name: str) -> Iterator[Any]:
    """The elements of a name, whatever the namespace."""
    if not text:
        return iter(())
    return (node for node in ElementTree.fromstring(text).iter() if node.tag.rpartition("}")[2] == name)
