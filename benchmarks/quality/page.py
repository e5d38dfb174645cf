"""The page of the study, written anew from its rows."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, stdev

from benchmarks.quality.figure import draw_losses
from benchmarks.quality.recipes import RECIPES, RICHEST, SEEDS, STEPS
from benchmarks.quality.runs import BORDERS, Row, usual_way
from clew.segmentation.options import AgglomerationOptions

ROWS = Path("docs/explanation/study.csv")
PAGE = Path("docs/explanation/study.md")
VOLUMES = {"isotropic": False, "sections": True}
"""Names of the volumes, and whether their fragments are made section by section."""
SCORE = AgglomerationOptions().score
"""The score by which the recipes are compared."""
MARKER = "<!-- tables: written by benchmarks.quality -->\n"
COLUMNS = ("voi_split", "voi_merge", "voi_sum", "adapted_rand_error")


def read_rows(path: Path) -> list[Row]:
    """Rows of the runs so far."""
    if not path.exists():
        return []
    types = Row.__annotations__
    with path.open(newline="") as file:
        return [Row(**{name: types[name](text) for name, text in row.items()}) for row in csv.DictReader(file)]


def write_page(path: Path, rows: list[Row]) -> None:
    """Write picture and tables below the marker of the page; the words above it stay."""
    words = path.read_text().partition(MARKER)[0] if path.exists() else "# Which training segments best\n\n"
    draw_losses(path.with_suffix(".png"), {volume: _usual(rows, volume) for volume in VOLUMES})
    picture = f"\n![VOI of every run]({path.stem}.png)\n"
    path.write_text(words + MARKER + picture + "\n".join(_tables(rows)))


def _tables(rows: list[Row]) -> Iterable[str]:
    for volume, per_section in VOLUMES.items():
        way = usual_way(per_section).name
        usual = _usual(rows, volume)
        away = [row for row in usual if row.border]
        chosen = [row for row in usual if not row.border]
        words = f"{STEPS} steps; {way}, `{SCORE}`; up to {len(SEEDS)} seeds."
        recipes = [recipe.name for recipe in RECIPES]
        yield from _section(f"{volume.capitalize()}: losses", words, "recipe", chosen, lambda row: row.recipe, recipes)
        title = f"{volume.capitalize()}: losses, away from borders"
        words = f"As above, truth within {BORDERS[-1]:g} nm of a border left out."
        yield from _section(title, words, "recipe", away, lambda row: row.recipe, recipes)
        own = [row for row in rows if row.volume == volume and row.recipe == RICHEST and not row.border]
        names = list(dict.fromkeys(_segmentation(row) for row in own))
        words, title = f"Of the recipe *{RICHEST}*.", f"{volume.capitalize()}: fragments and scores"
        yield from _section(title, words, "segmentation", own, _segmentation, names)
    yield ""


def _usual(rows: list[Row], volume: str) -> list[Row]:
    """Rows of a volume by which the recipes are compared."""
    way = usual_way(VOLUMES[volume]).name
    return [row for row in rows if row.volume == volume and row.fragments == way and row.score == SCORE]


def _segmentation(row: Row) -> str:
    return f"{row.fragments}, `{row.score}`"


def _section(
    title: str, words: str, kind: str, rows: list[Row], key: Callable[[Row], str], names: list[str]
) -> Iterable[str]:
    """A table with its heading, where there are rows."""
    if not rows:
        return
    yield f"\n## {title}\n\n{words}\n"
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    yield f"| {kind} | runs | VOI split | VOI merge | VOI sum | adapted Rand error |\n|---|---:|---|---|---|---|"
    for name in names:
        if group := groups.get(name):
            spreads = (_spread([getattr(row, column) for row in group]) for column in COLUMNS)
            yield f"| {name} | {len(group)} | {' | '.join(spreads)} |"


def _spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{mean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"
