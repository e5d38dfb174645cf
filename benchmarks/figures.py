"""`python -m benchmarks.figures`: figures of a synthetic volume, step by step, and of a training, into docs/images."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage

import clew
from clew.synthetic.volume import SyntheticVolume
from clew.view.colours import follow, paint
from clew.view.figures import affinity_figure, save_figure, threshold_figure, training_figure

IMAGES = Path(__file__).parent.parent / "docs" / "images"
LOG = IMAGES.parent / "reference" / "logs" / "fib-10nm.csv"
OFFSETS = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
SECTION = 12
THRESHOLDS = (0.6, 0.74)
COLOURS = 128
"""Of a PNG: enough for the eye, and a third of the bytes."""


def main() -> None:
    volume = clew.synthesize((24, 160, 160), seed=2)
    affinities = imagined_affinities(volume.labels)
    found = clew.segment(affinities)
    save(affinity_figure(volume.raw, affinities, voxel_size=volume.voxel_size, section=SECTION), "method-affinities")
    save(segmentations(volume, found), "method-segmentations")
    save(scores(found, volume.labels), "method-thresholds")
    save(training(), "method-training")
    save(thick_sections(), "anisotropic")
    save(arrays(), "arrays")


def imagined_affinities(truth: np.ndarray) -> np.ndarray:
    """What a mediocre network might predict: the truth, blurred, with noise and patches where it is unsure."""
    targets, _ = clew.affinity_targets(clew.grow_boundaries(truth, 1), OFFSETS)
    unsure = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=truth.shape), 3)
    weight = np.clip(0.75 + 6 * unsure, 0.45, 1)
    noise = np.random.default_rng(2).normal(0, 0.04, targets.shape)
    blurred = np.stack([ndimage.gaussian_filter(channel.astype(float), 0.8) for channel in targets])
    return np.rint(255 * np.clip(0.5 + (blurred - 0.5) * weight + noise, 0, 1)).astype(np.uint8)


def segmentations(volume: SyntheticVolume, found: clew.Segmentation) -> Figure:
    """One section: image, fragments, the tree cut at some thresholds, and the truth."""
    tree = found.merge_tree
    cuts = [clew.relabel(found.fragments, tree.fragments, clew.segment_lookup(tree, t)) for t in THRESHOLDS]
    labels = [cut[SECTION] for cut in cuts]
    truth = follow([volume.labels[SECTION]], [labels[-1]])[0]
    raw, fragments = volume.raw[SECTION], found.fragments[SECTION]
    named = zip([f"threshold {t}" for t in THRESHOLDS], labels, strict=True)
    pictures = [("image", None), ("fragments", fragments), *named, ("truth", truth)]
    return side_by_side([(name, raw, ids) for name, ids in pictures])


def thick_sections() -> Figure:
    """A volume of sections of 40 nm with pixels of 8 nm: one of them, and across them, with gaps and shifts."""
    options = clew.SyntheticOptions(missing_sections=0.08, section_shift=12.0)
    volume = clew.synthesize((24, 120, 120), voxel_size=(40.0, 8.0, 8.0), seed=4, options=options)
    raw, truth = volume.raw, volume.labels
    named = [("one section", np.s_[10], 1), ("across the sections", np.s_[:, 60], 5)]
    pictures = [(name, raw[cut], ids, aspect) for name, cut, aspect in named for ids in (None, truth[cut])]
    return side_by_side(pictures)


def arrays() -> Figure:
    """What the tutorial of arrays makes of its volume, in one section."""
    volume = clew.synthesize((32, 48, 48), seed=1)
    targets, _ = clew.affinity_targets(clew.grow_boundaries(volume.labels, 1), OFFSETS)
    blurred = np.stack([ndimage.gaussian_filter(channel.astype(np.float32), 1) for channel in targets])
    noise = np.random.default_rng(0).normal(0, 0.1, blurred.shape)
    affinities = np.clip(blurred + noise, 0, 1).astype(np.float32)
    found = clew.segment(affinities)
    tree = found.merge_tree
    segments = clew.relabel(found.fragments, tree.fragments, clew.segment_lookup(tree, 0.5))[SECTION]
    raw, truth = volume.raw[SECTION], follow([volume.labels[SECTION]], [segments])[0]
    along_y = np.rint(255 * affinities[1][SECTION]).astype(np.uint8)
    return side_by_side([("raw", raw, None), ("affinities along y", along_y, None), ("fragments", raw, found.fragments[SECTION]),
                         ("segments at 0.5", raw, segments), ("truth", raw, truth)])  # fmt: skip


def side_by_side(pictures: Sequence[tuple]) -> Figure:
    """Grey pictures (y, x) with a title, ids to paint over them or None, and how tall a pixel is (1)."""
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    for axis, (name, grey, ids, *aspect) in zip(figure.subplots(1, len(pictures)), pictures, strict=True):
        shown = {"interpolation": "nearest", "aspect": aspect[0] if aspect else 1}
        axis.imshow(grey, cmap="gray", vmin=0, vmax=255, **shown)
        if ids is not None:
            axis.imshow(paint(ids, 0.6), **shown)
        axis.set_title(name, fontsize=10)
        axis.set_axis_off()
    return figure


def scores(found: clew.Segmentation, truth: np.ndarray) -> Figure:
    """VOI over the threshold."""
    tree, thresholds = found.merge_tree, np.linspace(0, 1, 51)
    table = clew.overlap_table(found.fragments, truth)
    curve = clew.score_thresholds(table, tree.fragments, [clew.segment_lookup(tree, t) for t in thresholds])
    return threshold_figure(thresholds, [s.voi_split for s in curve], [s.voi_merge for s in curve])


def training() -> Figure:
    """Loss and held-out VOI of the first of the trainings by which the bundled network was made."""
    with LOG.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    return training_figure([row | {"iteration": row["step"]} for row in rows if row["phase"] == 1])


def save(figure: Figure, name: str) -> None:
    path = IMAGES / f"{name}.png"
    save_figure(figure, path, dots_per_inch=80)
    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
