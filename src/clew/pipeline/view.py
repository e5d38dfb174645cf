"""`clew view`: volumes → a page in the browser."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from clew.pipeline._declare import stage
from clew.pipeline._files import open_input, warn_all
from clew.pipeline._options import VoxelSize
from clew.pipeline._progress import say
from clew.view import neuroglancer

Kind = Literal["image", "segmentation", "affinities"]


@stage
def view(
    raw: str,
    *,
    segmentation: str | None = None,
    truth: str | None = None,
    affinities: str | None = None,
    voxel_size: VoxelSize,
    port: Annotated[int, Ge(0)] = 0,
) -> None:
    """Look at volumes in the browser (neuroglancer); runs until Ctrl-C.

    Parameters
    ----------
    raw
        Raw volume (z, y, x).
    segmentation, truth
        Label volumes (z, y, x).
    affinities
        Affinities (offset, z, y, x).
    port
        Port on this machine; 0 takes a free one.
    """
    paths: dict[str, tuple[str | None, Kind, bool]] = {
        "raw": (raw, "image", True),
        "segmentation": (segmentation, "segmentation", True),
        "truth": (truth, "segmentation", False),
        "affinities": (affinities, "affinities", False),
    }
    layers = []
    for name, (path, kind, visible) in paths.items():
        if path is not None:
            volume = open_input(path, voxel_size.voxel_size)
            layers.append(neuroglancer.Layer(name, volume, kind, volume.voxel_size, volume.offset, visible))
    warn_all(_apart(layers))
    viewer = neuroglancer.view(layers, port=port)
    say(f"open {viewer.get_viewer_url()} in a browser; Ctrl-C ends")
    neuroglancer.wait(viewer)


def _apart(layers: Sequence[neuroglancer.Layer]) -> Iterator[str]:
    """Sentences about layers that share no place with the first one."""
    first, *others = layers
    low, high = _extent(first)
    for layer in others:
        start, end = _extent(layer)
        if (start >= high).any() or (end <= low).any():
            yield (f"{layer.name} lies from {_text(start)} to {_text(end)} nm (z, y, x), {first.name} from {_text(low)} to "
                   f"{_text(high)}: they share no place; clew convert --offset z,y,x moves one of them")  # fmt: skip


def _extent(layer: neuroglancer.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of a layer in nm, (z, y, x)."""
    size = np.array(layer.voxel_size)
    low = np.array(layer.offset) - size / 2
    return low, low + size * layer.data.shape[-3:]


def _text(corner: np.ndarray) -> str:
    return ", ".join(f"{place:g}" for place in corner)
