"""The contact sheet of augmentations: what each does to raw and labels."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from clew.errors import InputError
from clew.view.colours import paint

CELL = 0.8
"""Width of a picture in inches."""
ABREAST = 2
"""Augmentations side by side."""
COLOURS = 128
OPACITY = 0.5


class SheetRow(NamedTuple):
    """One augmentation: its name, and pictures with a caption each.

    Parameters
    ----------
    name : str
    captions : sequence of str
    raw : sequence of (y, x) float32
        In [-1, 1].
    labels : sequence of (y, x) whole numbers
        0 = background.
    """

    name: str
    captions: Sequence[str]
    raw: Sequence[np.ndarray]
    labels: Sequence[np.ndarray]


def contact_sheet(rows: Sequence[SheetRow]) -> Figure:
    """Draw a row of pictures for each augmentation: raw, and its labels in colour.

    Raises
    ------
    InputError
        If there is no row.
    """
    if not rows:
        raise InputError("no augmentation is on: there is nothing to draw")
    columns, lines = max(len(row.raw) for row in rows), -(-len(rows) // ABREAST)
    aspect = max(picture.shape[0] / picture.shape[1] for row in rows for picture in row.raw)
    size = (ABREAST * (1.05 * CELL * columns + 0.25), lines * (2 * CELL * aspect + 0.28))
    layout = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.0, hspace=0.0)
    figure = Figure(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    for row, part in zip(rows, figure.subfigures(lines, ABREAST, squeeze=False).T.flat, strict=False):
        _draw_row(part, row, columns)
    return figure


def _draw_row(part: SubFigure, row: SheetRow, columns: int) -> None:
    part.supylabel(row.name, fontsize=8, weight="bold")
    axes = part.subplots(2, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for column, (caption, raw, labels) in enumerate(zip(row.captions, row.raw, row.labels, strict=True)):
        axes[0, column].set_title(caption, fontsize=6, pad=2)
        for axis in axes[:, column]:
            axis.imshow(raw, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        axes[1, column].imshow(paint(labels, OPACITY), interpolation="nearest")


def save_sheet(figure: Figure, path: Path) -> None:
    """Write a sheet as a PNG of few colours, a quarter as large as one of many."""
    buffer = BytesIO()
    figure.savefig(buffer, dpi=110, facecolor="white")
    image = Image.open(buffer).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)
