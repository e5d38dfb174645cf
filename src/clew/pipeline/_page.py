"""What `clew view` and `clew proofread` share: layers of paths, and the page."""

import getpass
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from clew.errors import InputError
from clew.pipeline._curve import used_threshold
from clew.pipeline._files import FILE_NAMES, chosen_threshold, is_growing, open_input, warn_all
from clew.pipeline._progress import say, warn
from clew.pipeline._tables import load_merge_tree
from clew.pipeline._viewed import Growing
from clew.replace import refuse_unwritable, written_beside
from clew.segmentation.agglomeration import MergeTree
from clew.space import Lengths, triple
from clew.view import browser, neuroglancer, server
from clew.view.layers import Editor, Kind, Layer, Mark, Marks
from clew.volumes.location import join
from clew.volumes.scales import coarser_than, open_scales

LAYERS: dict[str, tuple[Kind, bool]] = {
    "raw": ("image", True),
    "affinities": ("affinities", False),
    "fragments": ("segmentation", False),
    "segmentation": ("segmentation", True),
    "truth": ("segmentation", False),
}
"""Kind of each layer, and whether it is shown at the start; from the lowest to the uppermost."""


class Page:
    """The page that shows layers, and what is kept of it.

    Parameters
    ----------
    port : int
        0 for a free one.
    state : str, optional
        File in which the view is kept.
    screenshot : str, optional
        Picture to write instead of waiting for a browser.

    Raises
    ------
    InputError
        For a port that is in use, files that cannot be written, a state that is none, or a picture without a browser.
    """

    def __init__(self, port: int, state: str | None, screenshot: str | None = None) -> None:
        neuroglancer.check_port(port)
        self.port, self.state, self.screenshot = port, state, screenshot
        self.earlier = _kept(state)
        if screenshot:
            browser.needed_browser()
            refuse_unwritable(Path(screenshot))

    def serve(
        self,
        layers: Sequence[Layer],
        threshold: float,
        marks: Sequence[Marks] = (),
        start: Mark | None = None,
        **options: Any,
    ) -> None:
        """Show layers until Ctrl-C, or take the picture; begin at a mark."""
        warn_all(_apart(layers))
        if start is not None:
            options |= {"position": _voxel(start, layers[0]), "selected": start.segments}
        viewer = neuroglancer.view(layers, port=self.port, threshold=threshold, marks=marks, say=warn, **options)
        if self.earlier:
            viewer.clew.state = json.loads(server.readdressed(self.earlier, server.PLACEHOLDER))
        address = neuroglancer.address_of(viewer)
        if self.screenshot:
            say(f"{browser.needed_browser()} draws {self.screenshot}")
            _take(self.screenshot, browser.screenshot(viewer, address, _addressed(viewer, address)))
            return
        if self.state:
            kept = Path(self.state)
            viewer.clew.keep = lambda text: _keep(kept, text)
        _invite(address)
        neuroglancer.wait(viewer)


def tree_of(paths: dict[str, str], threshold: float | None) -> tuple[MergeTree | None, float]:
    """The merge tree, and the threshold to begin at."""
    if "merge_tree" not in paths:
        if "fragments" in paths and "segmentation" not in paths:
            warn(f"without a merge tree ({FILE_NAMES['merge_tree']}) the fragments are shown as they are")
        return None, threshold or 0.0
    if "fragments" not in paths:
        raise InputError(f"{paths['merge_tree']} is shown on its fragments: give --fragments, too")
    tree, attributes = load_merge_tree(paths["merge_tree"])
    if threshold is None:
        threshold = used_threshold(paths["merge_tree"], paths.get("segmentation"))
    try:
        return tree, chosen_threshold(threshold, attributes, tree.score, paths["merge_tree"])
    except InputError:
        return tree, neuroglancer.THRESHOLD


def layers_of(
    paths: dict[str, str], voxel_size: Lengths | None, tree: MergeTree | None, *, hidden: Sequence[str] = ()
) -> list[Layer]:
    """The layers of all that is there.

    With a merge tree, the segmentation is made of the fragments.
    """
    layers: list[Layer] = []
    for name, (_, shown) in LAYERS.items():
        path, visible = paths.get(name), shown and name not in hidden
        if name == "segmentation" and tree is not None:
            layers.append(layer_of(name, paths["fragments"], visible, layers, voxel_size, tree))
        elif path is not None:
            further = {"affinities": ("fragments", "segmentation"), "fragments": ("segmentation",)}.get(name, (name,))
            alone = tree is None and not any(each in paths for each in further)
            layers.append(layer_of(name, path, visible or alone, layers, voxel_size))
    return layers


def layer_of(
    name: str,
    path: str,
    visible: bool,
    lower: Sequence[Layer],
    voxel_size: Lengths | None,
    tree: MergeTree | None = None,
    editor: Editor | None = None,
) -> Layer:
    """A layer; one that a run is writing lies where the lowest layer does."""
    kind: Kind = "segmentation" if editor else LAYERS[name][0]
    if is_growing(path):
        size, offset = (lower[0].voxel_size, lower[0].offset) if lower else (voxel_size, None)
        if size is None:
            raise InputError(f"{path} is not finished and does not say its voxel size yet: give --voxel-size, or --raw")
        growing = Growing(join(path, "s0"), triple(size), triple(offset or (0.0, 0.0, 0.0)))
        _, *coarser = coarser_than(growing)
        return Layer(name, growing, kind, growing.voxel_size, growing.offset, visible, coarser, tree, changing=True)
    volume = open_input(path, voxel_size)
    finest, *coarser = open_scales(path, volume)
    return Layer(name, finest.data, kind, volume.voxel_size, volume.offset, visible, coarser, tree, editor=editor)


def _voxel(mark: Mark, layer: Layer) -> list[int]:
    """The voxel of a layer at a mark."""
    found = np.rint(np.divide(np.subtract(mark.position, layer.offset), layer.voxel_size))
    return [int(place) for place in found]


def _invite(address: str) -> None:
    """Say what to open, and what to type on another machine."""
    say(f"open {address} in a browser; Ctrl-C ends")
    port = address.split(":")[2].partition("/")[0]
    say(
        f"from another machine: ssh -L {port}:127.0.0.1:{port} {getpass.getuser()}@{socket.gethostname()}, then the same address"
    )


def _kept(path: str | None) -> str | None:
    """The state in a file, as JSON; an address that ends in one is understood, too."""
    if path is None:
        return None
    refuse_unwritable(Path(path))
    if not Path(path).exists():
        return None
    text = Path(path).read_text(errors="replace").strip()
    text = unquote(text.partition("#!")[2]) if "#!" in text and not text.startswith("{") else text
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "layers" not in found:
        raise InputError(f"{path} is no state of the viewer (JSON with layers): give another name for --state")
    return text


def _keep(path: Path, text: str) -> None:
    if "layers" in json.loads(text):
        with written_beside(path, overwrite=True) as partial:
            partial.write_text(text + "\n")


def _addressed(viewer: Any, address: str) -> str:
    """The state of a viewer with its own addresses."""
    return server.readdressed(json.dumps(viewer.clew.state), address.rstrip("/").replace("/v/", "/clew/"))


def _take(path: str, picture: bytes) -> None:
    with written_beside(Path(path), overwrite=True) as partial:
        partial.write_bytes(picture)
    say(f"{path} is written")


def _apart(layers: Sequence[Layer]) -> Iterator[str]:
    """Sentences about layers that share no place with the first one."""
    first, *others = layers
    low, high = _extent(first)
    for layer in others:
        start, end = _extent(layer)
        if (start >= high).any() or (end <= low).any():
            yield (f"{layer.name} lies from {_text(start)} to {_text(end)} nm (z, y, x), {first.name} from {_text(low)} to "
                   f"{_text(high)}: they share no place; clew convert --offset z,y,x moves one of them")  # fmt: skip


def _extent(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of a layer in nm, (z, y, x)."""
    size = np.array(layer.voxel_size)
    low = np.array(layer.offset) - size / 2
    return low, low + size * layer.data.shape[-3:]


def _text(corner: np.ndarray) -> str:
    return ", ".join(f"{place:g}" for place in corner)
