"""Sections of labels as TIFF files that Fiji opens as a stack."""

import io

import numpy as np
import tifffile
from numpy.typing import NDArray

from clew.space import Lengths

NANOMETERS = 1000.0
"""In a µm."""


def section_file(section: NDArray[np.unsignedinteger], voxel_size: Lengths) -> bytes:
    """A section (y, x) of uint16 or uint32 as a TIFF file.

    It has its voxel size (z, y, x) as ImageJ writes it.
    """
    z, y, x = (size / NANOMETERS for size in voxel_size)
    file = io.BytesIO()
    known = section.dtype == np.uint16  # what ImageJ itself can show; Bio-Formats opens uint32
    tifffile.imwrite(
        file, section, imagej=known, resolution=(1 / x, 1 / y), compression="zlib", photometric="minisblack",
        metadata={"axes": "YX", "unit": "um", "spacing": z},
    )  # fmt: skip
    return file.getvalue()
