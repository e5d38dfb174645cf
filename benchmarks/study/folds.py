"""The folds of the study: what a network learns from, and the tissue on which it is judged, which it has not seen.

The annotated sections of the sample are cut in two with a gap as wide as the network's context; each fold learns from one
part and one of the small volumes and is judged on the other part, the other small volume, and annotated sections of another
place (only those with z < 120: the others are for the report at the very end).
"""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from clew.training.sampling import TrainingVolume
from clew.training.targets import split_components

SAMPLE, TRAIN, EXAMPLE, SECTIONS = (
    "fib25_sample2.h5", "fib_small_train.h5", "fib_small_example.h5", "fib25_sample1_sections.h5",
)  # fmt: skip
VOXEL_SIZE = (10.0, 10.0, 10.0)
CONTEXT = 40
LOWER, UPPER = slice(0, 70), slice(90, 150)
CHOOSING = slice(0, 120)


class Test(NamedTuple):
    """Tissue to judge a network on: raw (z, y, x) with what lies around as context, the sections to segment, their truth.

    Truth (sections, y, x) is 0 where nobody annotated; `per_section` where only single sections are annotated.
    """

    name: str
    raw: NDArray[np.uint8]
    sections: slice
    truth: NDArray[np.uint64]
    per_section: bool


class Fold(NamedTuple):
    """What a network learns from, and what it is judged on."""

    name: str
    training: list[TrainingVolume]
    tests: list[Test]


def read_folds(folder: Path) -> list[Fold]:
    """Both folds, from the folder of the sample volumes."""
    raw, labels = _read(folder / SAMPLE)
    small = {name: _read(folder / name) for name in (TRAIN, EXAMPLE)}
    sections = _annotated_sections(folder / SECTIONS)
    return [
        Fold(name, [_part(raw, labels, learn), TrainingVolume(*small[own], np.ones(small[own][0].shape, bool))],
             [_dense(f"sample {judge.start}-{judge.stop}", raw, labels, judge),
              _dense(other, *small[other], slice(0, small[other][0].shape[0])), sections])
        for name, learn, judge, own, other in (("a", LOWER, UPPER, EXAMPLE, TRAIN), ("b", UPPER, LOWER, TRAIN, EXAMPLE))
    ]  # fmt: skip


def _part(raw: NDArray[np.uint8], labels: NDArray, sections: slice) -> TrainingVolume:
    """Some sections of a volume to learn from, with raw around them as context."""
    around = slice(max(sections.start - CONTEXT, 0), min(sections.stop + CONTEXT, len(raw)))
    mask = np.zeros(raw.shape, bool)
    mask[sections] = True
    return TrainingVolume(raw[around], np.where(mask[around], labels[around], 0), mask[around])


def _dense(name: str, raw: NDArray[np.uint8], labels: NDArray, sections: slice) -> Test:
    """Densely annotated sections: pieces of a neuron that meet only outside them are apart."""
    return Test(name, raw, sections, split_components(labels[sections]), False)


def _annotated_sections(path: Path) -> Test:
    raw, labels = _read(path)
    return Test("sections of sample 1", raw, CHOOSING, labels[CHOOSING].astype(np.uint64), True)


def _read(path: Path) -> tuple[NDArray[np.uint8], NDArray]:
    with h5py.File(path) as file:
        return file["volumes/raw"][:], file["volumes/labels/neuron_ids"][:]
