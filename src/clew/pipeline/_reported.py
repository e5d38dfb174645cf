"""What the files of a run recorded: settings, inputs, scores and errors."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clew import __version__
from clew.blockwise.ledger import Ledger
from clew.documents import expect, is_number, parse_json, regular_file
from clew.errors import InputError
from clew.pipeline._identity import identify, paths_in, record_in
from clew.pipeline._progress import warn
from clew.pipeline._stages import words_of
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.relabel import segment_lookup
from clew.view.figures import threshold_figure, tree_figure
from clew.view.report import Input, Picture, StageTime, Step, drawing

MADE = ("affinities", "fragments", "region_graph", "merge_tree", "segmentation")
"""What commands of a run write, in this order."""
LISTS = ("scores", "errors")
"""What `clew evaluate` wrote about it."""
COLUMNS = {
    "voi_split": "VOI split", "voi_merge": "VOI merge", "voi_sum": "VOI sum", "adapted_rand_error": "adapted Rand error",
    "cremi_score": "CREMI score", "normalised_run_length": "normalised run length", "errors_per_mm": "errors per mm",
}  # fmt: skip
MARKED = "; the dashed line is the threshold that was used"
CUTS = 51
"""Thresholds of a curve."""

Document = Mapping[str, Any]


def read_documents(paths: Mapping[str, str]) -> dict[str, Document]:
    """What was recorded with each file of a run; lists with all that is in them.

    Lists about another segmentation than the one in the folder are left out, and that is said.
    """
    found: dict[str, Document] = {name: record_in(paths[name]) for name in MADE if name in paths}
    for name in LISTS:
        if name in paths:
            document = parse_json(regular_file(Path(paths[name])).read_bytes(), paths[name])
            if _is_of_another(document, paths):
                warn(
                    f"{paths[name]} is about another segmentation than the one in this folder, and is left out: evaluate again"
                )
            else:
                found[name] = document
    return found


def _is_of_another(document: Document, paths: Mapping[str, str]) -> bool:
    """Whether a list names another segmentation than those of the run."""
    named = (document.get("inputs") or {}).get("segmentation")
    return bool(named) and all(
        identify(paths[name]) != named for name in ("fragments", "segmentation") if name in paths
    )


def stages_of(documents: Mapping[str, Document], folder: str, voxels: int) -> list[StageTime]:
    """What each stage took, where it was noted; in blocks all tasks together."""
    if Ledger(Path(folder)).begun:
        return [
            StageTime(
                f"{stage}: {words_of(stage) or 'tasks'} ({spent.tasks} tasks)", spent.seconds, voxels, spent.memory
            )
            for stage, spent in Ledger(Path(folder)).spent().items()
        ]
    return [
        StageTime(str(document.get("stage")), document["seconds"], voxels, document.get("peak_memory", 0))
        for name, document in documents.items()
        if name in MADE and is_number(document.get("seconds"))
    ]


def steps_of(documents: Mapping[str, Document]) -> list[Step]:
    """The commands of a run, each with its options."""
    found: dict[str, Step] = {}
    for document in documents.values():
        name, parameters = document.get("stage"), document.get("parameters")
        if isinstance(name, str) and isinstance(parameters, dict):
            settings = {
                key.replace("_", "-"): _text(value) for key, value in parameters.items() if value not in (None, False)
            }
            found.setdefault(name, Step(name, settings))
    return list(found.values())


def inputs_of(documents: Mapping[str, Document], paths: Mapping[str, str], folder: str) -> list[Input]:
    """What a run was made from: all inputs that were not made in its folder."""
    inside = {name for name, path in paths.items() if Path(path).parent == Path(folder)}
    own = {document.get("id") for name, document in documents.items() if name in inside}
    found: dict[tuple[str, str], Input] = {}
    for document in documents.values():
        parameters = document.get("parameters") or {}
        for name, identities in (document.get("inputs") or {}).items():
            places = paths_in(parameters.get(name) or "")
            for path, identity in zip(places, identities if isinstance(identities, list) else [], strict=False):
                if identity.get("id") not in own - {None}:
                    row = Input(name.replace("_", " "), path, _identity(identity))
                    found.setdefault((row.name, row.identity), row)
    return list(found.values())


def versions_of(documents: Mapping[str, Document]) -> dict[str, str]:
    """Which versions of clew made what, and when."""
    rows = {
        name.replace("_", " "): f"clew {document['version']}, {str(document.get('created', '')).replace('T', ' ')}"
        for name, document in documents.items()
        if document.get("version")
    }
    return rows | {"this report": f"clew {__version__}"}


def _identity(identity: Mapping[str, Any]) -> str:
    size = identity.get("bytes")
    names = {"content": "BLAKE2b", "values": "BLAKE2b of its values", "metadata": "BLAKE2b of its metadata"}
    words = [f"{names.get(key, key)} {value}" for key, value in identity.items() if key != "bytes"]
    return ", ".join(words + ([f"{size:,} bytes"] if isinstance(size, int) else [])) or "not known"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else "yes" if value is True else str(value)


def score_rows(document: Document, used: float | None, source: str) -> list[dict[str, str | float]]:
    """Scores at the threshold that was used, and at the best one.

    Of all truth, and of that away from borders, where both are there.
    """
    tables = _tables(document, source)
    found = []
    for name, rows in tables:
        for words, row in _chosen(rows, used):
            where = f"{words}, {name}" if len(tables) > 1 else words
            found.append({"threshold": where} | {text: row[key] for key, text in COLUMNS.items() if key in row})
    return found


def score_curves(document: Document, used: float | None, source: str) -> list[Picture]:
    """VOI over the thresholds, where there are several."""
    return [
        Picture(f"VOI over the threshold, {name}{MARKED * (used is not None)}", drawing(_curve(rows, used)))
        for name, rows in _tables(document, source)
        if len(rows) > 1 and "voi_split" in rows[0]
    ]


def tree_curve(tree: MergeTree, used: float | None) -> Picture:
    """How segments merge over the threshold."""
    thresholds = np.linspace(0, 1, CUTS)
    counts, largest = [], []
    for threshold in thresholds:
        positions = np.searchsorted(tree.fragments, segment_lookup(tree, threshold))
        sizes = np.bincount(positions, tree.sizes)
        counts.append(int(np.count_nonzero(sizes)))
        largest.append(float(sizes.max() / sizes.sum()))
    figure = tree_figure(thresholds.tolist(), counts, largest, chosen=used)
    caption = "Segments, and the share of the largest one, over the threshold: where that leaps, neurons merge with each other"
    return Picture(caption + MARKED * (used is not None), drawing(figure))


def _curve(rows: Sequence[Document], used: float | None) -> Any:
    splits, merges, thresholds = ([row[key] for row in rows] for key in ("voi_split", "voi_merge", "threshold"))
    intervals = [(row["voi_sum_low"], row["voi_sum_high"]) for row in rows if "voi_sum_low" in row]
    return threshold_figure(
        thresholds, splits, merges, chosen=used, intervals=np.array(intervals) if intervals else None
    )


def _tables(document: Document, source: str) -> list[tuple[str, list[Document]]]:
    """Rows of scores: of all truth, and of that away from borders if there."""
    whole = [_plain(row, source) for row in expect(document, "scores", "a list of objects", source)]
    away = [_plain(row, source) for row in expect(document, "topology", "a list of objects", source, None) or []]
    border = (document.get("parameters") or {}).get("border", 0)
    return [each for each in (("all truth", whole), (f"{border:g} nm away from borders", away)) if each[1]]


def _plain(row: Document, source: str) -> Document:
    """The numbers of a row; a threshold that is not there is None."""
    numbers = {key: value for key, value in row.items() if is_number(value)}
    if "voi_sum" not in numbers and {"voi_split", "voi_merge"} <= numbers.keys():
        numbers["voi_sum"] = numbers["voi_split"] + numbers["voi_merge"]
    if not numbers.keys() & COLUMNS.keys():
        raise InputError(
            f"{source} holds no scores as clew evaluate --json and clew evaluate-skeletons --json write them"
        )
    return {"threshold": None} | numbers


def _chosen(rows: Sequence[Document], used: float | None) -> Iterator[tuple[str, Document]]:
    """The rows that matter, each with words for it."""
    if len(rows) == 1:
        yield "this segmentation", rows[0]
        return
    if used is not None:
        row = min(rows, key=lambda each: abs(each["threshold"] - used))
        near = "used" if math.isclose(row["threshold"], used) else f"the nearest to {used:g}, which was used"
        yield f"{row['threshold']:g} ({near})", row
    best = min(rows, key=lambda each: each.get("voi_sum", -each.get("normalised_run_length", 0)))
    yield f"{best['threshold']:g} (best for this truth)", best
