"""`clew report`: the folder of a run → one page about it, to look at and to send."""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clew.documents import expect
from clew.errors import InputError
from clew.pipeline._curve import used_threshold
from clew.pipeline._declare import stage
from clew.pipeline._files import is_growing
from clew.pipeline._options import VoxelSize
from clew.pipeline._page import LAYERS, layer_of
from clew.pipeline._pictured import Place, body_pictures, place_picture, section_pictures
from clew.pipeline._progress import track
from clew.pipeline._reported import (
    Document,
    inputs_of,
    read_documents,
    score_curves,
    score_rows,
    stages_of,
    steps_of,
    tree_curve,
    versions_of,
)
from clew.pipeline._tables import load_merge_tree
from clew.pipeline._viewed import is_run, paths_of_run
from clew.pipeline._where import mended
from clew.pipeline.evaluate import SCORES
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.relabel import segment_lookup
from clew.space import Lengths, triple
from clew.view.layers import Layer
from clew.view.report import ErrorPlace, Report, refuse_other, write_report

PAGE = "report.html"
SHOWN = 12
"""Errors on the page, the costliest."""


@stage
def report(
    run: str,
    *,
    raw: str | None = None,
    truth: str | None = None,
    scores: str | None = None,
    errors: str | None = None,
    html: str | None = None,
    voxel_size: VoxelSize,
) -> None:
    """Write one page about a run, to look at and to send: pictures, scores, settings.

    The page needs no other file and no network. A report that is there is replaced.

    Parameters
    ----------
    run
        Folder of a finished run: of `segment`, `segment-blocks`, `relabel-blocks`, `predict-blocks`, `run` or `demo`.
    raw
        Raw volume (z, y, x); by default the one of which the run was made, where it is still there.
    truth
        True neuron ids (z, y, x), shown beside the segments.
    scores
        Scores (JSON) that `evaluate --json` or `evaluate-skeletons --json` wrote; by default scores.json in the folder.
    errors
        List of errors (JSON) that `evaluate --where` wrote; by default errors.json in the folder.
    html
        The page; by default report.html in the folder.
    """
    given = {"raw": raw, "truth": truth, "scores": scores, "errors": errors}
    page = Path(html) if html else Path(run) / PAGE
    refuse_other(page)
    found = report_on(run, {name: path for name, path in given.items() if path is not None}, voxel_size.voxel_size)
    write_report(page, found)


def report_on(run: str, given: Mapping[str, str], voxel_size: Lengths | None = None) -> Report:
    """All that can be said about a run.

    Parameters
    ----------
    run : str
        Its folder.
    given : mapping of str to str
        Files that are elsewhere, by name.
    voxel_size : (z, y, x) floats, optional
        In nm, where a volume does not say it.
    """
    paths = _paths(run, given)
    layers: dict[str, Layer] = {}
    for name in LAYERS:
        if name in paths:
            layers[name] = layer_of(name, paths[name], True, list(layers.values()), voxel_size)
    return _report(run, paths, layers, given)


def _paths(run: str, given: Mapping[str, str]) -> dict[str, str]:
    """All files that the page is made from, by name."""
    if not is_run(run):
        raise InputError(
            f"{run} is no folder of a run: wanted one in which clew segment, segment-blocks, run or demo wrote"
        )
    scores = Path(run) / SCORES
    paths = paths_of_run(run) | ({"scores": str(scores)} if scores.exists() else {}) | dict(given)
    growing = [name for name in LAYERS if name in paths and is_growing(paths[name])]
    if growing:
        raise InputError(f"the run in {run} is not finished ({growing[0]} is not whole): a report is made of a finished one; see "
                         f"clew status {shlex.quote(run)}; clew view {shlex.quote(run)} shows what there is")  # fmt: skip
    return paths


def _report(run: str, paths: Mapping[str, str], layers: Mapping[str, Layer], given: Mapping[str, str]) -> Report:
    documents = read_documents(paths)
    tree = load_merge_tree(paths["merge_tree"])[0] if "merge_tree" in paths else None
    used = used_threshold(paths["merge_tree"]) if tree is not None else _recorded_threshold(documents)
    listed = documents.get("scores")
    curves = [] if listed is None else score_curves(listed, used, paths["scores"])
    command = _viewer_command(run, given)
    errors = _errors(documents["errors"], paths["errors"], layers, tree, command) if "errors" in documents else []
    segments = layers.get("segmentation") or layers.get("fragments")
    return Report(
        title=f"Report on {Path(run).resolve().name}",
        facts=_facts(paths, layers, documents, tree, used),
        sections=section_pictures(layers),
        bodies=body_pictures(segments, _tracked) if segments else [],
        scores=[] if listed is None else score_rows(listed, used, paths["scores"]),
        curves=curves + ([tree_curve(tree, used)] if tree is not None and len(tree.fragments) else []),
        errors=errors,
        notes=["No split and no merge was found."] if "errors" in documents and not errors else [],
        viewer_command=command,
        stages=stages_of(documents, run, _voxels(layers)),
        steps=steps_of(documents),
        inputs=inputs_of(documents, paths, run),
        provenance=versions_of(documents),
        missing=_missing(run, paths, documents),
    )


def _tracked(ids: Sequence[int]) -> Any:
    return track(ids, len(ids), "surfaces")


def _recorded_threshold(documents: Mapping[str, Document]) -> float | None:
    """The threshold of a segmentation whose merge tree is elsewhere."""
    document = documents.get("segmentation", {})
    found = document.get("threshold", (document.get("parameters") or {}).get("threshold"))
    return float(found) if isinstance(found, int | float) else document.get("suggested_threshold")


def _first(layers: Mapping[str, Layer]) -> Layer:
    """The layer that says where a run lies, and how large it is."""
    return next(layers[name] for name in ("segmentation", "fragments", "raw", "affinities") if name in layers)


def _voxels(layers: Mapping[str, Layer]) -> int:
    return math.prod(_first(layers).data.shape[-3:])


def _facts(
    paths: Mapping[str, str], layers: Mapping[str, Layer], documents: Mapping[str, Document], tree: MergeTree | None,
    used: float | None,
) -> dict[str, str]:  # fmt: skip
    first = _first(layers)
    shape = first.data.shape[-3:]
    extent = np.multiply(shape, first.voxel_size) / 1000
    facts = {
        "image": paths.get("raw", "not found"),
        "shape": f"{' × '.join(map(str, shape))} voxels (z, y, x)",
        "voxel size": f"{' × '.join(f'{size:g}' for size in first.voxel_size)} nm",
        "extent": f"{' × '.join(f'{size:.3g}' for size in extent)} µm",
    }
    checkpoint = (documents.get("affinities", {}).get("parameters") or {}).get("checkpoint")
    facts |= {"network": str(checkpoint)} if checkpoint else {}
    if tree is not None:
        facts["fragments"] = f"{len(tree.fragments):,}"
        facts |= {"score of contacts": tree.score}
    if used is not None:
        count = "" if tree is None else f", which makes {len(np.unique(segment_lookup(tree, used))):,} segments"
        facts["threshold"] = f"{used:g}{count}"
    return facts


def _viewer_command(run: str, given: Mapping[str, str]) -> str:
    options = [word for name in ("raw", "truth", "errors") if name in given for word in (f"--{name}", given[name])]
    return shlex.join(["clew", "view", run, *options])


def _errors(
    document: Document, source: str, layers: Mapping[str, Layer], tree: MergeTree | None, command: str
) -> list[ErrorPlace]:
    rows = expect(document, "errors", "a list of objects", source)[:SHOWN]
    threshold = document.get("threshold")
    found = []
    for row in rows:
        ids = [expect(row, name, "a list of numbers", source) for name in ("segments", "objects")]
        place = Place(triple(expect(row, "position_nm", "a list of numbers", source)), *ids)
        picture = place_picture(layers, place, tree, threshold)
        found.append(ErrorPlace(
            row["kind"], ids[1], ids[0], triple(row["position"]), row["voxels"], row["bits"], _notes(row, document), picture,
            f"{command} --error {row['rank']}",
        ))  # fmt: skip
    return found


def _notes(row: Document, document: Document) -> list[str]:
    length, calibre = row.get("length_nm"), row.get("calibre_nm")
    size = [f"{length / 1000:.2f} µm long"] if length else []
    size += [f"{calibre:.0f} nm thick"] if calibre else []
    how = mended(row, document)
    verdict = row.get("verdict")
    return (
        [", ".join(size)] * bool(size)
        + [f"mended at threshold: {how}"] * bool(how)
        + [f"verdict: {verdict}"] * bool(verdict)
    )


def _missing(run: str, paths: Mapping[str, str], documents: Mapping[str, Document]) -> list[tuple[str, str]]:
    """What else could be on the page, and what to type for it."""
    if {"scores", "errors"} <= documents.keys() or not {"fragments", "segmentation"} & paths.keys():
        return []
    truth, folder = paths.get("truth", "TRUTH"), Path(run)
    command = ["clew", "evaluate", paths.get("segmentation", paths.get("fragments", "")), truth]
    if {"fragments", "merge_tree", "region_graph"} <= paths.keys():
        command[2] = paths["fragments"]
        command += ["--merge-tree", paths["merge_tree"], "--region-graph", paths["region_graph"]]
    command += ["--json", str(folder / SCORES), "--where", str(folder / "errors.json")]
    return [("Scores, and where it is wrong, if there is truth; then clew report again:", shlex.join(command))]
