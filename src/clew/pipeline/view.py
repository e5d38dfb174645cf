"""`clew view`: volumes → a page in the browser."""

from typing import Annotated, Literal

from annotated_types import Ge

from clew.pipeline._declare import stage
from clew.pipeline._files import open_input
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
    viewer = neuroglancer.view(layers, port=port)
    say(f"open {viewer.get_viewer_url()} in a browser; Ctrl-C ends")
    neuroglancer.wait(viewer)
