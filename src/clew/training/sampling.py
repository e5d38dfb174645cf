"""Random training crops from annotated volumes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clew.arrays import as_array
from clew.errors import InputError
from clew.evaluation.calibre import calibre_classes
from clew.labels import as_labels, inside_mask
from clew.space import Box, Lengths, Triple, triple
from clew.training.augmentation import (
    change_intensity,
    check_augmentation,
    random_order,
    sample_labels,
    sample_raw,
    sampling_field,
)
from clew.training.crop_sites import CropSites, find_sites
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.section_defects import damage_sections
from clew.training.targets import grow_boundaries

ATTEMPTS = 200


class TrainingVolume(NamedTuple):
    """One annotated volume.

    Parameters
    ----------
    raw : (z, y, x) uint8
    labels : (z, y, x) whole numbers
        0 = background.
    mask : (z, y, x) bool
        True where somebody annotated.

    Examples
    --------
    >>> raw, labels = np.zeros((4, 8, 8), np.uint8), np.ones((4, 8, 8), np.uint64)
    >>> clew.TrainingVolume(raw, labels, mask=labels > 0).raw.shape
    (4, 8, 8)
    """

    raw: NDArray[np.uint8]
    labels: NDArray
    mask: NDArray[np.bool_]


class Crop(NamedTuple):
    """A training example.

    Parameters
    ----------
    raw : (z, y, x) float32
        In [-1, 1].
    labels : (z, y, x) whole numbers
        Of the network's output, centred in raw.
    mask : (z, y, x) bool
        True where somebody annotated, of the network's output.
    surroundings : (z, y, x) whole numbers
        The annotated labels (0 elsewhere) with the sampler's context around them; empty if it has none.
    start : (3,) int64
        The voxel (z, y, x) of the labels at which the grid of MALIS windows has a corner.
    thin : (z, y, x) bool
        True where a neurite is thin; empty where that does not count.
    """

    raw: NDArray[np.float32]
    labels: NDArray
    mask: NDArray[np.bool_]
    surroundings: NDArray = np.empty((0, 0, 0))
    start: NDArray[np.int64] = np.zeros(3, np.int64)
    thin: NDArray[np.bool_] = np.empty((0, 0, 0), bool)


@dataclass(frozen=True)
class Sampler:
    """Draws crops from prepared volumes, by their weights, where they are annotated.

    Annotation may be sparse, such as every fifth section: a crop is compared with the best-annotated one of its volume.
    Crops are resampled on the `device`, and always handed out as numpy arrays. With a `context` (z, y, x), labels are
    sampled by so many voxels farther on each side, as the surroundings of the crop. `thin` are the voxels (z, y, x) of each
    volume that `find_thin` found, if their weight counts.
    """

    volumes: tuple[TrainingVolume, ...]
    input_shape: Triple
    output_shape: Triple
    options: TrainingOptions
    augmentation: AugmentationOptions
    device: str = "cpu"
    context: Triple = (0, 0, 0)
    thin: tuple[NDArray[np.bool_], ...] = ()

    def __post_init__(self) -> None:
        check_augmentation(self.augmentation)
        weights = self.options.volume_weights
        if weights is not None and len(weights) != len(self.volumes):
            raise InputError(f"volume weights must be one for each of {len(self.volumes)} volumes, not {weights}")

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Chance of each volume to be drawn from."""
        weights = self.options.volume_weights or [np.count_nonzero(volume.mask) for volume in self.volumes]
        if not sum(weights):
            raise InputError("no crop can be drawn: the weights, or the masks, of all volumes are 0")
        return np.array(weights, dtype=np.float64) / sum(weights)

    @cached_property
    def sites(self) -> tuple[CropSites, ...]:
        """Where the crops of each volume may lie."""
        minimum = self.options.minimum_annotated
        return tuple(find_sites(volume.mask, self.output_shape, minimum) for volume in self.volumes)

    def draw(self, step: int, index: int = 0) -> Crop:
        """Draw the crop of a step.

        It is the same for the same seed, step and index in the batch.
        """
        rng = np.random.default_rng((self.options.seed, step, index))
        for _ in range(ATTEMPTS):
            chosen = rng.choice(len(self.volumes), p=self.shares)
            sites = self.sites[chosen]
            thin = self.thin[chosen] if self.thin else None
            crop = self.cut(self.volumes[chosen], sites.draw_center(rng), rng, thin)
            if crop.mask.mean() >= self.options.minimum_annotated * sites.best and self._is_rich(crop):
                return crop._replace(start=rng.integers(0, self.output_shape))
        raise InputError(
            f"no crop of {self.output_shape} voxels was found in {ATTEMPTS} attempts that is annotated and holds "
            f"{self.options.minimum_objects} neurons or more on {self.options.minimum_foreground:.0%} of it; give a "
            "smaller --crop, --minimum-annotated, --minimum-objects or --minimum-foreground; clew plan says what the volumes hold"
        )

    def cut(
        self,
        volume: TrainingVolume,
        center: NDArray[np.float64],
        rng: np.random.Generator,
        thin: NDArray[np.bool_] | None = None,
    ) -> Crop:
        """The crop around a centre (z, y, x) in voxels, augmented at random."""
        axes, flips = random_order(rng, self.augmentation)
        outer, inner, context = (_before(s, axes) for s in (self.input_shape, self.output_shape, self.context))
        wide = _widened(inner, context)
        more = [max(0, -(-(have - need) // 2)) for have, need in zip(wide, outer, strict=True)]
        field = sampling_field(_widened(outer, more), rng, self.augmentation, self.device)
        raw = scale_raw(sample_raw(volume.raw, center, outer, _inner(field, more)))
        raw = change_intensity(raw, rng, self.augmentation)
        if self.augmentation.serial_sections:
            damage_sections(raw, rng, self.augmentation)
        labels, mask = sample_labels(volume.labels, volume.mask, center, wide, field)
        parts = {"raw": raw, "labels": _inner(labels, context), "mask": _inner(mask, context)}
        if any(context):
            parts["surroundings"] = np.where(mask, labels, 0)
        if thin is not None:
            parts["thin"] = _inner(sample_labels(volume.labels, thin, center, wide, field)[1], context)
        return Crop(
            **{name: np.ascontiguousarray(np.flip(part.transpose(axes), flips)) for name, part in parts.items()}
        )

    def _is_rich(self, crop: Crop) -> bool:
        """Whether a crop holds enough annotated neurons."""
        annotated = crop.labels[crop.mask]
        least = max(1, self.options.minimum_foreground * annotated.size)
        if np.count_nonzero(annotated) < least:
            return False
        if self.options.minimum_objects == 1:
            return True
        return bool(np.count_nonzero(np.bincount(annotated)[1:]) >= self.options.minimum_objects)


def prepare_volume(volume: TrainingVolume, boundary_steps: int, *, per_section: bool = False) -> TrainingVolume:
    """Grow background between the objects and relabel them 1..n, as uint32."""
    volume = checked_volume(volume)
    indices = np.unique(volume.labels, return_inverse=True)[1].reshape(volume.labels.shape)
    labels = (indices + (volume.labels.min() != 0)).astype(np.uint32)
    if boundary_steps:
        labels = grow_boundaries(labels, boundary_steps, per_section, volume.mask).astype(np.uint32)
    return TrainingVolume(volume.raw, labels, volume.mask)


def find_thin(volumes: Sequence[TrainingVolume], voxel_size: Lengths, below: float) -> tuple[NDArray[np.bool_], ...]:
    """The voxels of each volume at which a neurite is thinner than `below` nm.

    Calibres are those of the labels as they were annotated, before boundaries grow.
    """
    thin = tuple(
        calibre_classes(volume.labels, voxel_size, (below,), annotated=volume.mask) == 1
        for volume in map(checked_volume, volumes)
    )
    if not any(each.any() for each in thin):
        raise InputError(
            f"no annotated neurite is thinner than {below:g} nm, so that --thin-weight changes nothing: give a larger --thin-below"
        )
    return thin


def checked_volume(volume: TrainingVolume) -> TrainingVolume:
    """Check that the arrays of a volume fit, and labels are whole numbers from 0 on."""
    raw, labels = as_array(volume.raw, "raw"), as_labels(volume.labels, "labels")
    mask = inside_mask(volume.mask)
    if raw.dtype != np.uint8 or not raw.shape == labels.shape == mask.shape:
        found = f"{raw.dtype} of shape {raw.shape}, {labels.shape} and {mask.shape}"
        raise InputError(f"raw (uint8), labels and mask must be (z, y, x) of one shape, not {found}")
    return TrainingVolume(raw, labels, mask)


def scale_raw(raw: NDArray) -> NDArray[np.float32]:
    """uint8 raw to float32 in [-1, 1]."""
    return raw.astype(np.float32) / np.float32(127.5) - np.float32(1)


def _before(shape: Triple, axes: tuple[int, ...]) -> Triple:
    """The shape that becomes `shape` by a transposition."""
    return triple(shape[axes.index(axis)] for axis in range(3))


def _widened(shape: Triple, context: Sequence[int]) -> Triple:
    return triple(size + 2 * more for size, more in zip(shape, context, strict=True))


def _inner(array: Any, context: Sequence[int]) -> Any:
    """An array or a field (or None) without its context.

    The context lies at both ends of the last three axes.
    """
    if array is None or not any(context):
        return array
    less = [-more for more in context]
    inner = array[(..., *Box.whole(array.shape).grown(less, less))]
    return inner.contiguous() if isinstance(inner, Tensor) else np.ascontiguousarray(inner)
