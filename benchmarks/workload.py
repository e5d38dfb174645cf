"""What is timed: affinities as a network would predict them, made from labels, so that no network need run first.

Membranes are blurred, noise is correlated over a few voxels, and there are gaps in membranes and false membranes inside
objects. The same size, labels and seed give the same bytes; they are kept in a cache folder.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from clew.segmentation.affinities import quantise
from clew.synthetic.volume import synthesize

SAMPLE = "fib25_sample2.h5"
ANNOTATED = 150
LARGEST_SYNTHETIC = 250

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Workload:
    """A cube of affinities with its truth.

    Parameters
    ----------
    affinities : (3, z, y, x) float32
    levels : (3, z, y, x) uint8
        The same, quantised.
    labels : (z, y, x) uint64
    origin : str
        Where the labels come from, in words.
    files : path
        Folder of `affinities.npy`, for child processes.
    """

    affinities: NDArray[np.float32]
    levels: NDArray[np.uint8]
    labels: NDArray[np.uint64]
    origin: str
    files: Path

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return self.labels.size


def load_workload(size: int, data: Path | None = None, cache: Path | None = None) -> Workload:
    """The workload of `size`³ voxels: from synthetic labels, or from those of the FIB-SEM sample in the folder `data`.

    Labels are continued by mirroring where they are too short; noise is not mirrored.
    """
    origin = "synthetic labels" if data is None else f"labels of {SAMPLE}, z < {ANNOTATED}, mirrored"
    recipe = hashlib.sha256(f"{origin} {size}".encode() + Path(__file__).read_bytes()).hexdigest()[:12]
    files = (cache or Path(tempfile.gettempdir()) / "clew-benchmarks") / f"{size}-{recipe}"
    if not (files / "affinities.npy").exists():
        labels = mirror(_base_labels(size, data), size)
        files.mkdir(parents=True, exist_ok=True)
        np.save(files / "labels.npy", labels)
        np.save(files / "affinities.npy", make_affinities(labels))
    affinities = np.load(files / "affinities.npy")
    return Workload(affinities, quantise(affinities), np.load(files / "labels.npy"), origin, files)


def mirror(labels: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Labels of `size`³ voxels: cut where they are longer, mirrored again and again where they are shorter."""
    cut = labels[:size, :size, :size]
    return np.pad(cut, [(0, size - length) for length in cut.shape], mode="symmetric")


def make_affinities(labels: NDArray[np.uint64], seed: int = 7) -> NDArray[np.float32]:
    """Affinities (3, z, y, x) float32 as a network of middling quality would predict them for these labels."""
    random = np.random.default_rng(seed)
    boundary = np.zeros(labels.shape, bool)
    for axis in range(3):
        differs = np.diff(labels, axis=axis) != 0
        boundary[_cut(axis, 0, -1)] |= differs
        boundary[_cut(axis, 1, None)] |= differs
    inside = (~boundary).astype(np.float32)
    inside = 0.65 * gaussian_filter(inside, 1.2) + 0.32 * gaussian_filter(inside, 4)
    gaps = 0.55 * np.clip(0.8 * (_noise(random, labels.shape, 5) - 1.3), 0, 1)
    false_membranes = 0.7 * np.clip(_noise(random, labels.shape, 4) - 1.6, 0, 1)
    noise = 0.03 * _noise(random, labels.shape, 2.5) + 0.003 * _noise(random, labels.shape, 0.9)
    affinities = np.zeros((3, *labels.shape), np.float32)
    for axis, out in enumerate(affinities):
        same = np.zeros(labels.shape, np.float32)
        same[_cut(axis, 1, None)] = np.diff(labels, axis=axis) == 0
        values = _between(inside, axis) * (0.5 + 0.5 * gaussian_filter(same, 0.7))
        values += np.maximum(0.85 - values, 0) * _between(gaps, axis)
        values *= 1 - _between(false_membranes, axis)
        np.clip(values + _between(noise, axis), 0, 1, out=out)
        out[_cut(axis, 0, 1)] = 0
    return affinities


def _base_labels(size: int, data: Path | None) -> NDArray[np.uint64]:
    if data is None:
        return synthesize((min(size, LARGEST_SYNTHETIC),) * 3, seed=1).labels
    import h5py

    with h5py.File(data / SAMPLE) as file:
        return file["volumes/labels/neuron_ids"][:ANNOTATED].astype(np.uint64)


def _noise(random: np.random.Generator, shape: tuple[int, ...], width: float) -> Field:
    """Gaussian noise of variance 1, correlated over `width` voxels."""
    field = gaussian_filter(random.standard_normal(shape, dtype=np.float32), width)
    return field / field.std()


def _between(field: Field, axis: int) -> Field:
    """The field halfway between each voxel and its predecessor along the axis."""
    result = field.copy()
    result[_cut(axis, 1, None)] = (field[_cut(axis, 0, -1)] + field[_cut(axis, 1, None)]) / 2
    return result


def _cut(axis: int, start: int, stop: int | None) -> Any:
    return (slice(None),) * axis + (slice(start, stop),)
