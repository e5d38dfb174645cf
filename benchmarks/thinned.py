"""A stand-in for serial sections: every fourth section of the isotropic FIB-SEM sample, along each of its axes.

A network learns from all twelve thinned volumes (three axes, four starts); it is judged on one of them, along z.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

THINNING = 4
"""Every so manieth section is kept: voxels of 40 × 10 × 10 nm."""
HELD_OUT = slice(120, 150)
"""Sections of the isotropic sample that are held out."""
THINNED_HELD_OUT = f"{HELD_OUT.start // THINNING}:{-(-HELD_OUT.stop // THINNING)},:,:"


class Annotated(NamedTuple):
    """Raw (z, y, x) uint8, neuron ids uint64, and the annotated voxels."""

    raw: NDArray[np.uint8]
    labels: NDArray[np.uint64]
    mask: NDArray[np.bool_]


def thin(volume: Annotated, axis: int, start: int) -> Annotated:
    """Every fourth section along an axis, which becomes z."""
    raw, labels, mask = (np.moveaxis(values, axis, 0)[start::THINNING] for values in volume)
    return Annotated(*(np.ascontiguousarray(values) for values in (raw, labels, mask)))


def read_sample(path: Path) -> Annotated:
    """The FIB-SEM sample."""
    import h5py

    with h5py.File(path) as file:
        volumes = file["volumes"]
        labels = volumes["labels/neuron_ids"][()].astype(np.uint64)
        return Annotated(volumes["raw"][()], labels, volumes["labels/mask"][()] > 0)


def write_thinned(sample: Path, work: Path) -> tuple[list[str], list[str]]:
    """Paths of the volumes in which the held-out sections occur only in the first one, and of those with all sections."""
    volume = read_sample(sample)
    seen = Annotated(*(values[: HELD_OUT.start] for values in volume))
    kinds = list(product(range(3), range(THINNING)))
    whole = list(_written(volume, kinds, work / "whole"))
    return [whole[0], *_written(seen, kinds[1:], work / "seen")], whole


def _written(volume: Annotated, kinds: list[tuple[int, int]], folder: Path) -> Iterator[str]:
    import h5py

    folder.mkdir(exist_ok=True)
    for axis, start in kinds:
        path = folder / f"{'zyx'[axis]}{start}.h5"
        with h5py.File(path, "w") as file:
            names = ("volumes/raw", "volumes/labels/neuron_ids", "volumes/labels/mask")
            for name, values in zip(names, thin(volume, axis, start), strict=True):
                data = file.create_dataset(name, data=values.astype(np.uint8) if values.dtype == bool else values)
                data.attrs["resolution"] = (10.0 * THINNING, 10.0, 10.0)
        yield str(path)
