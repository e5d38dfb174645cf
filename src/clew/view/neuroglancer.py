"""Look at arrays in neuroglancer, served from this machine to this machine.

`layers` says what is shown, `virtual_zarr` and `meshes` make of it what the browser asks for, `server` answers; here the state of
the page is laid out. The middle of a layer's first voxel lies at its offset; all layers are moved by half a voxel of the first
one, so that the coordinates that neuroglancer shows are the numbers of its voxels.
"""

import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clew.errors import InputError
from clew.proofreading.doubts import Rank
from clew.signals import StoppedError
from clew.view.cuts import STEPS, Cuts
from clew.view.fragments import overview_of
from clew.view.graphene import Graph
from clew.view.graphene_server import ROUTES, TABLE
from clew.view.keys import Keys
from clew.view.layers import Layer, Marks, check_layers, contrast
from clew.view.meshes import Meshes
from clew.view.server import PLACEHOLDER, VIEWERS, Served, add_handlers
from clew.view.virtual_zarr import VirtualZarr

if TYPE_CHECKING:
    from neuroglancer import UnsynchronizedViewer

ADDRESS = "127.0.0.1"
"""Only browsers on this machine can connect."""
AFFINITY_SHADER = """
#uicontrol float brightness slider(min=0, max=4, default=1)
void main() {
  vec3 affinity = vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), toNormalized(getDataValue(2)));
  emitRGB(brightness * affinity);
}
"""
DRAWN = {"path": "#ffee00", "one side": "#ff0000", "other side": "#0000ff"}
"""Layers in which keys draw, where segments are corrected."""
PANEL = 400
"""Pixels of a panel on a small screen, along the shorter side."""
SEGMENTS = "segmentation"
"""The layer whose segments can be selected at first."""
THRESHOLD = 0.5
"""Where the threshold begins, if nothing else is said."""


def view(
    layers: Sequence[Layer],
    *,
    position: Sequence[int] | None = None,
    port: int = 0,
    threshold: float = THRESHOLD,
    marks: Sequence[Marks] = (),
    rank: Rank = "voi",
    selected: Sequence[int] = (),
    say: Callable[[str], None] = print,
) -> "UnsynchronizedViewer":
    """Serve layers to a browser on this machine, as long as this process lives.

    Parameters
    ----------
    layers : sequence of Layer
        The first gives the coordinates of the viewer.
    position : (z, y, x) of int, optional
        Voxel of the first layer to look at; its middle if not given.
    port : int
        Port on 127.0.0.1; 0 for a free one. Ignored where a server is already running in this process.
    threshold : float
        In [0, 1], at which layers with a merge tree are shown first.
    marks : sequence of Marks
        Places that are listed and drawn over the layers.
    rank : "voi", "score" or "size"
        In which order doubtful contacts come where segments are corrected.
    selected : sequence of int
        Segments of the layer "segmentation" that are selected at first.
    say : callable
        Called with a sentence where something cannot be read while a person looks.

    Returns
    -------
    neuroglancer.UnsynchronizedViewer
        Its address is `address_of(viewer)`; hand it to `wait` to keep it alive.

    Raises
    ------
    InputError
        If there is no layer, a name comes twice, an array has the wrong number of axes, or the port is in use.
    """
    check_layers(layers)
    import neuroglancer.server

    check_port(port)
    neuroglancer.set_server_bind_address(ADDRESS, port)
    viewer = neuroglancer.UnsynchronizedViewer()
    add_handlers(neuroglancer.server.global_server, ROUTES)
    shift = tuple(size / 2 for size in layers[0].voxel_size)
    edited = next((layer for layer in layers if layer.editor is not None), None)
    layers = [*layers, *([] if edited is None else [overview_of(edited)])]
    cuts = {layer.name: None if layer.tree is None else Cuts(layer.tree) for layer in layers}
    zarrs = {layer.name: VirtualZarr(layer, shift, cuts[layer.name]) for layer in layers}
    solid = [layer for layer in layers if layer.kind == "segmentation" and layer.surfaces]
    meshes = {layer.name: Meshes(layer, shift, cuts[layer.name]) for layer in solid}
    keys = None if edited is None else Keys(Graph(edited, layers[0].voxel_size), rank)
    viewer.clew = Served(make_state(layers, position, threshold, marks, selected), zarrs, meshes, say, keys)
    VIEWERS[viewer.token] = viewer.clew
    return viewer


def address_of(viewer: "UnsynchronizedViewer") -> str:
    """The address to open in a browser."""
    import neuroglancer

    return f"{neuroglancer.server.get_server_url()}/v/{viewer.token}/"


def wait(viewer: "UnsynchronizedViewer") -> None:
    """Keep a viewer alive until Ctrl-C, then stop the server."""
    import neuroglancer

    try:
        while viewer is not None:
            time.sleep(1)
    except KeyboardInterrupt as error:
        neuroglancer.stop()
        if isinstance(error, StoppedError):
            raise


def make_state(
    layers: Sequence[Layer],
    position: Sequence[int] | None,
    threshold: float,
    marks: Sequence[Marks] = (),
    selected: Sequence[int] = (),
) -> dict[str, Any]:
    """The state of the page, with addresses that begin with a placeholder."""
    first, sliding = layers[0], any(layer.tree is not None for layer in layers)
    middle = [length // 2 for length in first.data.shape[-3:]] if position is None else position
    start = [place + offset / step for place, offset, step in zip(middle, first.offset, first.voxel_size, strict=True)]
    step = min(STEPS, max(0, round(threshold * STEPS)))
    lengths = np.array(first.data.shape[-3:]) * first.voxel_size / min(first.voxel_size)
    sizes = zip("xyz", reversed(first.voxel_size), strict=True)
    space = {axis: [float(size) * 1e-9, "m"] for axis, size in sizes}
    state: dict[str, Any] = {
        "dimensions": space | ({"t": [1 / STEPS, ""]} if sliding else {}),
        "position": [float(place) + 0.5 for place in reversed(start)] + [step + 0.5] * sliding,
        "crossSectionScale": float(lengths.max() / PANEL),
        "projectionScale": float(np.linalg.norm(lengths)),
        "crossSectionBackgroundColor": "#000000",
        "layers": [
            *(
                _layer_state(layer, step, selected) if layer.editor is None else _graph_state(layer, layers[0])
                for layer in layers
            ),
            *(_marks_state(each, layers, space) for each in marks),
        ],
        "layout": "4panel",
    }
    if any(each.marks for each in marks):
        state["selectedLayer"] = {"layer": next(each.name for each in marks if each.marks), "visible": True}
    edited = next((layer.name for layer in layers if layer.editor is not None), None)
    if edited:
        state["selectedLayer"] = {"layer": edited, "visible": True}
        state["layers"] += [_marks_state(Marks(name, colour, []), layers, space) for name, colour in DRAWN.items()]
    if sliding:
        palette = {"tools": [{"type": "dimension", "dimension": "t"}], "side": "right", "row": 0, "size": 220}
        state["toolPalettes"] = {"threshold": palette}
    return state


def _layer_state(layer: Layer, step: int, selected: Sequence[int]) -> dict[str, Any]:
    source: Any = f"zarr3://{PLACEHOLDER}/zarr/{layer.name}/"
    state = {"name": layer.name, "visible": layer.visible}
    if layer.kind == "segmentation":
        mesh = f"precomputed://{PLACEHOLDER}/mesh/{layer.name}/{step if layer.tree else 0}/"
        chosen = {"segments": [str(segment) for segment in selected]} if layer.name == SEGMENTS else {}
        return (
            state
            | chosen
            | {
                "type": "segmentation",
                "source": [source, mesh] if layer.surfaces else source,
                "selectedAlpha": 0.35,
                "notSelectedAlpha": 0.2,
            }
        )
    if layer.kind == "affinities":
        sizes = zip("zyx", layer.voxel_size, strict=True)
        axes = {"c^": [1, ""]} | {axis: [float(size) * 1e-9, "m"] for axis, size in sizes}
        named = {"url": source, "transform": {"outputDimensions": axes}}  # c^: a channel that the shader reads
        return state | {"type": "image", "source": named, "shader": AFFINITY_SHADER, "opacity": 0.6}
    return state | {
        "type": "image",
        "source": source,
        "shaderControls": {"normalized": {"range": contrast(layer.data)}},
    }


def _graph_state(layer: Layer, first: Layer) -> dict[str, Any]:
    """A layer whose segments are corrected.

    M and C, with shift, are neuroglancer's tools for that.
    """
    sizes, places = np.array(layer.voxel_size), np.array(layer.offset)
    low = ((places + (np.array(first.voxel_size) - sizes) / 2) / sizes)[::-1]
    axes = {axis: [float(size) * 1e-9, "m"] for axis, size in zip("xyz", sizes[::-1], strict=True)}
    matrix = np.column_stack([np.eye(3), low]).tolist()
    source = {
        "url": f"graphene://{PLACEHOLDER}/segmentation/table/{TABLE}",
        "transform": {"matrix": matrix, "outputDimensions": axes},
    }
    return {"type": "segmentation", "name": layer.name, "source": source, "visible": layer.visible, "tab": "graph",
            "selectedAlpha": 0.4, "notSelectedAlpha": 0.15,
            "toolBindings": {"M": "grapheneMergeSegments", "C": "grapheneMulticutSegments"}}  # fmt: skip


def _marks_state(marks: Marks, layers: Sequence[Layer], space: dict[str, Any]) -> dict[str, Any]:
    """Points in the voxels of the first layer, and their list."""
    points = []
    for number, mark in enumerate(marks.marks, 1):
        voxel = [place / size + 0.5 for place, size in zip(mark.position, layers[0].voxel_size, strict=True)]
        points.append({"type": "point", "id": str(number), "point": voxel[::-1], "description": mark.text})
    points.reverse()  # the page shows the end of its list first
    source = {"url": "local://annotations", "transform": {"outputDimensions": space}}
    return {"type": "annotation", "name": marks.name, "source": source, "annotationColor": marks.colour, "annotations": points,
            "tab": "annotations"}  # fmt: skip


def check_port(port: int) -> None:
    """Refuse a port that is in use; 0 stands for a free one."""
    import neuroglancer.server

    if not port or neuroglancer.server.is_server_running():
        return
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((ADDRESS, port))
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror}): give another --port, or none for a free one"
            ) from error
