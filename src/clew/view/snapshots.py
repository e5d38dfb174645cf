"""Snapshots of training: one crop, its target, its prediction, its MALIS weights.

The weights show which edges MALIS would change.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from clew.errors import InputError
from clew.space import Box
from clew.view.colours import paint

DECADES = 4
"""Orders of magnitude of the weights of MALIS that are told apart."""


def snapshot_figure(
    raw: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray,
    affinities: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
    *,
    title: str = "",
) -> Figure:
    """Draw the sections of a training crop that matter most to MALIS.

    They are the xy and the xz section through the heaviest voxel.

    Parameters
    ----------
    raw : (z, y, x) numbers
        Image, at least as large as the labels, which lie in its middle.
    labels : (z, y, x) integer
        Objects; 0 is background.
    targets, affinities : (3, z, y, x) floats
        In [0, 1]; their mean over the three channels is drawn, dark = boundary.
    positive, negative : (3, z, y, x) floats
        Weights of the passes of MALIS, summed over the channels, on a logarithmic scale: edges to strengthen inside
        objects, and edges to weaken between them. Drawn over the pale image.
    title : str
        Above the pictures.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the shapes differ.
    """
    shape = labels.shape
    if any(array.shape != (3, *shape) for array in (targets, affinities, positive, negative)):
        raise InputError(f"targets, affinities and weights must be (3, z, y, x) over labels of {shape}")
    image = raw[Box.whole(raw.shape).middle(shape)]
    place = np.unravel_index(np.argmax((positive + negative).sum(0)), shape)
    figure = Figure(figsize=(13.0, 1.0 + 13.0 / 6 * (shape[0] + shape[1]) / shape[2]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 6, squeeze=False, height_ratios=(shape[1], shape[0]))
    for row, (across, names) in enumerate(((0, "yx"), (1, "zx"))):
        at = int(place[across])
        grey, objects = np.take(image, at, across), np.take(labels, at, across)
        pictures: tuple[tuple[str, np.ndarray, dict[str, Any]], ...] = (
            ("raw", grey, {"cmap": "gray"}),
            ("objects", paint(objects, 1.0), {}),
            ("target", np.take(targets.mean(0), at, across), {"cmap": "gray", "vmin": 0, "vmax": 1}),
            ("prediction", np.take(affinities.mean(0), at, across), {"cmap": "gray", "vmin": 0, "vmax": 1}),
            ("MALIS: strengthen", _decades(positive, at, across), {"cmap": "Blues", "vmin": 0, "vmax": DECADES}),
            ("MALIS: weaken", _decades(negative, at, across), {"cmap": "Oranges", "vmin": 0, "vmax": DECADES}),
        )
        for axis, (name, picture, how) in zip(axes[row], pictures, strict=True):
            if name.startswith("MALIS"):
                axis.imshow(grey, cmap="gray", interpolation="nearest", alpha=0.4)
            axis.imshow(picture, interpolation="nearest", **how)
            _label(axis, name if row == 0 else "", names)
        axes[row][0].set_ylabel(f"{names[0]}  ({'zy'[across]} = {at})")
    figure.suptitle(title)
    return figure


def _label(axis: Axes, name: str, names: str) -> None:
    axis.set(xticks=[], yticks=[], xlabel=names[1], ylabel=names[0])
    axis.set_title(name, fontsize=10)


def _decades(weights: np.ndarray, at: int, across: int) -> np.ndarray:
    """Summed weights of a section, in decades above the smallest that is shown.

    The largest weight of the crop has `DECADES`.

    Those below are masked.
    """
    summed = weights.sum(0)
    relative = np.take(summed, at, across) / max(float(summed.max()), np.finfo(np.float32).tiny)
    decades: np.ndarray = np.ma.masked_less_equal(DECADES + np.log10(np.maximum(relative, 10.0**-DECADES)), 0)
    return decades
