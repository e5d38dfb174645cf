"""Look at arrays in neuroglancer, served from this machine to this machine."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clew.errors import InputError
from clew.grey import percentiles, sample_pieces
from clew.signals import StoppedError

if TYPE_CHECKING:
    from neuroglancer import Viewer

ADDRESS = "127.0.0.1"
"""Only browsers on this machine can connect."""
AXES = ("z", "y", "x")
AFFINITY_SHADER = """
#uicontrol float brightness slider(min=0, max=4, default=1)
void main() {
  vec3 affinity = vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), toNormalized(getDataValue(2)));
  emitRGB(brightness * affinity);
}
"""
PANEL = 400
"""Pixels of a panel on a small screen, along the shorter side."""
SHOWABLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")


@dataclass(frozen=True)
class Layer:
    """An array and how to look at it.

    Parameters
    ----------
    name : str
        Name in the viewer, one for each layer.
    data : array-like
        (z, y, x), or (offset, z, y, x) for affinities; anything with shape, dtype and slicing, so that a large array
        is read only where one looks.
    kind : "image", "segmentation" or "affinities"
        Grey, coloured by id, or the first three channels as red, green and blue.
    voxel_size : sequence of 3 float
        In nm, (z, y, x).
    offset : sequence of 3 float
        Place of the first voxel in nm, (z, y, x).
    visible : bool
        Whether the layer is shown at the start.
    """

    name: str
    data: Any
    kind: Literal["image", "segmentation", "affinities"]
    voxel_size: Sequence[float]
    offset: Sequence[float] = (0.0, 0.0, 0.0)
    visible: bool = True


def view(layers: Sequence[Layer], *, position: Sequence[int] | None = None, port: int = 0) -> "Viewer":
    """Serve layers to a browser on this machine, as long as this process lives.

    Parameters
    ----------
    layers : sequence of Layer
        The first gives the coordinates of the viewer.
    position : (z, y, x) of int, optional
        Voxel of the first layer to look at; its middle if not given.
    port : int
        Port on 127.0.0.1; 0 for a free one. Ignored where a server is already running in this process.

    Returns
    -------
    neuroglancer.Viewer
        Its address is ``viewer.get_viewer_url()``; hand it to `wait` to keep it alive.

    Raises
    ------
    InputError
        If there is no layer, a name comes twice, or an array has the wrong number of axes.
    """
    _check(layers)
    import neuroglancer

    neuroglancer.set_server_bind_address(ADDRESS, port)
    viewer = neuroglancer.Viewer()
    first = layers[0]
    middle = [length // 2 for length in first.data.shape[-3:]] if position is None else position
    start = [place + offset / step for place, offset, step in zip(middle, first.offset, first.voxel_size, strict=True)]
    with viewer.txn() as state:
        state.dimensions = neuroglancer.CoordinateSpace(
            names=["x", "y", "z"], units="nm", scales=[float(step) for step in reversed(first.voxel_size)]
        )
        state.position = [float(place) + 0.5 for place in reversed(start)]
        state.layout = "4panel"
        state.cross_section_scale, state.projection_scale = _zoom(first)
        state.cross_section_background_color = "#000000"
        for layer in layers:
            state.layers.append(name=layer.name, layer=_make_layer(layer), visible=layer.visible)
    return viewer


def wait(viewer: "Viewer") -> None:
    """Keep a viewer alive until Ctrl-C, then stop the server."""
    import neuroglancer

    try:
        while viewer is not None:
            time.sleep(1)
    except KeyboardInterrupt as error:
        neuroglancer.stop()
        if isinstance(error, StoppedError):
            raise


def _zoom(layer: Layer) -> tuple[float, float]:
    """Smallest voxel edges to a pixel of a section, and to the 3D view.

    A section fills a panel of `PANEL` pixels, and the 3D view shows the whole diagonal.
    """
    lengths = np.array(layer.data.shape[-3:]) * layer.voxel_size / min(layer.voxel_size)
    return float(lengths.max() / PANEL), float(np.linalg.norm(lengths))


def _check(layers: Sequence[Layer]) -> None:
    if not layers:
        raise InputError("give at least one layer to look at; there is none")
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        raise InputError(f"layers must have different names, not {', '.join(names)}")
    for layer in layers:
        wanted = 4 if layer.kind == "affinities" else 3
        if len(layer.data.shape) != wanted:
            axes = "(offset, z, y, x)" if wanted == 4 else "(z, y, x)"
            raise InputError(f"layer {layer.name} ({layer.kind}) must be {axes}, not of shape {layer.data.shape}")
        if wanted == 4 and layer.data.shape[0] < 3:
            raise InputError(f"layer {layer.name} must have at least 3 affinity channels, not {layer.data.shape[0]}")


def _make_layer(layer: Layer) -> Any:
    import neuroglancer

    source = _make_source(layer)
    if layer.kind == "segmentation":
        return neuroglancer.SegmentationLayer(source=source, selected_alpha=0.35, not_selected_alpha=0.2)
    if layer.kind == "affinities":
        return neuroglancer.ImageLayer(source=source, shader=AFFINITY_SHADER, opacity=0.6)
    controls = {"normalized": {"range": _contrast(layer.data)}}
    return neuroglancer.ImageLayer(source=source, shader_controls=controls)


def _make_source(layer: Layer) -> Any:
    """Wrap an array as a data source with its axes, voxel size and position.

    Fractions of voxels are kept.
    """
    import neuroglancer

    channels = ["c^"] if layer.kind == "affinities" else []
    space = neuroglancer.CoordinateSpace(
        names=[*channels, *AXES],
        units=["" for _ in channels] + ["nm"] * 3,
        scales=[1.0 for _ in channels] + [float(step) for step in layer.voxel_size],
    )
    voxels = [0.0 for _ in channels]
    voxels += [offset / step for offset, step in zip(layer.offset, layer.voxel_size, strict=True)]
    whole = np.rint(voxels)
    volume = neuroglancer.LocalVolume(
        data=_showable(layer.data, layer.kind),
        dimensions=space,
        volume_type="segmentation" if layer.kind == "segmentation" else "image",
        voxel_offset=whole.astype(np.int64).tolist(),
    )
    rest = np.array(voxels) - whole
    if np.abs(rest).max() < 1e-3:
        return volume
    matrix = np.concatenate([np.eye(len(rest)), rest[:, None]], axis=1)
    transform = neuroglancer.CoordinateSpaceTransform(output_dimensions=space, matrix=matrix)
    return neuroglancer.LayerDataSource(url=volume, transform=transform)


def _showable(data: Any, kind: str) -> Any:
    """Give neuroglancer a type it knows.

    Ids become unsigned integers, other numbers float32.
    """
    dtype = np.dtype(data.dtype.name if hasattr(data.dtype, "name") else data.dtype)
    if kind == "segmentation" and dtype.kind == "i":
        return _Converted(data, np.dtype(f"uint{8 * dtype.itemsize}"))
    if dtype.name in SHOWABLE:
        return data
    if dtype.kind == "b":
        return _Converted(data, np.dtype(np.uint8))
    return _Converted(data, np.dtype(np.float32))


class _Converted:
    """An array whose parts are converted when they are read."""

    def __init__(self, data: Any, dtype: np.dtype) -> None:
        self.data, self.dtype, self.shape = data, dtype, tuple(data.shape)

    def __getitem__(self, selection: Any) -> np.ndarray:
        return np.asarray(self.data[selection]).astype(self.dtype)


def _contrast(data: Any) -> list[float]:
    """The grey values that are shown as black and white.

    For uint8 they are those of the type, else percentiles of a sample of the whole volume.
    """
    if str(getattr(data.dtype, "name", data.dtype)) == "uint8":
        return [0, 255]
    low, high = percentiles(list(sample_pieces(data)), 0.5, 99.5) or (0.0, 1.0)
    return [low, high if high > low else low + 1]
