"""The folds of the study: what a network learns from, and the tissue on which it is judged, which it has not seen.

The annotated sections of the sample are cut in two with a gap as wide as the network's context; each fold learns from one
part and one of the small volumes and is judged on the other part, the other small volume, and annotated sections of another
place (only those with z < 120: the others are for the report at the very end). The stand-in for serial sections keeps every
fourth section of the same tissue; the small volumes are too small for it.
"""

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from benchmarks.thinned import THINNING, Annotated, thin
from clew.training.options import SERIAL_SECTIONS, AugmentationOptions
from clew.training.sampling import TrainingVolume
from clew.training.targets import split_components

SAMPLE, TRAIN, EXAMPLE, SECTIONS = (
    "fib25_sample2.h5", "fib_small_train.h5", "fib_small_example.h5", "fib25_sample1_sections.h5",
)  # fmt: skip
CONTEXT = 40
LOWER, UPPER = slice(0, 70), slice(90, 150)
CHOOSING = slice(0, 120)
REPORTED = slice(140, 250)
MEMBRANE = 4
"""Voxels of 0 nearer to a neuron than so many are its membrane."""
FIRST_THINNED = 1
"""The section of sample 1 from which on every fourth is kept: most of the annotated ones are among them."""


class Kind(NamedTuple):
    """A kind of tissue: its name, the preset of its networks, its voxel size in nm (z, y, x), how networks learn it."""

    name: str
    preset: str
    voxel_size: tuple[float, float, float]
    augmentation: AugmentationOptions
    training: dict[str, Any]


ISOTROPIC = Kind(
    "isotropic", "small", (10.0, 10.0, 10.0), AugmentationOptions(elastic_spacing=(24.0, 24.0, 24.0), scaling=0.0), {}
)
THICK = Kind(
    "sections", "small-anisotropic", (10.0 * THINNING, 10.0, 10.0), SERIAL_SECTIONS,
    {"crop": (24, 64, 64), "per_section": True, "margin": 2},
)  # fmt: skip
KINDS = (ISOTROPIC, THICK)


class Test(NamedTuple):
    """Tissue to judge a network on: raw (z, y, x) with what lies around as context, the sections to segment, their truth.

    Truth (sections, y, x) is 0 where nobody annotated. Voxel size in nm.
    """

    name: str
    raw: NDArray[np.uint8]
    sections: slice
    truth: NDArray[np.uint64]
    voxel_size: tuple[float, float, float]


class Fold(NamedTuple):
    """What a network learns from, and what it is judged on."""

    kind: Kind
    name: str
    training: list[TrainingVolume]
    tests: list[Test]


def read_folds(folder: Path) -> list[Fold]:
    """Both folds of both kinds, from the folder of the sample volumes."""
    return [*_isotropic(folder), *_thick(folder)]


def reported_sections(folder: Path, kind: Kind = ISOTROPIC) -> Test:
    """Annotated sections of sample 1 on which nothing is chosen: for the report at the very end."""
    return _sections(folder, kind, REPORTED)


def _isotropic(folder: Path) -> list[Fold]:
    sample, train, example = (_read(folder / name) for name in (SAMPLE, TRAIN, EXAMPLE))
    sections = _sections(folder, ISOTROPIC, CHOOSING)
    size = ISOTROPIC.voxel_size
    return [
        Fold(ISOTROPIC, name, [TrainingVolume(*_part(sample, learn)), TrainingVolume(*own)],
             [_dense(f"sample {judge.start}-{judge.stop}", sample, judge, size),
              _dense(other_name, other, slice(0, len(other.raw)), size), sections])
        for name, learn, judge, own, other, other_name in (
            ("a", LOWER, UPPER, example, train, TRAIN), ("b", UPPER, LOWER, train, example, EXAMPLE)
        )
    ]  # fmt: skip


def _thick(folder: Path) -> list[Fold]:
    sample = _read(folder / SAMPLE)
    sections = _sections(folder, THICK, CHOOSING)
    return [
        Fold(THICK, name, [TrainingVolume(*thin(_part(sample, learn), axis, start)) for axis in range(3)
                           for start in range(THINNING)],
             [_dense(f"sample {judge.start}-{judge.stop}, thinned", thin(sample, 0, 0),
                     slice(-(-judge.start // THINNING), -(-judge.stop // THINNING)), THICK.voxel_size), sections])
        for name, learn, judge in (("a", LOWER, UPPER), ("b", UPPER, LOWER))
    ]  # fmt: skip


def _part(volume: Annotated, sections: slice) -> Annotated:
    """Some sections of a volume to learn from, with raw around them as context."""
    around = slice(max(sections.start - CONTEXT, 0), min(sections.stop + CONTEXT, len(volume.raw)))
    mask = np.zeros(volume.raw.shape, bool)
    mask[sections] = True
    mask = mask[around]
    return Annotated(volume.raw[around], np.where(mask, volume.labels[around], 0).astype(np.uint64), mask)


def _dense(name: str, volume: Annotated, sections: slice, voxel_size: tuple[float, float, float]) -> Test:
    """Densely annotated sections: pieces of a neuron that meet only outside them are apart."""
    return Test(name, volume.raw, sections, neurons_touch(split_components(volume.labels[sections])), voxel_size)


def neurons_touch(labels: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Give membranes that are labelled 0 to the nearest neuron: where two meet is the border, away from which is scored."""
    distance, nearest = distance_transform_edt(labels == 0, return_indices=True)
    return np.where(distance <= MEMBRANE, labels[tuple(nearest)], 0)


def _sections(folder: Path, kind: Kind, part: slice) -> Test:
    volume = _read(folder / SECTIONS)
    if kind is THICK:
        volume = thin(volume, 0, FIRST_THINNED)
        part = slice(*(-(-(end - FIRST_THINNED) // THINNING) if end else 0 for end in (part.start, part.stop)))
    return Test("sections of sample 1", volume.raw, part, volume.labels[part].astype(np.uint64), kind.voxel_size)


def _read(path: Path) -> Annotated:
    """A volume; the mask is not needed but for where the whole of it is annotated."""
    with h5py.File(path) as file:
        raw, labels = file["volumes/raw"][:], file["volumes/labels/neuron_ids"][:].astype(np.uint64)
    return Annotated(raw, labels, np.ones(raw.shape, bool))
