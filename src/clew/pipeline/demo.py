"""`clew demo`: the whole way on a volume with truth, with a report to look at."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clew.pipeline._curve import Curve, Measured, curve_figure, save_scores, say_scores, score_overlap, scores_in_use
from clew.pipeline._declare import stage
from clew.pipeline._files import FILE_NAMES, chosen_threshold
from clew.pipeline._options import Comparison
from clew.pipeline._progress import say
from clew.pipeline._sample import find_sample
from clew.pipeline._tables import load_merge_tree, load_region_graph
from clew.pipeline._viewed import HELD
from clew.pipeline._where import Tree, errors_document, find_errors, write_errors
from clew.pipeline.agglomerate import agglomerate
from clew.pipeline.build_region_graph import build_region_graph
from clew.pipeline.convert import convert
from clew.pipeline.evaluate import SCORES, compare, evaluate
from clew.pipeline.extract_fragments import extract_fragments
from clew.pipeline.predict import predict
from clew.pipeline.relabel import relabel
from clew.pipeline.report import PAGE, report_on
from clew.pipeline.synthesize import synthesize
from clew.replace import refuse_unwritable
from clew.training.targets import split_components
from clew.view.figures import affinity_figure, save_figure, section_figure
from clew.view.report import StageTime, write_report
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume

FILES = {"truth": "truth.zarr"} | FILE_NAMES | {"raw": "raw.zarr"}
WAY: tuple[tuple[Callable[..., None], tuple[str, ...], str], ...] = (
    (predict, ("raw",), "affinities"),
    (extract_fragments, ("affinities",), "fragments"),
    (build_region_graph, ("affinities", "fragments"), "region_graph"),
    (agglomerate, ("region_graph",), "merge_tree"),
    (relabel, ("fragments", "merge_tree"), "segmentation"),
)
"""The steps of the demo: what they read, and what they write."""
SAMPLE_BOX = "100:150,:,:"
SYNTHETIC_SHAPE = (64, 192, 192)


@stage
def demo(directory: str = "demo", *, data: str | None = None, overwrite: bool = True) -> None:
    """Go the whole way on a volume with truth, and write figures and a report.

    Predicts with the bundled network, segments, and compares with the truth.

    Parameters
    ----------
    directory
        Where everything is written.
    data
        The FIB-SEM sample as an HDF5 file; by default it is taken from the cache or downloaded, and where that cannot be, a
        synthetic volume is made.
    overwrite
        Replace the outputs of an earlier demo.
    """
    folder = Path(directory)
    refuse_unwritable(folder / PAGE)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: str(folder / file) for name, file in FILES.items()}
    origin = _make_volumes(paths["raw"], paths["truth"], data, overwrite)
    say(origin)
    times = _run_stages(paths, overwrite)
    curve, threshold = _evaluate(paths, folder)
    _draw(folder, curve, threshold)
    found = replace(report_on(str(folder), {}), title="clew demo", warning=origin, stages=times)
    write_report(folder / PAGE, found)
    _say_times(times)


def _run_stages(paths: Mapping[str, str], overwrite: bool) -> list[StageTime]:
    """Predict and segment, and say how long each step took, files included."""
    times, voxels = [], math.prod(open_volume(paths["raw"]).shape)
    for function, inputs, output in WAY:
        start = time.perf_counter()
        function(*(paths[name] for name in (*inputs, output)), overwrite=overwrite)
        times.append(StageTime(function.__name__.replace("_", "-"), time.perf_counter() - start, voxels))
    return times


def _make_volumes(raw: str, truth: str, data: str | None, overwrite: bool) -> str:
    """Write the volume and its truth; returns one sentence that says what it is."""
    sample = find_sample(data)
    if sample is None:
        synthesize(raw, truth, shape=SYNTHETIC_SHAPE, overwrite=overwrite)
        _split(truth)
        return "This is a synthetic volume, made on the spot: the real sample is not on this machine."
    convert(f"{sample}:volumes/raw", raw, box=SAMPLE_BOX, overwrite=overwrite)
    convert(f"{sample}:volumes/labels/neuron_ids", truth, box=SAMPLE_BOX, overwrite=overwrite)
    _split(truth)
    return (
        "This is real FIB-SEM of fly medulla (FIB-25, Takemura et al. 2015, CC BY), sections 100 to 150. "
        "The bundled network was trained on it too, so these scores are not a test; its model card has those."
    )


def _split(truth: str) -> None:
    """Give parts of a neuron that are not connected here ids of their own."""
    volume = open_volume(truth)
    parts = split_components(volume.read())
    save_volume(
        truth, parts, voxel_size=volume.voxel_size, offset=volume.offset, attributes=volume.attributes, overwrite=True
    )


def _evaluate(paths: Mapping[str, str], folder: Path) -> tuple[Curve, float]:
    """Write scores and errors beside the volumes.

    Returns the scores over the thresholds, and the threshold that was used.
    """
    given = {"segmentation": paths["fragments"], "truth": paths["truth"]}
    tables = {name: paths[name] for name in ("merge_tree", "region_graph")}
    record = evaluate.record_of(**given, **tables)  # type: ignore[attr-defined]
    tree, attributes = load_merge_tree(paths["merge_tree"])
    threshold = chosen_threshold(None, attributes, tree.score, FILE_NAMES["merge_tree"])
    compared = compare(**given)
    curve = score_overlap(compared.table, Comparison(merge_tree=paths["merge_tree"]))
    measured = Measured(curve, None)
    say_scores(measured, scores_in_use(compared.table, Comparison(merge_tree=paths["merge_tree"])))
    save_scores(measured, folder / SCORES, record)
    cut = Tree(tree, load_region_graph(paths["region_graph"])[0], threshold)
    write_errors(errors_document(find_errors(compared, cut), compared, cut, {}), folder / HELD["errors"], record)
    return curve, threshold


def _draw(folder: Path, curve: Curve, threshold: float) -> None:
    """The pictures as files."""
    volumes = {name: open_volume(folder / f"{name}.zarr") for name in ("raw", "truth", "affinities", "segmentation")}
    raw, truth, affinities, segmentation = (volume.read() for volume in volumes.values())
    voxel_size = volumes["raw"].voxel_size
    figures = {
        "neurons": section_figure(raw, segmentation, truth, voxel_size=voxel_size),
        "affinities": affinity_figure(raw, affinities, voxel_size=voxel_size),
        "thresholds": curve_figure(curve, None, threshold),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.png")


def _say_times(stages: Any) -> None:
    total = sum(row.seconds for row in stages)
    say(f"{'stage':<22}{'seconds':>9}{'s per megavoxel':>18}")
    for row in stages:
        say(f"{row.stage:<22}{row.seconds:9.1f}{row.seconds_per_megavoxel:18.3f}")
    say(f"{'all':<22}{total:9.1f}")
