"""The bundled network segments what it was made for: real FIB-SEM, and the synthetic volumes that imitate it."""

from pathlib import Path

import numpy as np
import pytest

from clew.evaluation.scores import evaluate
from clew.network.bundled import open_checkpoint
from clew.network.prediction import predict_affinities
from clew.segmentation.options import AgglomerationOptions, CutOptions, SegmentationOptions
from clew.segmentation.segment import segment as segment_affinities
from clew.synthetic.volume import synthesize
from clew.training.targets import split_components
from clew.volumes.open import open_volume


def segment(raw: np.ndarray, box: tuple[slice, slice, slice]) -> np.ndarray:
    checkpoint = open_checkpoint("fib-10nm")
    affinities = predict_affinities(checkpoint.network, raw, box=box)
    options = SegmentationOptions(
        agglomeration=AgglomerationOptions(checkpoint.score or ""), cut=CutOptions(checkpoint.threshold or 0)
    )
    return segment_affinities(affinities, options=options).segmentation


def test_real_sections(real_data: Path):
    sample = real_data / "fib25_sample2.h5"
    box = np.s_[120:150, 20:130, 20:130]
    with open_volume(f"{sample}:volumes/raw") as raw, open_volume(f"{sample}:volumes/labels/neuron_ids") as labels:
        scores = evaluate(segment(raw.read(), box), split_components(labels.read(box)))
    assert scores.voi_sum < 1.4
    assert scores.adapted_rand_error < 0.25


@pytest.mark.parametrize("seed", [0])
def test_synthetic_volume(seed: int):
    volume = synthesize((48, 110, 110), seed=seed)
    scores = evaluate(segment(volume.raw, np.s_[0:48, 0:110, 0:110]), split_components(volume.labels))
    assert scores.voi_sum < 1.6
