"""The two volumes of the study: the isotropic sample, and a stand-in for serial sections made from it."""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.thinned import HELD_OUT, THINNING, Annotated, read_sample, thin
from benchmarks.workload import SAMPLE
from clew.network.prediction import Box
from clew.training.options import SERIAL_SECTIONS, AugmentationOptions
from clew.training.sampling import TrainingVolume, scale_raw
from clew.training.section_defects import damage_sections
from clew.training.targets import split_components

SURROUNDINGS = 40
"""Sections of the isotropic sample that are segmented on each side of the held-out ones."""


class Study(NamedTuple):
    """Volumes to train on, without the held-out sections, and what is segmented and scored.

    Everything in the box `segmented` of `raw` is segmented; its sections `scored` have the truth `truth`.
    """

    name: str
    training: list[TrainingVolume]
    voxel_size: tuple[float, float, float]
    augmentation: AugmentationOptions
    per_section: bool
    raw: NDArray[np.uint8]
    truth: NDArray[np.uint64]
    segmented: Box
    scored: slice


def read_studies(folder: Path) -> list[Study]:
    """The isotropic sample and its thinned, damaged twin."""
    sample = read_sample(folder / SAMPLE)
    isotropic = _study("isotropic", sample, [_unseen(sample, HELD_OUT)], 1, AugmentationOptions())
    before = Annotated(*(values[: HELD_OUT.start] for values in sample))
    thinned = thin(sample, 0, 0)
    damaged = thinned._replace(raw=_damage(thinned.raw))
    others = [thin(before, axis, start) for axis, start in product(range(3), range(THINNING))][1:]
    training = [_unseen(damaged, _thinned(HELD_OUT)), *(TrainingVolume(*volume) for volume in others)]
    return [isotropic, _study("sections", damaged, training, THINNING, SERIAL_SECTIONS)]


def _study(
    name: str, volume: Annotated, training: list[TrainingVolume], thinning: int, augmentation: AugmentationOptions
) -> Study:
    held_out, wide = HELD_OUT, slice(HELD_OUT.start - SURROUNDINGS, HELD_OUT.stop + SURROUNDINGS)
    if thinning > 1:
        held_out, wide = _thinned(held_out), _thinned(wide)
    _, height, width = volume.raw.shape
    return Study(
        name, training, (10.0 * thinning, 10.0, 10.0), augmentation, thinning > 1, volume.raw,
        split_components(volume.labels[held_out]), (wide, slice(0, height), slice(0, width)),
        slice(held_out.start - wide.start, held_out.stop - wide.start),
    )  # fmt: skip


def _unseen(volume: Annotated, sections: slice) -> TrainingVolume:
    mask = volume.mask.copy()
    mask[sections] = False
    return TrainingVolume(volume.raw, volume.labels, mask)


def _thinned(sections: slice) -> slice:
    return slice(-(-sections.start // THINNING), -(-sections.stop // THINNING))


def _damage(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The sections with missing, faint and soiled ones among them, always the same."""
    damaged = scale_raw(raw)
    damage_sections(damaged, np.random.default_rng(0), SERIAL_SECTIONS)
    return np.clip((damaged + 1) * 127.5, 0, 255).round().astype(np.uint8)
