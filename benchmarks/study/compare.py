"""`python -m benchmarks.study.compare --out FOLDER`: every recipe against the control, paired, by the rule written before.

Two measures, on tissue that no network of the comparison has seen:

- **edges**: area under precision and recall of the contacts of fragments that all networks of a group share (those of the
  start network), weighted by contact area, with one score;
- **topology**: VOI away from borders, of each network's own segmentation, with the score and the threshold that are best for
  the same network on its *other* tests.

A group is one fold and seed: its start network, the control and the recipes that go on from it. Whole neurons are drawn with
replacement, the same for both networks of a pair. A recipe is **better** than the control in a measure if it is better on
every test in every group, and the 95 % interval of the mean difference excludes 0; **worse** likewise; else *not shown*.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.study.figure import Bar, draw_differences
from benchmarks.study.judge import SCORES, THRESHOLDS, Judged
from benchmarks.study.recipes import CONTROL
from clew.evaluation.edges import edge_curve, edge_samples

REPEATS = 400
EDGE_SCORE = SCORES.index("hist_quant_75")
"""The score whose edges are compared; tables give all."""


class Place(NamedTuple):
    """Which network on which test: its kind of tissue, fold, seed and recipe."""

    kind: str
    fold: str
    seed: str
    recipe: str
    test: str

    @property
    def group(self) -> tuple[str, str, str]:
        """Of the networks that go on from one start."""
        return self.kind, self.fold, self.seed


class Difference(NamedTuple):
    """Recipe minus control, in one measure: on every test of every group, their mean, and its 95 % interval."""

    tests: NDArray[np.float64]
    mean: float
    low: float
    high: float

    def verdict(self, sign: int) -> str:
        """`sign` is 1 where more is better."""
        for word, way in (("better", sign), ("worse", -sign)):
            if (way * self.tests > 0).all() and min(way * self.low, way * self.high) > 0:
                return word
        return "not shown"


Everything = dict[Place, Judged]
Pair = tuple[Place, Judged, Judged]


def main(arguments: list[str] | None = None) -> None:
    """Print the comparison of all recipes, and write what each network reached on each test."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study.compare", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the study")
    parser.add_argument("--seeds", nargs="*", help="only these (%(default)s: all)")
    given = parser.parse_args(arguments)
    everything = read_judged(given.out, given.seeds)
    write_rows(given.out / "networks.csv", everything)
    for line in comparison(everything):
        print(line)
    for kind in kinds(everything):
        draw_differences(given.out / f"{kind}.png", panels(of_kind(everything, kind)))


def read_judged(out: Path, seeds: list[str] | None = None) -> Everything:
    """All that was judged, by place."""
    found = {}
    for path in sorted((out / "judged").glob("*.npz")):
        kind, fold, seed, rest = path.stem.split(", ", 3)
        recipe, test = rest.split("; ")
        if not seeds or seed.removeprefix("seed ") in seeds:
            found[Place(kind, fold, seed, recipe, test)] = Judged.read(path)
    return found


COLUMNS = ("score", "edge_area", "edge_area_by_size", "best_voi", "at_threshold", "objects", "contacts")


def write_rows(path: Path, everything: Everything) -> None:
    """A table with a row for each network, test and score."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*Place._fields, *COLUMNS])
        writer.writerows([*place, *row] for place, judged in everything.items() for row in _rows(judged))


def _rows(judged: Judged) -> Iterator[list[object]]:
    for score, contacts, voi in zip(SCORES, judged.contacts, judged.voi, strict=True):
        area, by_size = (edge_curve(contacts, judged.same, weights).area for weights in (None, judged.areas))
        figures = [f"{figure:.4f}" for figure in (area, by_size, voi.min())]
        yield [score, *figures, THRESHOLDS[voi.argmin()], len(judged.voxels), len(judged.same)]


def comparison(everything: Everything) -> Iterator[str]:
    """A Markdown table for each kind of tissue."""
    for kind in kinds(everything):
        yield f"**{kind}**\n\n| recipe | groups | edges: area | | topology: VOI, bits | |\n|---|---|---|---|---|---|"
        own = of_kind(everything, kind)
        for recipe, pairs in recipes(own):
            groups = len({place.group for place, *_ in pairs})
            edges, topology = edge_difference(pairs), topology_difference(own, pairs)
            cells = [_written(edges), edges.verdict(1), _written(topology), topology.verdict(-1)]
            yield f"| {recipe} | {groups} | {' | '.join(cells)} |"
        yield ""


def panels(own: Everything) -> dict[str, list[Bar]]:
    """What the picture of one kind of tissue shows."""
    titles: dict[str, list[Bar]] = {
        "area under the edge curve: more is better": [],
        "topology VOI, bits: less is better": [],
    }
    for recipe, pairs in recipes(own):
        tests = [_kind_of_test(place.test) for place, *_ in pairs]
        for bars, found in zip(titles.values(), (edge_difference(pairs), topology_difference(own, pairs)), strict=True):
            bars.append(Bar(recipe, tests, found.tests, found.mean, found.low, found.high))
    return titles


def _kind_of_test(name: str) -> str:
    """The same in both folds."""
    sorts = {"sample": "held-out sections of the sample", "fib_small": "the other small volume"}
    return next((sort for start, sort in sorts.items() if name.startswith(start)), name)


def kinds(everything: Everything) -> list[str]:
    """Kinds of tissue."""
    return list(dict.fromkeys(place.kind for place in everything))


def of_kind(everything: Everything, kind: str) -> Everything:
    """What was judged of one kind of tissue."""
    return {place: judged for place, judged in everything.items() if place.kind == kind}


def recipes(own: Everything) -> Iterator[tuple[str, list[Pair]]]:
    """Every recipe but the control, with its pairs."""
    for recipe in dict.fromkeys(place.recipe for place in own):
        pairs = list(pairs_with_control(own, recipe))
        if pairs and recipe != control_of(recipe):
            yield recipe, pairs


def _written(found: Difference) -> str:
    ahead = int((found.tests > 0).sum())
    return f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f}), more on {ahead} of {len(found.tests)}"


def pairs_with_control(everything: Everything, recipe: str) -> Iterator[Pair]:
    """What a recipe made of each test, and what the control of the same group and length made of it."""
    for place, judged in everything.items():
        control = everything.get(place._replace(recipe=control_of(recipe)))
        if place.recipe == recipe and control is not None:
            if not (np.array_equal(judged.neurons, control.neurons) and np.array_equal(judged.voxels, control.voxels)):
                raise ValueError(f"{place} and its control were not judged on the same fragments and truth")
            yield place, judged, control


def control_of(recipe: str) -> str:
    """Name of the control that took as many steps as a recipe."""
    return f"{CONTROL.name}, {recipe.rsplit(', ', 1)[-1]}"


def edge_difference(pairs: list[Pair], score: int = EDGE_SCORE, repeats: int = REPEATS) -> Difference:
    """Difference of the areas under the edge curves."""
    rng = np.random.default_rng(0)
    found, samples = [], []
    for _, one, control in pairs:
        both = [judged.contacts[score] for judged in (one, control)]
        found.append(np.subtract(*(edge_curve(each, one.same, one.areas).area for each in both)))
        samples.append(np.subtract(*edge_samples(both, one.truth, one.areas, repeats=repeats, rng=rng)))
    return _summary(found, samples)


def topology_difference(everything: Everything, pairs: list[Pair], repeats: int = REPEATS) -> Difference:
    """Difference of the VOI sums, each with what is best on the other tests of its network."""
    rng = np.random.default_rng(0)
    found, samples = [], []
    for place, one, control in pairs:
        beside = place._replace(recipe=control_of(place.recipe))
        bits = one.bits[chosen(everything, place)] - control.bits[chosen(everything, beside)]
        found.append(bits.sum(dtype=float) / one.voxels.sum())
        count = len(bits)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=repeats)
        samples.append(drawn @ bits / (drawn @ one.voxels))
    return _summary(found, samples)


def chosen(everything: Everything, place: Place) -> tuple[int, int]:
    """Score and threshold (indices) that are best for a network on its other tests: their mean VOI is smallest."""
    others = [
        judged.voi
        for other, judged in everything.items()
        if other._replace(test=place.test) == place and other != place
    ]
    best = np.unravel_index(np.mean(others, axis=0).argmin(), others[0].shape)
    return int(best[0]), int(best[1])


def _summary(found: list[float], samples: list[NDArray[np.float64]]) -> Difference:
    low, high = np.nanpercentile(np.mean(samples, axis=0), (2.5, 97.5))
    return Difference(np.array(found), float(np.mean(found)), float(low), float(high))


if __name__ == "__main__":
    main()
