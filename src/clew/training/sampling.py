"""Random training crops from annotated volumes."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.training.augmentation import change_intensity, permute_axes, sample_labels, sample_raw, sampling_grid
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.targets import grow_boundaries

ATTEMPTS = 200


class TrainingVolume(NamedTuple):
    """One annotated volume: raw (z, y, x) uint8, labels (z, y, x) with 0 = background, mask (z, y, x) bool of annotated voxels."""

    raw: NDArray[np.uint8]
    labels: NDArray
    mask: NDArray[np.bool_]


class Crop(NamedTuple):
    """A training example: raw (z, y, x) float32 in [-1, 1]; labels and mask of the network's output, centred in it."""

    raw: NDArray[np.float32]
    labels: NDArray
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Sampler:
    """Draws crops; volumes are chosen by their number of annotated voxels."""

    volumes: tuple[TrainingVolume, ...]
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    options: TrainingOptions
    augmentation: AugmentationOptions

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Each volume's share of the annotated voxels."""
        annotated = np.array([np.count_nonzero(volume.mask) for volume in self.volumes], dtype=np.float64)
        return annotated / annotated.sum()

    def draw(self, step: int, index: int = 0) -> Crop:
        """The crop of a step: the same for the same seed, step and index in the batch."""
        rng = np.random.default_rng((self.options.seed, step, index))
        for _ in range(ATTEMPTS):
            volume = self.volumes[rng.choice(len(self.volumes), p=self.shares)]
            crop = self._cut(volume, rng)
            if crop.mask.mean() >= self.options.minimum_annotated and crop.labels.any():
                return crop
        raise InputError(
            f"no crop of {self.output_shape} voxels with at least {self.options.minimum_annotated:.0%} annotated voxels "
            f"was found in {ATTEMPTS} attempts; give a smaller crop or minimum-annotated"
        )

    def _cut(self, volume: TrainingVolume, rng: np.random.Generator) -> Crop:
        center = _random_center(volume, self.output_shape, rng)
        grid = sampling_grid(self.input_shape, rng, self.augmentation, per_section=self.options.per_section)
        inner = (slice(None), *_central(self.input_shape, self.output_shape))
        raw = sample_raw(volume.raw, center, grid)
        labels = sample_labels(volume.labels, center, grid[inner])
        mask = sample_labels(volume.mask, center, grid[inner])
        raw, labels, mask = permute_axes([raw, labels, mask], rng, self.augmentation)
        raw = change_intensity(scale_raw(raw), rng, self.augmentation)
        return Crop(raw, np.ascontiguousarray(labels), np.ascontiguousarray(mask))


def prepare_volume(volume: TrainingVolume, boundary_steps: int, *, per_section: bool = False) -> TrainingVolume:
    """Grow a background between the objects and number the labels 1..n."""
    numbers = np.unique(volume.labels, return_inverse=True)[1].reshape(volume.labels.shape)
    labels = (numbers + (volume.labels.min() != 0)).astype(np.uint32)
    labels = grow_boundaries(labels, boundary_steps, per_section, volume.mask) if boundary_steps else labels
    return TrainingVolume(volume.raw, labels, volume.mask)


def scale_raw(raw: NDArray) -> NDArray[np.float32]:
    """uint8 raw to float32 in [-1, 1]."""
    return raw.astype(np.float32) / np.float32(127.5) - np.float32(1)


def _random_center(
    volume: TrainingVolume, shape: tuple[int, int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    annotated = [np.flatnonzero(volume.mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    center = []
    for size, where in zip(shape, annotated, strict=True):
        low, high = where[0], max(where[-1] + 1 - size, where[0])
        start = rng.integers(low, high + 1) if high > low else (where[0] + where[-1] + 1 - size) // 2
        center.append(start + (size - 1) / 2)
    return np.array(center)


def _central(outer: tuple[int, int, int], inner: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    starts = [(have - want) // 2 for have, want in zip(outer, inner, strict=True)]
    z, y, x = (slice(start, start + want) for start, want in zip(starts, inner, strict=True))
    return z, y, x
