"""The comparison as a picture: a dot for every test of every seed, and the interval of their mean."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COLOURS = ("#2a6f97", "#c1666b", "#6a994e", "#8f6bb3")
INK, LINES = "#222222", "#e3e3e3"
WIDTH, ROW, REST = 9.6, 0.42, 1.6


class Bar(NamedTuple):
    """A recipe in one measure: differences from the control by test, their mean and its interval."""

    recipe: str
    tests: Sequence[str]
    differences: NDArray[np.float64]
    mean: float
    low: float
    high: float


def draw_differences(path: Path, panels: dict[str, list[Bar]]) -> None:
    """Differences from the control, by measure and recipe, to a PNG.

    Parameters
    ----------
    path
        Of the picture.
    panels
        By title: the bars of one measure, all with the same recipes.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = max(map(len, panels.values()))
    figure = Figure(figsize=(WIDTH, REST + ROW * rows), layout="constrained")
    figure.get_layout_engine().set(wspace=0.08)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    tests = list(dict.fromkeys(test for bars in panels.values() for bar in bars for test in bar.tests))
    colours = dict(zip(tests, cycle(COLOURS), strict=False))
    for axis, (title, bars) in zip(axes, panels.items(), strict=True):
        axis.set_title(title, fontsize=10)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.axvline(0, color=INK, lw=0.8)
        for place, bar in enumerate(bars):
            axis.plot([bar.low, bar.high], [-place, -place], color=INK, lw=2.2, solid_capstyle="round")
            axis.plot(bar.mean, -place, "|", color=INK, ms=12, mew=2)
            axis.scatter(
                bar.differences,
                np.full(len(bar.differences), -place + 0.22),
                s=18,
                c=[colours[test] for test in bar.tests],
            )
        axis.set_yticks([-place for place in range(len(bars))], [bar.recipe for bar in bars])
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", color=LINES, lw=0.8)
        axis.set_axisbelow(True)
    handles = [axes[0].scatter([], [], s=18, c=colour, label=test) for test, colour in colours.items()]
    figure.legend(handles=handles, frameon=False, ncols=len(handles), loc="outside lower right")
    figure.savefig(path, dpi=110, facecolor="white")
