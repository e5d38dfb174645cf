"""Neurites: branching, persistent random walks that look for free space."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clew.synthetic.grid import Grid
from clew.synthetic.options import SyntheticOptions
from clew.synthetic.territory import REACH, Territory, Tube

CANDIDATES = 14
"""Directions tried at each step of a walk."""
OVERLAP = 8.0
"""How far, in nm, a growing neurite may press into its neighbours."""
MOST_BRANCHES = 6
"""Branches of one neurite, at most."""
FULL = 0.015
"""Growth ends when less than this fraction of the cells is free."""


@dataclass(frozen=True)
class Neurite:
    """One neuron's process: its id and its tubes, in order of growth."""

    id: int
    tubes: list[Tube]


@dataclass(frozen=True)
class Sprout:
    """Where a walk begins, where to and how thick."""

    position: np.ndarray
    direction: np.ndarray
    radius: float


def grow_tissue(territory: Territory, options: SyntheticOptions, rng: np.random.Generator) -> list[Neurite]:
    """Fill a territory with neurites, thick ones first.

    Growth ends when hardly any free space is left.
    """
    neurites: list[Neurite] = []
    failures, free = 0, 1.0
    while free > FULL and failures < 30:
        position = _free_place(territory, rng)
        radius = _draw_radius(free, territory.grid, options, rng)
        tubes = list(_grow(Sprout(position, _random_direction(rng), radius), territory, options, rng))
        roughness, vigour = options.roughness * rng.uniform(-1, 1), float(np.exp(rng.normal(0, 0.35)))
        for tube in tubes:
            thickness = (tube.start_radius + tube.end_radius) / 2
            territory.claim(len(neurites) + 1, tube, roughness * min(1.0, thickness / 60), vigour)
        neurites.append(Neurite(len(neurites) + 1, tubes))
        now = float((territory.nearest > 0.6 * options.thinnest).mean())
        failures = failures + 1 if now > free - 2e-4 else 0
        free = now
    return neurites


def _draw_radius(free: float, grid: Grid, options: SyntheticOptions, rng: np.random.Generator) -> float:
    thickest = max(options.thinnest, min(options.thickest, 0.5 * float(grid.extent.min())))
    progress = np.clip((1 - free) ** 1.9 + rng.normal(0, 0.2), 0, 1)
    return float(np.exp(np.interp(progress, [0, 1], np.log([thickest / 2, options.thinnest / 2]))))


def _free_place(territory: Territory, rng: np.random.Generator) -> np.ndarray:
    places = rng.random((400, 3)) * territory.grid.extent
    return places[np.argmax(territory.room_at(places))]


def _random_direction(rng: np.random.Generator) -> np.ndarray:
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction)


def _grow(sprout: Sprout, territory: Territory, options: SyntheticOptions, rng: np.random.Generator) -> Iterator[Tube]:
    """Walk both ways from a place, then along the branches found on the way."""
    waiting = [sprout, Sprout(sprout.position, -sprout.direction, sprout.radius)]
    branches = 0
    while waiting:
        sprout = waiting.pop()
        for tube in _walk(sprout, territory, options, rng):
            length = float(np.linalg.norm(tube.end - tube.start))
            if branches < MOST_BRANCHES and rng.random() < options.branching * length / 1000:
                branches += 1
                aside = tube.end - tube.start + length * 1.5 * _random_direction(rng)
                thinner = max(options.thinnest / 2, tube.end_radius * rng.uniform(0.4, 0.9))
                waiting.append(Sprout(tube.end, aside / np.linalg.norm(aside), thinner))
            yield tube


def _walk(sprout: Sprout, territory: Territory, options: SyntheticOptions, rng: np.random.Generator) -> Iterator[Tube]:
    """Walk straight on where there is space, swelling and thinning.

    The walk ends where the way is blocked or leaves the volume.
    """
    thinnest = options.thinnest / 2
    position, direction, extent = sprout.position, sprout.direction, territory.grid.extent
    radius = max(thinnest, min(sprout.radius, float(territory.room_at(position[None])[0]) + OVERLAP))
    swelling, longest = 0.0, int(1.5 * extent.max() / max(40.0, 0.9 * sprout.radius))
    for _ in range(longest):
        step = max(40.0, 0.9 * radius)
        ways = direction + rng.normal(0, 0.35, (CANDIDATES, 3))
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        room = territory.room_at(position + (step + 0.5 * radius) * ways)
        wanted = min(sprout.radius, REACH)
        choice = int(np.argmax(np.minimum(room / wanted, 1) + 0.8 * ways @ direction))
        if room[choice] < -OVERLAP:
            return
        swelling = 0.8 * swelling + rng.normal(0, 0.2)
        target = sprout.radius * np.exp(swelling)
        fitting = room[choice] + OVERLAP if room[choice] < REACH else target
        fresh = max(thinnest, 0.5 * radius + 0.5 * min(target, fitting))
        end = position + step * ways[choice]
        yield Tube(position, end, radius, fresh)
        position, direction, radius = end, ways[choice], fresh
        if np.any(position < -radius) or np.any(position > extent + radius):
            return
