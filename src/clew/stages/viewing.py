"""Open volumes in the viewer."""

from typing import Literal

from clew.space import Lengths
from clew.stages.progress import say
from clew.view.neuroglancer import Layer, view, wait
from clew.volumes.open import open_volume

Kind = Literal["image", "segmentation", "affinities"]


def show(
    raw: str,
    *,
    segmentation: str | None,
    truth: str | None,
    affinities: str | None,
    voxel_size: Lengths | None,
    port: int,
) -> None:
    """Serve the volumes to a browser on this machine until Ctrl-C."""
    paths: dict[str, tuple[str | None, Kind, bool]] = {
        "raw": (raw, "image", True),
        "segmentation": (segmentation, "segmentation", True),
        "truth": (truth, "segmentation", False),
        "affinities": (affinities, "affinities", False),
    }
    layers = []
    for name, (path, kind, visible) in paths.items():
        if path is not None:
            volume = open_volume(path, voxel_size=voxel_size)
            layers.append(Layer(name, volume, kind, volume.voxel_size, volume.offset, visible))
    viewer = view(layers, port=port)
    say(f"open {viewer.get_viewer_url()} in a browser; Ctrl-C ends")
    wait(viewer)
