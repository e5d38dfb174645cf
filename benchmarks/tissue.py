"""Affinities of any size, computed where they are asked for: a base cube mirrored without end, and noise.

The noise repeats, too, but with periods that share no factor with those of the cube: no two places are alike within
millions of cubes. A voxel's values depend on its place alone, not on the box in which it is read.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks import workload
from clew.replace import written_beside
from clew.segmentation.affinities import quantise
from clew.space import Triple
from clew.synthetic.volume import synthesize

LABELS = "pinky40_labels.h5"
PERIODS = (127, 131, 137)
NOISE = 8
"""Standard deviation of the noise, in levels of 0 … 255."""


@dataclass(frozen=True)
class Tissue:
    """Affinities that are sliced like an array (3, z, y, x) uint8.

    Parameters
    ----------
    base : path
        Affinities of the cube that is mirrored, from `make_base`; each process maps them for itself.
    shape : voxels (z, y, x)
    """

    base: Path
    shape: Triple

    def __getitem__(self, selection: tuple[Any, ...]) -> NDArray[np.uint8]:
        ranges = [np.arange(*axis.indices(length)) for axis, length in zip(selection[-3:], self.shape, strict=True)]
        result = np.empty((3, *(len(places) for places in ranges)), np.uint8)
        for channel, (base, out) in enumerate(zip(_mapped(self.base), result, strict=True)):
            places = [_mirrored(axis, size) for axis, size in zip(ranges, base.shape, strict=True)]
            before = _mirrored(ranges[channel] - 1, base.shape[channel])
            places[channel] = np.maximum(np.maximum(places[channel], before), 1)
            noise = [(axis + 41 * channel) % period for axis, period in zip(ranges, PERIODS, strict=True)]
            np.clip(base[np.ix_(*places)] + _noise()[np.ix_(*noise)], 0, 255, out=out, casting="unsafe")
        return result


def make_base(data: Path | None, size: int) -> Path:
    """Affinities (3, size, size, size) uint8 of real labels in the folder `data`, or of synthetic ones; made once, kept."""
    recipe = hashlib.sha256(f"{data and LABELS} {size}".encode() + Path(workload.__file__).read_bytes()).hexdigest()[
        :12
    ]
    file = Path(tempfile.gettempdir()) / "clew-benchmarks" / f"tissue-{size}-{recipe}.npy"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        with written_beside(file) as partial, partial.open("wb") as opened:
            np.save(opened, quantise(workload.make_affinities(_labels(data, size))))
    return file


@cache
def _mapped(file: Path) -> NDArray[np.uint8]:
    values: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return values


def _labels(data: Path | None, size: int) -> NDArray[np.uint64]:
    if data is None:
        return workload.mirror(synthesize((min(size, workload.LARGEST_SYNTHETIC),) * 3, seed=1).labels, size)
    import h5py

    with h5py.File(data / LABELS) as file:
        return file["volumes/labels/segmentation"][:size, :size, :size].astype(np.uint64)


def _mirrored(places: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    places = places % (2 * size)
    return np.minimum(places, 2 * size - 1 - places)


@cache
def _noise() -> NDArray[np.int16]:
    field = gaussian_filter(np.random.default_rng(3).standard_normal(PERIODS, np.float32), 1.0, mode="wrap")
    return np.rint(NOISE * field / field.std()).astype(np.int16)
