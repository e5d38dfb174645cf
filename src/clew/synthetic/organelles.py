"""What lies inside and between neurites.

Mitochondria, small organelles, microtubules, synapses.
"""

from dataclasses import dataclass, field

import numpy as np

from clew.synthetic.neurites import Neurite
from clew.synthetic.options import SyntheticOptions
from clew.synthetic.territory import Territory, Tube, box_around, distance_to

FAR = 200.0
"""Distance in nm that stands for none of it near here."""
RIM = 26.0
"""Cytoplasm between a mitochondrion's surface and the border of its neurite, in nm."""


@dataclass
class Organelles:
    """Signed distances in nm to the surfaces of the organelles, for each cell.

    Parameters
    ----------
    territory : Territory
        Where the neurites are.
    """

    territory: Territory
    mitochondria: np.ndarray = field(init=False)
    vesicles: np.ndarray = field(init=False)
    microtubules: np.ndarray = field(init=False)
    synapses: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        for name in ("mitochondria", "vesicles", "microtubules", "synapses"):
            setattr(self, name, np.full(self.territory.grid.shape, FAR, np.float32))

    def put(self, field_: np.ndarray, tube: Tube, margin: float, owner: int | None = None, rim: float = 0.0) -> int:
        """Add a tube to a field and return the cells that it newly covers.

        It stays at least ``rim`` nm inside ``owner``.
        """
        box = box_around(tube, margin, self.territory.grid)
        if box is None:
            return 0
        distance = distance_to(tube, box, self.territory.grid)
        if owner is not None:
            depth = np.minimum(self.territory.second[box] - self.territory.nearest[box], 2 * FAR) / 2
            distance = np.maximum(distance, np.float32(rim) - depth)
            distance[self.territory.owner[box] != owner] = FAR
        old = field_[box]
        gained = int(np.count_nonzero((distance < 0) & (old >= 0)))
        np.minimum(old, distance, out=old)
        return gained


def place_organelles(
    territory: Territory, neurites: list[Neurite], options: SyntheticOptions, rng: np.random.Generator
) -> Organelles:
    """Fill neurites with organelles, and set synapses on their borders."""
    organelles = Organelles(territory)
    if neurites and neurites[0].tubes:
        _place_mitochondria(organelles, neurites, options, rng)
        _place_vesicles(organelles, neurites, options, rng)
        _place_microtubules(organelles, neurites, options, rng)
    _place_synapses(organelles, options, rng)
    return organelles


def _place_mitochondria(
    organelles: Organelles, neurites: list[Neurite], options: SyntheticOptions, rng: np.random.Generator
) -> None:
    """Lay mitochondria along the axes of thick neurites.

    It ends when they have their share of the volume.
    """
    runs = [
        (neurite, first) for neurite in neurites for first, tube in enumerate(neurite.tubes) if tube.start_radius > 90
    ]
    wanted = options.mitochondria * organelles.territory.owner.size
    for choice in rng.permutation(len(runs)):
        if wanted <= 0:
            return
        neurite, first = runs[choice]
        tubes = neurite.tubes[first : first + int(rng.integers(2, 7))]
        free = float(np.median([tube.end_radius for tube in tubes])) - RIM
        thickness = min(free * rng.uniform(0.55, 1.0), rng.uniform(90, 190))
        aside = _sideways(tubes[0], rng) * max(0.0, free - thickness)
        for tube, taper in zip(tubes, _tapers(len(tubes)), strict=True):
            body = Tube(tube.start + aside, tube.end + aside, thickness * taper[0], thickness * taper[1])
            wanted -= organelles.put(organelles.mitochondria, body, 40, neurite.id, RIM)


def _tapers(count: int) -> list[tuple[float, float]]:
    """Relative thickness at both ends of each piece: round ends, a full middle."""
    profile = np.sqrt(np.clip(1 - np.linspace(-0.85, 0.85, count + 1) ** 4, 0, 1))
    return list(zip(profile[:-1].tolist(), profile[1:].tolist(), strict=True))


def _sideways(tube: Tube, rng: np.random.Generator) -> np.ndarray:
    axis = tube.end - tube.start
    aside = np.cross(axis, rng.normal(size=3))
    return aside / max(1e-6, float(np.linalg.norm(aside)))


def _place_vesicles(
    organelles: Organelles, neurites: list[Neurite], options: SyntheticOptions, rng: np.random.Generator
) -> None:
    thick = [(neurite.id, tube) for neurite in neurites for tube in neurite.tubes if tube.start_radius > 90]
    volume = float(np.prod(organelles.territory.grid.extent)) / 1e9
    for _ in range(rng.poisson(options.organelles * volume) if thick else 0):
        name, tube = thick[rng.integers(len(thick))]
        radius = rng.uniform(25, 55)
        aside = _sideways(tube, rng) * rng.uniform(0, max(0.0, tube.start_radius - radius - RIM))
        end = tube.start + aside + rng.normal(0, 40, 3)
        body = Tube(tube.start + aside, end, radius, radius * rng.uniform(0.7, 1))
        organelles.put(organelles.vesicles, body, 60, name, RIM)


def _place_microtubules(
    organelles: Organelles, neurites: list[Neurite], options: SyntheticOptions, rng: np.random.Generator
) -> None:
    if options.texture == 0:
        return
    for neurite in neurites:
        strands = [(rng.normal(size=3), rng.uniform(0.1, 0.7)) for _ in range(rng.integers(2, 7))]
        for tube in neurite.tubes:
            if tube.start_radius < 70:
                continue
            axis = (tube.end - tube.start) / np.linalg.norm(tube.end - tube.start)
            for direction, place in strands:
                aside = direction - (direction @ axis) * axis
                aside *= place * tube.start_radius / max(1e-6, float(np.linalg.norm(aside)))
                strand = Tube(tube.start + aside, tube.end + aside, 0.0, 0.0)
                organelles.put(organelles.microtubules, strand, 40, neurite.id)


def _place_synapses(organelles: Organelles, options: SyntheticOptions, rng: np.random.Generator) -> None:
    """Set a dark density on the inner side of a border."""
    territory = organelles.territory
    lead = territory.lead()
    places = np.argwhere((lead > 10) & (lead < 50))
    volume = float(np.prod(territory.grid.extent)) / 1e9
    for choice in rng.integers(len(places), size=rng.poisson(options.synapses * volume) if len(places) else 0):
        centre = (places[choice] + 0.5) * np.array(territory.grid.step)
        end = centre + rng.normal(0, 25, 3)
        organelles.put(organelles.synapses, Tube(centre, end, rng.uniform(24, 38), rng.uniform(15, 30)), 140)
