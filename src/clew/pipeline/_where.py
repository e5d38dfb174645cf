"""Where a segmentation is wrong: table, JSON and CSV of `clew evaluate --where`."""

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clew.errors import InputError
from clew.evaluation.border import Mask
from clew.evaluation.calibre import calibres_at
from clew.evaluation.errors import locate_pairs
from clew.evaluation.overlap import OverlapTable, relabel_table
from clew.evaluation.places import middle_of, path_length, touching
from clew.evaluation.scores import score_table
from clew.evaluation.where import Cause, Merges, PairError, Parts, Verdict, find_causes, pair_errors
from clew.kernels.relabel import positions_of
from clew.labels import Labels
from clew.pipeline._declare import Record
from clew.pipeline._pair import Pair
from clew.pipeline._progress import say
from clew.replace import written_beside
from clew.segmentation.agglomeration import MergeTree, contact_scores
from clew.segmentation.region_graph import RegionGraph
from clew.segmentation.relabel import relabel, segment_lookup
from clew.space import Box, Lengths, Triple, triple
from clew.volumes.save import record_of

LISTED, SHOWN = 50, 20
"""Errors of each kind in the files, and errors in the table that is printed."""
VERSION = 1


class Tree(NamedTuple):
    """A merge tree, the region graph it was made from, and a threshold."""

    tree: MergeTree
    graph: RegionGraph
    threshold: float

    @property
    def merges(self) -> Merges:
        """What the search for causes reads."""
        survivors, absorbed = positions_of(self.tree.fragments, self.tree.merges).T
        edges = positions_of(self.tree.fragments, self.graph.edges)
        return Merges(self.tree.fragments, survivors, absorbed, self.tree.cuts[1][absorbed], edges, self.graph.areas)


class Compared(NamedTuple):
    """What was compared: volumes (z, y, x), and their overlap.

    Of all truth, and of that which is away from borders.

    Segments are fragments where there is a tree.
    """

    pair: Pair
    ids: Labels
    labels: Labels
    table: OverlapTable
    away: OverlapTable
    border: float


@dataclasses.dataclass(frozen=True)
class PlacedError:
    """An error with its place and its cause.

    Parameters
    ----------
    error : PairError
    cause : Cause, int or None
        As of `find_causes`; None also without a tree.
    place : (z, y, x) ints
        A voxel of the second part, in the volume of the segmentation, where both parts touch.
    found : "contact", "touch" or "part"
        At the responsible contact; where the parts touch; or, where they do not, in the middle of the second.
    length : float
        In nm, of the longest way through the second part.
    calibre : float or None
        In nm, of the true object at the place; None where it has no end in the volume.
    """

    error: PairError
    cause: Cause | int | None
    place: Triple
    found: str
    length: float
    calibre: float | None


def table_of_segments(compared: Compared, tree: Tree | None) -> OverlapTable:
    """Overlap of the segments with the truth away from borders."""
    if not len(compared.away.counts):
        raise InputError(
            f"no annotated voxel is farther than {compared.border:g} nm from a border, so that no error counts: give a smaller "
            "--border"
        )
    if tree is None:
        return compared.away
    return relabel_table(compared.away, tree.tree.fragments, segment_lookup(tree.tree, tree.threshold))


def find_errors(compared: Compared, tree: Tree | None) -> list[PlacedError]:
    """Rank the errors, and find place and cause of each; the costliest first."""
    segments = compared.ids
    if tree is not None:
        segments = relabel(segments, tree.tree.fragments, segment_lookup(tree.tree, tree.threshold))
    errors = sorted(
        (each for kind in pair_errors(table_of_segments(compared, tree), LISTED) for each in kind),
        key=lambda each: -each.bits,
    )
    causes: list[Cause | int | None] = [None] * len(errors)
    if tree is not None:
        causes = find_causes(errors, compared.table, tree.merges, tree.threshold)
    size, low = compared.pair.truth.voxel_size, compared.pair.here.low
    parts = locate_pairs(segments, compared.labels, [error.parts[1] for error in errors])
    placed = []
    for error, cause, part in zip(errors, causes, parts, strict=True):
        box = Box.between(part.low, part.high).grown((1, 1, 1), (1, 1, 1), inside=Box.whole(triple(segments.shape)))
        first, second = (
            (segments[box] == segment) & (compared.labels[box] == neuron) for segment, neuron in error.parts
        )
        contact = None
        if tree is not None and isinstance(cause, Cause) and set(cause.objects) == set(error.objects):
            contact = tree.graph.edges[cause.edge].tolist()
        place, found = _seam(compared.ids, box, first, second, contact, size)
        placed.append(PlacedError(error, cause, place, found, path_length(second, size), None))
    calibres = calibres_at(compared.labels, size, np.array([each.place for each in placed]).reshape(-1, 3).astype(int))
    return [
        dataclasses.replace(
            each, place=triple(np.add(each.place, low).tolist()), calibre=width if 0 < width < math.inf else None
        )
        for each, width in zip(placed, calibres.tolist(), strict=True)
    ]


def _seam(
    ids: Labels, box: Box, first: Mask, second: Mask, contact: Sequence[int] | None, size: Lengths
) -> tuple[Triple, str]:
    """A voxel of the second part at which the parts touch, and how it was found.

    Both parts are given in a box around the second.
    """
    if contact is not None:
        one, other = (ids[box] == fragment for fragment in contact)
        if np.count_nonzero(one & second) > np.count_nonzero(other & second):
            one, other, contact = other, one, contact[::-1]
        seam = touching(other & second, one)
        if not len(seam):  # they touch beside the truth of the second part
            seam = touching(ids == contact[1], ids == contact[0]) - box.low
        if len(seam):
            return middle_of(seam + box.low, size), "contact"
    seam = touching(second, first)
    if len(seam):
        return middle_of(seam + box.low, size), "touch"
    return middle_of(np.argwhere(second) + box.low, size), "part"


def errors_document(
    placed: Sequence[PlacedError], compared: Compared, tree: Tree | None, verdicts: Mapping[Parts, Verdict]
) -> dict[str, Any]:
    """What JSON holds, without the record."""
    volume, scores = compared.pair.segmentation, score_table(table_of_segments(compared, tree))
    return {
        "errors_version": VERSION,
        "score": None if tree is None else tree.tree.score,
        "threshold": None if tree is None else tree.threshold,
        "border": compared.border,
        "voxel_size": list(volume.voxel_size),
        "offset": list(volume.offset),
        "voi_split": scores.voi_split,
        "voi_merge": scores.voi_merge,
        "errors": [
            _row(rank, each, volume.voxel_size, volume.offset, tree) | {"verdict": verdicts.get(each.error.parts)}
            for rank, each in enumerate(placed, 1)
        ],
    }


def _row(rank: int, placed: PlacedError, size: Lengths, offset: Lengths, tree: Tree | None) -> dict[str, Any]:
    error, cause = placed.error, placed.cause
    return {
        "rank": rank, "kind": error.kind, "bits": error.bits, "segments": list(error.segments),
        "objects": list(error.objects), "voxels": error.voxels, "length_nm": placed.length, "calibre_nm": placed.calibre,
        "position": list(placed.place), "position_nm": (np.array(placed.place) * size + offset).tolist(),
        "position_is": placed.found, "inside_fragment": cause if isinstance(cause, int) else None,
        "merge": merge_row(cause, tree) if tree is not None and isinstance(cause, Cause) else None, "verdict": None,
    }  # fmt: skip


def merge_row(cause: Cause, tree: Tree) -> dict[str, Any]:
    """The responsible merge of the tree and its contact."""
    own = contact_scores(tree.graph, tree.tree.score)[cause.edge]
    return {
        "rank": cause.event + 1, "of": len(tree.tree.merges), "score": float(tree.tree.scores[cause.event]),
        "threshold": cause.threshold, "fragments": tree.graph.edges[cause.edge].tolist(), "objects": list(cause.objects),
        "contact_score": float(own), "contact_area": int(tree.graph.areas[cause.edge]),
    }  # fmt: skip


def report_errors(
    compared: Compared, tree: Tree | None, where: str | None, table: str | None, record: Record,
    verdicts: Mapping[Parts, Verdict],
) -> None:  # fmt: skip
    """Find the errors, say them, and write them where that is asked for.

    Verdicts that were given are written with them.
    """
    document = errors_document(find_errors(compared, tree), compared, tree, verdicts)
    say_errors(document)
    if where:
        write_errors(document, Path(where), record)
    if table:
        write_error_table(document, Path(table))


def write_errors(document: dict[str, Any], path: Path, record: Record) -> None:
    """Write errors as JSON, with what they were made from.

    An existing file is replaced.
    """
    with written_beside(path, overwrite=True) as partial:
        partial.write_text(json.dumps(record_of(record) | document, indent=1, allow_nan=False) + "\n")


def write_error_table(document: dict[str, Any], path: Path) -> None:
    """Write errors as CSV, a row each; an existing file is replaced."""
    rows = [_flat(row) for row in document["errors"]]
    names = list(rows[0]) if rows else list(_flat(_EMPTY))
    with written_beside(path, overwrite=True) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


_NO_MERGE = dict.fromkeys(("rank", "of", "score", "threshold", "fragments", "objects", "contact_score", "contact_area"))
_EMPTY = {
    "rank": None, "kind": None, "bits": None, "segments": (), "objects": (), "voxels": None, "length_nm": None, "calibre_nm": None,
    "position": (0, 0, 0), "position_nm": (0, 0, 0), "position_is": None, "inside_fragment": None, "merge": None, "verdict": None,
}  # fmt: skip


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row without lists: places by axis, ids joined by spaces."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("position", "position_nm"):
            flat |= {f"{axis}{name.removeprefix('position')}": each for axis, each in zip("zyx", value, strict=True)}
        elif name == "merge":
            flat |= {f"merge_{key}": _joined(each) for key, each in (value or _NO_MERGE).items()}
        else:
            flat[name] = _joined(value)
    return flat


def _joined(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def say_errors(document: dict[str, Any]) -> None:
    """The costliest errors as a table."""
    at = "" if document["threshold"] is None else f" at threshold {document['threshold']:g} of {document['score']}"
    say(
        f"where{at}, {document['border']:g} nm away from borders: VOI split {document['voi_split']:.4f}, merge "
        f"{document['voi_merge']:.4f}; bits are what mending this one error would gain"
    )
    say_ranked(
        document,
        "rank  kind    bits    voxels      µm  calibre nm  z,y,x             segments; objects         mended at threshold",
        lambda row: f"{row['bits']:7.4f} {row['voxels']:8} {row['length_nm'] / 1000:7.2f}",
    )


def say_ranked(document: Mapping[str, Any], heading: str, measures: Callable[[Mapping[str, Any]], str]) -> None:
    """The errors of a document as a table.

    `measures` makes the columns after the kind of each.
    """
    errors = document["errors"]
    if not errors:
        say("no split and no merge")
        return
    say(heading)
    for row in errors[:SHOWN]:
        wide = "" if row["calibre_nm"] is None else f"{row['calibre_nm']:.0f}"
        ids = f"{' '.join(map(str, row['segments']))}; {' '.join(map(str, row['objects']))}"
        place = ",".join(map(str, row["position"]))
        say(f"{row['rank']:4}  {row['kind']:5} {measures(row)}  {wide:>10}  {place:17} {ids:25} "
            f"{mended(row, document)}".rstrip())  # fmt: skip
    if len(errors) > SHOWN:
        say(f"… and {len(errors) - SHOWN} more")


def mended(row: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """In words, what would mend an error."""
    if row["inside_fragment"] is not None:
        return f"none: inside fragment {row['inside_fragment']}"
    if row["merge"] is None:
        return "" if document["threshold"] is None else "none: nothing in the tree unites them"
    merge, sign = row["merge"], "above" if row["kind"] == "split" else "up to"
    through = "" if set(merge["objects"]) == set(row["objects"]) else ", by way of other objects"
    return (
        f"{sign} {merge['threshold']:.4f}: merge {merge['rank']} of {merge['of']}, score {merge['score']:.4f}{through}"
    )


def check_where(merge_tree: str | None, region_graph: str | None, components: bool) -> None:
    """Refuse options that `--where` cannot go with."""
    if components:
        raise InputError("--where names segments and objects by their ids, which --components replaces: leave one out")
    if merge_tree and not region_graph:
        raise InputError("--where with --merge-tree names the responsible contacts: give --region-graph, too")
