"""Verdicts of a person on the errors that were listed, and scores after them."""

import csv
import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clew.documents import brief, expect, parse_json, regular_file
from clew.errors import InputError
from clew.evaluation.overlap import OverlapTable
from clew.evaluation.scores import score_table
from clew.evaluation.skeletons import Skeletons, score_skeletons
from clew.evaluation.traced import judged_skeletons, merged_pairs
from clew.evaluation.where import VERDICTS, Parts, Verdict, judged_table
from clew.labels import Labels
from clew.pipeline._files import finite
from clew.pipeline._progress import say


def read_verdicts(path: str) -> tuple[dict[Parts, Verdict], float | None]:
    """Read the errors that have a verdict, and the threshold of the list.

    It is None in a table, and without a tree. An InputError for a file that is no list of errors, and for verdicts that there are
    not.
    """
    if Path(path).suffix.lower() == ".csv":
        with regular_file(Path(path)).open(newline="") as file:
            rows: list[Mapping[str, Any]] = list(csv.DictReader(file))
        threshold = None
    else:
        document = parse_json(regular_file(Path(path)).read_bytes(), path)
        rows, threshold = expect(document, "errors", "a list of objects", path), document.get("threshold")
    found = {_parts(row, path): _verdict(row, path) for row in rows if row.get("verdict")}
    if not found:
        raise InputError(
            f"{path} holds no verdict: write one of {', '.join(map(repr, VERDICTS))} as verdict of an error"
        )
    return found, threshold


def _parts(row: Mapping[str, Any], path: str) -> Parts:
    try:
        segments, objects = (
            [int(each) for each in (ids.split() if isinstance(ids, str) else ids)]
            for ids in (row["segments"], row["objects"])
        )
        first, second = (segments[0], objects[0]), (segments[-1], objects[-1])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"{path} is no list of errors, as clew evaluate --where writes it: {brief(dict(row))}"
        ) from error
    return first, second


def _verdict(row: Mapping[str, Any], path: str) -> Verdict:
    if row["verdict"] not in VERDICTS:
        raise InputError(
            f"{path}: the verdict of an error must be one of {', '.join(map(repr, VERDICTS))}, not {row['verdict']!r}"
        )
    verdict: Verdict = row["verdict"]
    return verdict


def score_after(table: OverlapTable, verdicts: Mapping[Parts, Verdict], path: str) -> dict[str, Any]:
    """Scores after the verdicts, said and as JSON holds them."""
    try:
        scores = score_table(judged_table(table, verdicts))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    before = score_table(table)
    say(f"{_counts_in_words(verdicts)}: VOI split {scores.voi_split:.4f}, merge {scores.voi_merge:.4f}, adapted Rand error "
        f"{scores.adapted_rand_error:.4f}; before {before.voi_split:.4f}, {before.voi_merge:.4f}, "
        f"{before.adapted_rand_error:.4f}")  # fmt: skip
    return _counts(verdicts) | dataclasses.asdict(scores)


def score_traced_after(
    segments: Labels, skeletons: Skeletons, minimum_nodes: int, verdicts: Mapping[Parts, Verdict], path: str
) -> dict[str, Any]:
    """Scores of skeletons after the verdicts, said and as JSON holds them."""
    try:
        judged = judged_skeletons(segments, skeletons, verdicts)
        scores = score_skeletons(*judged, minimum_nodes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    before = score_skeletons(segments, skeletons, minimum_nodes)
    pairs, earlier = merged_pairs(*judged, minimum_nodes), merged_pairs(segments, skeletons, minimum_nodes)
    say(f"{_counts_in_words(verdicts)}: run length {scores.run_length:.0f} nm, {scores.normalised_run_length:.4f} of perfect, "
        f"{scores.splits} splits, {scores.merges} merges, {pairs} pairs; before {before.run_length:.0f} nm, "
        f"{before.normalised_run_length:.4f}, {before.splits}, {before.merges}, {earlier}")  # fmt: skip
    return _counts(verdicts) | finite(dataclasses.asdict(scores) | {"merged_pairs": pairs})


def _counts_in_words(verdicts: Mapping[Parts, Verdict]) -> str:
    """How many verdicts of each kind there are, in words."""
    counts = Counter(verdicts.values())
    return f"after verdicts ({', '.join(f'{counts[verdict]} {verdict}' for verdict in VERDICTS)})"


def _counts(verdicts: Mapping[Parts, Verdict]) -> dict[str, Any]:
    """The same as JSON holds it."""
    counts = Counter(verdicts.values())
    return {"verdicts": {verdict: counts[verdict] for verdict in VERDICTS}}
