"""The losses of the study as a picture: a dot for each seed."""

from pathlib import Path

from benchmarks.quality.recipes import RECIPES
from benchmarks.quality.runs import BORDERS, Row

FILLED, HOLLOW, LINES = "#2a6f97", "#c1666b", "#e3e3e3"
WIDTH, HEIGHT = 9.6, 3.9


def draw_losses(path: Path, rows: dict[str, list[Row]]) -> None:
    """VOI of every run by volume and recipe, on all truth and away from borders, to a PNG.

    Parameters
    ----------
    path
        Of the picture.
    rows
        By volume, of the one way to segment by which recipes are compared.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    panels = figure.subplots(1, len(rows), sharey=True, squeeze=False)[0]
    places = {recipe.name: -number for number, recipe in enumerate(RECIPES)}
    away = f"without {BORDERS[-1]:g} nm at borders"
    kinds = {BORDERS[0]: ("all truth", FILLED, FILLED), BORDERS[-1]: (away, "white", HOLLOW)}
    for panel, (volume, own) in zip(panels, rows.items(), strict=True):
        panel.set_title(volume)
        panel.set_xlabel("VOI, bits")
        panel.set_xlim(0, 0.3 + max((row.voi_sum for row in own), default=1.0))
        panel.hlines(list(places.values()), 0, 1, colors=LINES, lw=0.8, transform=panel.get_yaxis_transform(), zorder=0)
        for border, (label, face, edge) in kinds.items():
            dots = [(row.voi_sum, places[row.recipe]) for row in own if row.border == border and row.recipe in places]
            if dots:
                panel.scatter(*zip(*dots, strict=True), s=26, facecolors=face, edgecolors=edge, label=label)
    panels[0].set_yticks(list(places.values()), list(places))
    handles = {label: dots for panel in panels for dots, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), frameon=False, ncols=len(kinds), loc="outside lower right")
    for panel in panels:
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=110, facecolor="white")
