"""What is handed on, and how: the options of an export and their defaults."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

Format = Literal["precomputed"]


@dataclass(frozen=True)
class ExportOptions:
    """What an export holds.

    Parameters
    ----------
    format
        `precomputed` is a volume for neuroglancer, with coarser scales and segment properties.
    minimum_size
        Voxels; segments of fewer get no row.
    """

    format: Format = "precomputed"
    minimum_size: Annotated[int, Ge(0)] = 0
