"""N5 of BigDataViewer and BigStitcher: the voxel size stands in an XML beside it."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from clew.errors import InputError
from clew.volumes.location import is_remote

_PLACE = re.compile(r"(.+)/setup(\d+)/timepoint\d+/s\d+")
MOST_FILES = 20
"""XML files that are looked into."""


def size_beside(folder: str) -> dict[str, Any]:
    """The voxel size of the finest scale as an attribute; {} where no XML says it.

    Parameters
    ----------
    folder : str
        Of an array, ROOT/setup0/timepoint0/s0.
    """
    found = None if is_remote(folder) else _PLACE.fullmatch(folder)
    if found is None:
        return {}
    from clew.volumes.formats.hdf5_dialects import read_xml, setup_voxel_size

    root = Path(found[1]).resolve()
    for xml in sorted(root.parent.glob("*.xml"))[:MOST_FILES]:
        with suppress(InputError):  # XML of other programs may lie there
            name = (read_xml(xml).findtext("SequenceDescription/ImageLoader/n5") or "").strip()
            size = setup_voxel_size(xml, int(found[2])) if name and (xml.parent / name).resolve() == root else None
            if size is not None:
                return {"pixelResolution": {"dimensions": list(size[::-1]), "unit": "nm"}}
    return {}
