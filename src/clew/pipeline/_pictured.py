"""Pictures of a run: sections, the largest segments in 3D, places of errors.

Of a volume of any size only what is shown is read, from its coarser scales where that is enough.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.meshes.surfaces import decoded
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.relabel import relabel, segment_lookup
from clew.space import Lengths, triple
from clew.view.colours import colours_of, follow, paint
from clew.view.figures import Sections, affinity_figure, cut_figure
from clew.view.layers import COLOURS, Layer, contrast
from clew.view.meshes import Meshes
from clew.view.report import Picture, drawing, jpeg_of, photograph, png_of
from clew.view.sampling import channel, sampled
from clew.view.scene import Scene

ACROSS = 800
"""Points along the longest axis of sections, at most."""
TOGETHER, SINGLY = 20, 8
"""Segments in one picture of the volume, and those that have one of their own."""
SCENE, BODY = (1000, 800), (320, 320)
"""Pixels of these pictures."""
WINDOW = 160
"""Voxels along each side of the place of an error that are shown."""
ENLARGED = 2
"""Pixels for each of them."""
FAINT, STRONG = 0.15, 0.6
"""Opacity of other segments, and of those of an error."""

Layers = Mapping[str, Layer]


class Points(NamedTuple):
    """A grid of points over a box, in nm, (z, y, x)."""

    corner: Lengths
    step: Lengths
    shape: tuple[int, int, int]

    def through(self, position: Lengths, axis: int) -> "Points":
        """The section across an axis through a position in nm."""
        corner, shape = list(self.corner), list(self.shape)
        corner[axis], shape[axis] = position[axis], 1
        return Points(triple(corner), self.step, triple(shape))

    def of(self, layer: Layer) -> NDArray[Any]:
        """What a layer holds there."""
        return sampled(layer, self.corner, self.step, self.shape)


def section_pictures(layers: Layers) -> list[Picture]:
    """Sections through the middle of a run: image, segments, truth, affinities."""
    reference = next(layers[name] for name in ("segmentation", "fragments", "raw", "affinities") if name in layers)
    shape = reference.data.shape[-3:]
    middle = [length // 2 for length in shape]
    place = triple(np.add(reference.offset, np.multiply(middle, reference.voxel_size)).tolist())
    sections = [_points_over(reference).through(place, axis) for axis in range(3)]
    size = triple(np.multiply(shape, reference.voxel_size).tolist())
    ids = {name: _upright([each.of(layers[name]) for each in sections]) for name in _shown_ids(layers)}
    if "truth" in ids and len(ids) > 1:
        ids["truth"] = follow(ids["truth"], next(iter(ids.values())))
    greys = _upright([_grey(each.of(layers["raw"]), layers["raw"]) for each in sections]) if "raw" in layers else None
    shown = ([("image", None)] if greys else []) + list(ids.items())
    pictures = [
        Picture(CAPTIONS[name], photograph(cut_figure(Sections(greys, labels, size, middle), name)))
        for name, labels in shown
    ]
    return pictures + ([_affinities(layers, sections[0])] if "affinities" in layers and greys else [])


CAPTIONS = {
    "image": "The image",
    "segmentation": "The segmentation, coloured by segment",
    "fragments": "The fragments from which segments are merged",
    "truth": "The truth; it has the colour of the segment that it matches",
}


def _shown_ids(layers: Layers) -> list[str]:
    first = [name for name in ("segmentation", "fragments") if name in layers][:1]
    return first + ["truth"] * ("truth" in layers)


def _points_over(layer: Layer) -> Points:
    """Points over a whole layer: its voxels, or as many as a picture shows."""
    shape, size = np.array(layer.data.shape[-3:]), np.array(layer.voxel_size)
    step = np.maximum(size, (shape * size).max() / ACROSS)
    count = np.maximum(1, np.ceil(shape * size / step - 1e-9)).astype(int)
    return Points(triple((layer.offset + (step - size) / 2).tolist()), triple(step.tolist()), triple(count.tolist()))


def _upright(sections: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Sections xy, xz and yz as they are drawn: in yz, z goes to the right."""
    xy, xz, yz = sections
    return [xy[0], xz[:, 0], yz[:, :, 0].T]


def _grey(values: NDArray[Any], layer: Layer) -> NDArray[np.uint8]:
    low, high = contrast(layer.data)
    grey = (np.nan_to_num(values.astype(np.float32)) - low) * (255 / (high - low))
    return np.rint(grey.clip(0, 255)).astype(np.uint8)


def _affinities(layers: Layers, section: Points) -> Picture:
    raw = _grey(section.of(layers["raw"]), layers["raw"])
    channels = [section.of(channel(layers["affinities"], number)) for number in range(COLOURS)]
    figure = affinity_figure(raw, np.stack(channels), voxel_size=section.step, section=0)
    return Picture(
        "Affinities of the middle section to the neighbours along z, y and x: dark is a membrane", drawing(figure)
    )


def body_pictures(layer: Layer, track: Callable[[Sequence[int]], Any]) -> list[Picture]:
    """The largest segments in 3D: together, and some of them by themselves.

    Parameters
    ----------
    layer : Layer
        Of segments.
    track : callable
        Goes over ids, and shows how far it is.
    """
    meshes = Meshes(layer, (0.0, 0.0, 0.0))
    boxes, factors = meshes.boxes
    order = np.argsort(-boxes.counts, kind="stable")[:TOGETHER]
    size = np.array(layer.voxel_size)
    low = layer.offset - size / 2
    scene = Scene(low.tolist(), (low + size * layer.data.shape).tolist(), *SCENE)
    scene.add_box()
    pictures: list[Picture] = []
    for row, segment in zip(order, track(boxes.ids[order].tolist()), strict=True):
        vertices, faces = decoded(meshes.mesh(segment, 0))
        colour = colours_of(np.array(segment))
        scene.add(vertices[:, ::-1], faces, colour)
        if len(pictures) < SINGLY and len(faces):
            body = Scene(vertices.min(0)[::-1], vertices.max(0)[::-1], *BODY)
            body.add(vertices[:, ::-1], faces, colour)
            voxels = int(boxes.counts[row] * factors.prod())
            length = float(np.ptp(vertices, axis=0).max())
            about = "" if (factors == 1).all() else "about "
            text = f"{segment}: {about}{voxels / 1e6:.3g} million voxels, {length / 1000:.2g} µm long"
            pictures.append(Picture(text, png_of(body.picture()), _css(colour)))
    if not pictures:
        return []
    caption = f"The {len(order)} largest of {len(boxes.ids)} segments, and the volume" if (factors == 1).all() else \
        f"The {len(order)} largest segments, and the volume"  # fmt: skip
    return [Picture(caption, png_of(scene.picture())), *pictures]


def _css(colour: NDArray[np.float32]) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in colour)


class Place(NamedTuple):
    """Where an error is: in nm, the ids that take part, and what kind it is."""

    position: Lengths
    segments: Sequence[int]
    objects: Sequence[int]


def place_picture(layers: Layers, place: Place, tree: MergeTree | None, threshold: float | None) -> Picture | None:
    """The section xy around an error: its segments, and beside them its neurons.

    Segments are cut from the tree at the threshold, where both are there.
    """
    name = "fragments" if tree is not None and threshold is not None and "fragments" in layers else "segmentation"
    if name not in layers:
        return None
    layer = layers[name]
    step = triple((layer.voxel_size[0], *[min(layer.voxel_size[1:])] * 2))
    corner = np.subtract(place.position, np.multiply(step, (0, WINDOW // 2, WINDOW // 2)))
    # near the end of the volume the place is not in the middle, so that no more than needed is black
    last = np.add(layer.offset, np.multiply(layer.voxel_size, layer.data.shape)) - np.multiply(
        step, (0, WINDOW, WINDOW)
    )
    corner[1:] = np.maximum(np.minimum(corner, last), layer.offset)[1:]
    middle = np.rint(np.divide(np.subtract(place.position, corner), step))[1:]
    points = Points(triple(corner.tolist()), step, (1, WINDOW, WINDOW))
    segments = points.of(layer)[0].astype(np.uint64)
    if name == "fragments" and tree is not None and threshold is not None:
        segments = relabel(segments, tree.fragments, segment_lookup(tree, threshold))
    raw = (
        _grey(points.of(layers["raw"])[0], layers["raw"]) if "raw" in layers else np.full(segments.shape, 128, np.uint8)
    )
    panels = [_painted(raw, segments, np.isin(segments, np.array(place.segments, np.uint64)), middle)]
    if "truth" in layers:
        truth = points.of(layers["truth"])[0].astype(np.uint64)
        (coloured,) = follow([truth], [segments])
        panels.append(_painted(raw, coloured, np.isin(truth, np.array(place.objects, np.uint64)), middle))
    what = "left segments, right neurons" if len(panels) > 1 else "segments"
    caption = f"{what}; {WINDOW * step[2] / 1000:g} µm wide"
    return Picture(caption, jpeg_of(np.concatenate(panels, axis=1)))


def _painted(
    raw: NDArray[np.uint8], ids: NDArray[np.uint64], chosen: NDArray[np.bool_], point: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """A section with ids over it, chosen ones strongly, and a ring around a point."""
    strong, faint = paint(ids, STRONG), paint(ids, FAINT)
    colours = np.where(chosen[..., None], strong, faint).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    grey = raw.repeat(ENLARGED, 0).repeat(ENLARGED, 1)[..., None] / np.float32(255)
    mixed = grey * (1 - colours[..., 3:]) + colours[..., :3] * colours[..., 3:]
    rows, columns = (np.indices(ids.shape) - point[:, None, None]).repeat(ENLARGED, 1).repeat(ENLARGED, 2)
    far = np.hypot(rows, columns)
    mixed[(far > 9) & (far < 11)] = 1
    mixed[:, -2:] = 1
    return np.rint(255 * mixed).astype(np.uint8)
