"""Figures of volumes, scores and training runs, drawn without a screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from clew.errors import InputError
from clew.replace import written_beside
from clew.view.colours import follow, paint

INK = "#22262b"
SPLIT, MERGE, TOTAL, BEST = "#0072b2", "#d55e00", "#22262b", "#009e73"
AXES = "zyx"
PLANES = (("xy", 0), ("xz", 1), ("yz", 2))
"""Name of each section and the axis it is cut across."""
LABEL_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2.5}


def section_figure(
    raw: np.ndarray,
    segmentation: np.ndarray,
    truth: np.ndarray | None = None,
    *,
    voxel_size: Sequence[float],
    position: Sequence[int] | None = None,
    opacity: float = 0.45,
    title: str = "",
) -> Figure:
    """Three sections through a volume, neurons coloured over the grey image.

    Parameters
    ----------
    raw : (z, y, x) uint8
        Image.
    segmentation : (z, y, x) integer
        Neuron ids; 0 stays grey. A neuron has the same colour in every figure.
    truth : (z, y, x) integer, optional
        Annotation, drawn beside it; 0 stays grey. Its colours follow the segmentation's where they overlap most.
    voxel_size : sequence of 3 float
        In nm, (z, y, x).
    position : sequence of 3 int, optional
        Voxel that all three sections go through; the middle if not given.
    opacity : float
        Of the colours, 0 to 1.
    title : str
        Above the sections.

    Returns
    -------
    matplotlib.figure.Figure
        Three sections of the image alone, beside them those with the segmentation, and with the truth.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    _check_shapes(raw, segmentation, truth)
    middle = [length // 2 for length in raw.shape] if position is None else [int(place) for place in position]
    greys, segments = _cuts(raw, middle), _cuts(segmentation, middle)
    groups: list[tuple[str, list[np.ndarray] | None]] = [("image", None), ("segmentation", segments)]
    if truth is not None:
        groups.append(("truth", follow(_cuts(truth, middle), segments)))
    size = tuple(length * step for length, step in zip(raw.shape, voxel_size, strict=True))
    figure, axes = _groups_of_sections(size, len(groups))
    figure.suptitle(title)
    for group, (name, labels) in zip(axes, groups, strict=True):
        _draw_sections(group, Sections(greys, labels, size, middle), name, opacity)
    return figure


class Sections(NamedTuple):
    """The sections xy, xz and yz through one place of a box.

    Parameters
    ----------
    greys : three (row, column) uint8 arrays, or None
        The image.
    labels : three (row, column) arrays of ids, or None
        Drawn over it; in yz, z goes to the right.
    size : (z, y, x) floats
        Of the box in nm.
    position : (z, y, x) ints
        The place, for the titles.
    """

    greys: Sequence[np.ndarray] | None
    labels: Sequence[np.ndarray] | None
    size: Sequence[float]
    position: Sequence[int]


def cut_figure(sections: Sections, name: str, *, width: float = 7.0, opacity: float = 0.45) -> Figure:
    """One group of three sections, with its name.

    Parameters
    ----------
    sections : Sections
    name : str
        Of what is shown.
    width : float
        In inches.
    opacity : float
        Of the colours, 0 to 1.
    """
    figure, (axes,) = _groups_of_sections(sections.size, 1, width)
    _draw_sections(axes, sections, name, opacity if sections.greys else 1.0)
    return figure


def _draw_sections(axes: Sequence[Axes], sections: Sections, name: str, opacity: float) -> None:
    for column, (plane, across) in enumerate(PLANES):
        axis, high, wide = axes[column], *_inplane(across)
        extent = (0, sections.size[wide], sections.size[high], 0)
        if sections.greys is not None:
            axis.imshow(sections.greys[column], cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
        if sections.labels is not None:
            axis.imshow(paint(sections.labels[column], opacity), extent=extent, interpolation="nearest")
        axis.set(xticks=[], yticks=[], xlabel=AXES[wide], ylabel=AXES[high])
        place, side = (1.0, "right") if plane == "yz" else (0.5, "center")
        axis.set_title(f"{plane} at {AXES[across]} = {sections.position[across]}", fontsize=8, x=place, ha=side)
    axes[0].annotate(name, (0, 1), (4, -4), "axes fraction", "offset points", va="top", bbox=LABEL_BOX)
    _scale_bar(axes[0], sections.size[2])


def affinity_figure(
    raw: np.ndarray,
    affinities: np.ndarray,
    *,
    voxel_size: Sequence[float],
    section: int | None = None,
    names: Sequence[str] = ("z", "y", "x"),
) -> Figure:
    """One section of the image and of each affinity channel.

    Parameters
    ----------
    raw : (z, y, x) uint8
        Image.
    affinities : (offset, z, y, x) float32 in [0, 1] or uint8
        The first ``len(names)`` channels are drawn; dark = boundary.
    voxel_size : sequence of 3 float
        In nm, (z, y, x).
    section : int, optional
        Section in z; the middle if not given.
    names : sequence of str
        Names of the channels.

    Raises
    ------
    InputError
        If the shapes do not match.
    """
    if affinities.ndim != 4 or affinities.shape[1:] != raw.shape or affinities.shape[0] < len(names):
        raise InputError(
            f"affinities must be (offset, z, y, x) with at least {len(names)} offsets over an image of {raw.shape}, "
            f"not of shape {affinities.shape}"
        )
    place = raw.shape[0] // 2 if section is None else section
    size = raw.shape[1] * voxel_size[1], raw.shape[2] * voxel_size[2]
    figure = _new_figure(3.0 * (1 + len(names)), 3.0 * size[0] / size[1] + 0.4)
    axes = figure.subplots(1, 1 + len(names), squeeze=False)[0]
    top = 255 if affinities.dtype == np.uint8 else 1
    images = [("image", raw[place], 255)]
    images += [(f"affinity {name}", affinities[channel, place], top) for channel, name in enumerate(names)]
    for axis, (name, image, most) in zip(axes, images, strict=True):
        extent = (0, size[1], size[0], 0)
        axis.imshow(image, cmap="gray", vmin=0, vmax=most, extent=extent, interpolation="nearest")
        axis.set_title(name, fontsize=10)
        axis.set_axis_off()
    _scale_bar(axes[0], size[1])
    return figure


def threshold_figure(
    thresholds: Sequence[float],
    splits: Sequence[float],
    merges: Sequence[float],
    *,
    chosen: float | None = None,
    intervals: np.ndarray | None = None,
    title: str = "",
) -> Figure:
    """Variation of information over the agglomeration threshold.

    The best threshold is marked.

    Parameters
    ----------
    thresholds : sequence of float
        Agglomeration thresholds.
    splits, merges : sequence of float
        Their VOI split and VOI merge, in bits.
    chosen : float, optional
        Threshold that was used, where it is not the best one.
    intervals : (thresholds, 2) array, optional
        Low and high ends of their VOI sum, drawn as a band.
    title : str
        Above the plot.

    Raises
    ------
    InputError
        If there is no threshold or the lengths differ.
    """
    if not len(thresholds) or not len(thresholds) == len(splits) == len(merges):
        raise InputError(
            "give at least one threshold, and one split and one merge score for each, not "
            f"{len(thresholds)} thresholds, {len(splits)} splits and {len(merges)} merges"
        )
    order = np.argsort(thresholds)
    place, split, merge = (np.asarray(values, float)[order] for values in (thresholds, splits, merges))
    figure = _new_figure(6.4, 3.9)
    axis = figure.subplots()
    total = split + merge
    best = int(np.argmin(total))
    for values, name, colour in ((split, "split", SPLIT), (merge, "merge", MERGE), (total, "sum", TOTAL)):
        axis.plot(place, values, color=colour, lw=2.4 if name == "sum" else 1.6, marker="o", ms=3, label=name)
    highest = float(total.max())
    if intervals is not None:
        low, high = np.asarray(intervals)[order].T
        axis.fill_between(place, low, high, color=TOTAL, alpha=0.13, lw=0, label="95 % of objects")
        highest = max(highest, float(high.max()))
    name = f"best {total[best]:.3f} at {place[best]:g}"
    axis.plot(place[best], total[best], "o", ms=10, mfc="none", mec=BEST, mew=2.2, label=name)
    if chosen is not None:
        axis.axvline(chosen, color="#8a9099", lw=1.2, ls="--", label=f"used {chosen:g}")
    axis.set(xlabel="agglomeration threshold", ylabel="variation of information (bits)")
    figure.suptitle(title)
    axis.set_ylim(0, 1.05 * highest if highest > 0 else 1)
    _tidy(axis)
    # above the curves, which may go anywhere
    figure.legend(frameon=False, ncols=3, loc="outside upper center", fontsize=8.5, columnspacing=1.2)
    return figure


def tree_figure(
    thresholds: Sequence[float], counts: Sequence[int], largest: Sequence[float], *, chosen: float | None = None
) -> Figure:
    """How segments merge over the threshold, where there is no truth to compare with.

    Parameters
    ----------
    thresholds : sequence of float
        Agglomeration thresholds, ascending.
    counts : sequence of int
        Segments at each.
    largest : sequence of float
        The largest segment's share of all voxels, in [0, 1].
    chosen : float, optional
        Threshold that was used.
    """
    figure = _new_figure(6.4, 3.9)
    left = figure.subplots()
    right = left.twinx()
    left.plot(thresholds, counts, color=SPLIT, lw=2, label="segments")
    right.plot(thresholds, 100 * np.asarray(largest), color=MERGE, lw=2, label="largest segment")
    if chosen is not None:
        left.axvline(chosen, color="#8a9099", lw=1.2, ls="--", label=f"used {chosen:g}")
    left.set(xlabel="agglomeration threshold", ylabel="segments", yscale="log")
    right.set(ylabel="largest segment (% of all voxels)", ylim=(0, 105))
    left.spines["top"].set_visible(False)
    right.spines["top"].set_visible(False)
    left.grid(alpha=0.25)
    figure.legend(frameon=False, ncols=3, loc="outside upper center", fontsize=8.5)
    return figure


def choice_figure(
    thresholds: Sequence[float],
    means: np.ndarray,
    names: Sequence[str],
    volumes: np.ndarray,
    volume_names: Sequence[str],
    chosen: tuple[str, float],
) -> Figure:
    """VOI over the threshold: means by each score, and the volumes by the best one.

    Parameters
    ----------
    thresholds : sequence of float
    means : (score, threshold) array
        Mean VOI sum over the volumes, in bits.
    names : sequence of str
        Of the scores.
    volumes : (volume, threshold) array
        VOI sums by the chosen score.
    volume_names : sequence of str
    chosen : str, float
        Score and threshold.
    """
    score, threshold = chosen
    figure = _new_figure(10.5, 5.2)
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, curves, labels in ((left, means, names), (right, volumes, volume_names)):
        for curve, label in zip(curves, labels, strict=True):
            thick = 2.6 if label == score else 1.4
            axis.plot(thresholds, curve, lw=thick, label=label)
        axis.axvline(threshold, color="#8a9099", lw=1.2, ls="--", label=f"chosen {threshold:g}")
        axis.set_xlabel("agglomeration threshold")
        _tidy(axis)
        axis.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    left.set(ylabel="variation of information (bits)", title="mean over the volumes")
    right.set_title(f"each volume by {score}")
    lowest = np.concatenate([means, volumes]).min(axis=1)
    left.set_ylim(0, max(3 * float(lowest.max()), 0.1))  # where they differ, not the far ends
    return figure


def edge_figure(curves: Sequence[Mapping[str, Any]]) -> Figure:
    """Precision over recall of contacts, a line for each score.

    Parameters
    ----------
    curves : sequence of mapping
        Each with ``score``, its ``area`` under the curve, and the lists ``recall`` and ``precision``.
    """
    figure = _new_figure(5.4, 4.4)
    axis = figure.subplots()
    lowest = 1.0
    for curve in sorted(curves, key=lambda each: -each["area"]):
        axis.plot(curve["recall"], curve["precision"], lw=1.6, label=f"{curve['score']}  {curve['area']:.3f}")
        lowest = min(lowest, *curve["precision"])
    axis.set(
        xlabel="recall: share of contacts inside neurons that merge", ylabel="precision: share of merges inside neurons"
    )
    axis.set(xlim=(0, 1.01), ylim=(max(0.0, lowest - 0.03), 1.01))
    _tidy(axis)
    axis.legend(frameon=False, title="score, area under its curve", loc="lower left")
    return figure


def training_figure(rows: Sequence[Mapping[str, float]], *, title: str = "") -> Figure:
    """Loss and held-out score over the iterations of a training run.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the training log, each with ``iteration`` and any of ``loss`` (or names that begin with it) and
        ``voi_split``, ``voi_merge``, ``voi_sum``; a missing or NaN value is left out.
    title : str
        Above the plots.

    Raises
    ------
    InputError
        If there is no row with an iteration.
    """
    if not rows or any("iteration" not in row for row in rows):
        raise InputError("a training log must have at least one row, and an iteration in each")
    losses = sorted({name for row in rows for name in row if name.startswith("loss")})
    scores = [name for name in ("voi_split", "voi_merge", "voi_sum") if any(name in row for row in rows)]
    figure = _new_figure(9.6 if scores else 5.6, 3.6)
    axes = figure.subplots(1, 2 if scores else 1, squeeze=False)[0]
    for name in losses:
        iterations, values = _column(rows, name)
        faint = len(values) > 50
        axes[0].plot(iterations, values, lw=1, alpha=0.3 if faint else 1, color=TOTAL if name == "loss" else None)
        if faint:
            axes[0].plot(iterations, _smooth(values), lw=2, label=name, color=TOTAL if name == "loss" else None)
    axes[0].set(xlabel="iteration", ylabel="loss")
    for name, colour in zip(("voi_split", "voi_merge", "voi_sum"), (SPLIT, MERGE, TOTAL), strict=True):
        if name in scores:
            axes[1].plot(*_column(rows, name), color=colour, marker="o", ms=3, label=name.replace("voi_", ""))
    if scores:
        axes[1].set(xlabel="iteration", ylabel="held-out VOI (bits)", ylim=(0, None))
        axes[1].legend(frameon=False)
    for axis in axes:
        _tidy(axis)
    figure.suptitle(title)
    return figure


def save_figure(figure: Figure, path: Path | str, *, dots_per_inch: int = 150) -> None:
    """Write a figure whole or not at all; an existing file is replaced.

    The suffix (png, svg, pdf) is the format.
    """
    with written_beside(Path(path), overwrite=True) as partial:
        figure.savefig(partial, dpi=dots_per_inch, facecolor="white")


def _new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _check_shapes(raw: np.ndarray, segmentation: np.ndarray, truth: np.ndarray | None) -> None:
    for name, array in (("segmentation", segmentation), ("truth", truth)):
        if array is not None and (raw.ndim != 3 or array.shape != raw.shape):
            raise InputError(f"image and {name} must be (z, y, x) of one shape, not {raw.shape} and {array.shape}")


def _inplane(across: int) -> tuple[int, int]:
    """Axes that go down and to the right in a section across an axis.

    In yz, z goes to the right.
    """
    return ((1, 2), (0, 2), (1, 0))[across]


def _cuts(volume: np.ndarray, position: Sequence[int]) -> list[np.ndarray]:
    cuts = [np.take(volume, position[across], axis=across) for _, across in PLANES]
    return [*cuts[:2], cuts[2].T]


def _groups_of_sections(size: Sequence[float], groups: int, width: float = 13.0) -> tuple[Figure, list[list[Axes]]]:
    """Axes (xy, xz, yz) of groups side by side, all at one scale.

    In each group xz stands below xy, and yz to its right. The size of the box is in nm.
    """
    deep, high, wide = size
    unit = width / (groups * (wide + deep))
    figure = _new_figure(width + 0.5 * groups, max(2.0, (high + deep) * unit + 1.0))
    axes = []
    places = figure.add_gridspec(1, groups)
    for group in range(groups):
        parts = places[group].subgridspec(2, 2, width_ratios=(wide, deep), height_ratios=(high, deep))
        axes.append([figure.add_subplot(parts[at]) for at in ((0, 0), (1, 0), (0, 1))])
    return figure, axes


def _scale_bar(axis: Axes, width: float) -> None:
    """Draw a bar of a round length over the lower left corner of a section.

    The section is ``width`` nm wide, and its axes are in nm.
    """
    exponent = 10 ** np.floor(np.log10(width / 4))
    length = float(max(step for step in (1, 2, 5) if step * exponent <= width / 4) * exponent)
    name = f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm"
    low, high = axis.get_ylim()
    y = low + 0.05 * (high - low)
    x = 0.04 * width
    axis.plot([x, x + length], [y, y], color="white", lw=4, solid_capstyle="butt", zorder=5)
    axis.annotate(name, (x, y), (0, 5), textcoords="offset points", fontsize=9, bbox=LABEL_BOX, zorder=6)


def _column(rows: Sequence[Mapping[str, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(row["iteration"], row[name]) for row in rows if row.get(name) is not None]
    kept = np.array([pair for pair in pairs if np.isfinite(pair[1])], float).reshape(-1, 2)
    return kept[:, 0], kept[:, 1]


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over a fiftieth of the values."""
    window = max(3, len(values) // 50)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - window)
    return (sums[last] - sums[first]) / (last - first)


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
