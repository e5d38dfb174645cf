"""`clew demo`: the whole way on a volume with truth, with a report to look at."""

import datetime
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from clew import __version__
from clew.evaluation.errors import largest_errors, locate_errors
from clew.evaluation.overlap import overlap_table
from clew.evaluation.scores import evaluate
from clew.network.bundled import open_checkpoint
from clew.network.options import BUNDLED
from clew.pipeline._curve import Curve, best_of, curve_figure, score_overlap
from clew.pipeline._declare import stage
from clew.pipeline._files import FILE_NAMES, chosen_threshold
from clew.pipeline._options import Comparison
from clew.pipeline._progress import say
from clew.pipeline._sample import find_sample
from clew.pipeline._tables import load_merge_tree
from clew.pipeline.agglomerate import agglomerate
from clew.pipeline.build_region_graph import build_region_graph
from clew.pipeline.convert import convert
from clew.pipeline.extract_fragments import extract_fragments
from clew.pipeline.predict import predict
from clew.pipeline.relabel import relabel
from clew.pipeline.synthesize import synthesize
from clew.replace import refuse_unwritable
from clew.training.targets import split_components
from clew.view.figures import affinity_figure, save_figure, section_figure
from clew.view.report import ErrorPlace, Report, ReportFigure, StageTime, write_report
from clew.volumes.open import open_volume

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
PLACES = 5


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
    refuse_unwritable(folder / "report.html")
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: str(folder / file) for name, file in FILES.items()}
    origin = _make_volumes(paths["raw"], paths["truth"], data, overwrite)
    say(origin)
    report = _report(folder, origin, _run_stages(paths, overwrite))
    write_report(folder / "report.html", report)
    _say_times(report.stages)
    for row in report.scores:
        say(
            "   ".join(f"{name} {value:.3f}" if isinstance(value, float) else str(value) for name, value in row.items())
        )


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
        return "This is a synthetic volume, made on the spot: the real sample is not on this machine."
    convert(f"{sample}:volumes/raw", raw, box=SAMPLE_BOX, overwrite=overwrite)
    convert(f"{sample}:volumes/labels/neuron_ids", truth, box=SAMPLE_BOX, overwrite=overwrite)
    return (
        "This is real FIB-SEM of fly medulla (FIB-25, Takemura et al. 2015, CC BY), sections 100 to 150. "
        "The bundled network was trained on it too, so these scores are not a test; its model card has those."
    )


def _report(directory: Path, origin: str, times: list[StageTime]) -> Report:
    names = ("raw", "truth", "affinities", "fragments", "segmentation")
    volumes = {name: open_volume(directory / f"{name}.zarr") for name in names}
    arrays = {name: volume.read() for name, volume in volumes.items()}
    arrays["truth"] = split_components(arrays["truth"])
    tree, attributes = load_merge_tree(str(directory / FILE_NAMES["merge_tree"]))
    threshold = chosen_threshold(None, attributes, tree.score, FILE_NAMES["merge_tree"])
    curve = score_overlap(
        overlap_table(arrays["fragments"], arrays["truth"]),
        Comparison(merge_tree=str(directory / FILE_NAMES["merge_tree"])),
    )
    voxel_size = volumes["raw"].voxel_size
    figures = {
        "neurons": section_figure(arrays["raw"], arrays["segmentation"], arrays["truth"], voxel_size=voxel_size),
        "affinities": affinity_figure(arrays["raw"], arrays["affinities"], voxel_size=voxel_size),
        "thresholds": curve_figure(curve, None, threshold),
    }
    captions = (
        "Image, segmentation and truth; truth takes the colour of the segment that it matches",
        "Predicted affinities",
        "Variation of information over the threshold",
    )
    for name, figure in figures.items():
        save_figure(figure, directory / f"{name}.png")
    viewer = " ".join([f"clew view {directory}/raw.zarr", *(f"--{name} {directory}/{name}.zarr" for name in
                       ("segmentation", "truth", "affinities"))])  # fmt: skip
    return Report(
        title="clew demo",
        synthetic="synthetic" in origin,
        volume={"source": origin, "shape": str(arrays["raw"].shape), "voxel size": f"{voxel_size} nm (z, y, x)"},
        scores=_score_rows(arrays, curve, threshold),
        stages=times,
        figures=[ReportFigure(text, figure) for text, figure in zip(captions, figures.values(), strict=True)],
        errors=_places(arrays["segmentation"], arrays["truth"]),
        viewer_command=viewer,
        provenance={
            "clew": __version__,
            "network": f"{BUNDLED}, step {open_checkpoint(BUNDLED).record.get('step', 'unknown')}",
            "score": f"{tree.score}, threshold {threshold:.2f} on 1 - score",
            "date": datetime.date.today().isoformat(),
        },
    )


def _score_rows(arrays: dict[str, Any], curve: Curve, threshold: float) -> list[dict[str, str | float]]:
    best, scores = best_of(curve)
    chosen = evaluate(arrays["segmentation"], arrays["truth"])
    return [
        {"threshold": f"{threshold:.2f} (stored with the network)", **asdict(chosen)},
        {"threshold": f"{best:.2f} (best for this truth)", **asdict(scores)},
    ]


def _places(segmentation: np.ndarray, truth: np.ndarray) -> list[ErrorPlace]:
    """The costliest splits and merges and a voxel inside each."""
    errors = [error for kind in largest_errors(overlap_table(segmentation, truth), PLACES) for error in kind]
    places = locate_errors(segmentation, truth, errors)
    rows = []
    for error, place in zip(errors, places, strict=True):
        others = error.parts[:4]
        objects, segments = ((error.label,), others) if error.kind == "split" else (others, (error.label,))
        z, y, x = (round(value) for value in place.centroid)
        rows.append(ErrorPlace(error.kind, objects, segments, error.voxels[1], (z, y, x)))
    return rows


def _say_times(stages: Any) -> None:
    total = sum(row.seconds for row in stages)
    say(f"{'stage':<22}{'seconds':>9}{'s per megavoxel':>18}")
    for row in stages:
        say(f"{row.stage:<22}{row.seconds:9.1f}{row.seconds_per_megavoxel:18.3f}")
    say(f"{'all':<22}{total:9.1f}")
