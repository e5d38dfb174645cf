"""Where skeletons are split and merged: `clew evaluate-skeletons --where`.

Only boxes around the places are read, so that the segmentation may be larger than memory.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.evaluation.calibre import calibres_at
from clew.evaluation.nodes import relabel_nodes
from clew.evaluation.places import touching
from clew.evaluation.skeletons import Skeletons
from clew.evaluation.traced import TracedError, node_table, traced_errors
from clew.evaluation.where import Cause, PairError, Parts, Verdict, find_causes
from clew.labels import Labels
from clew.pipeline._declare import Record
from clew.pipeline._files import read_ids
from clew.pipeline._progress import say
from clew.pipeline._where import LISTED, VERSION, Tree, merge_row, say_ranked, write_error_table, write_errors
from clew.segmentation.relabel import relabel, segment_lookup
from clew.space import Box, Triple, triple
from clew.volumes.volume import Volume

REACH, MOST = 400.0, 40
"""In nm and voxels: so far around a place is looked for the contact, and at the calibre."""


class Traced(NamedTuple):
    """A segmentation, or the fragments of a tree, at the nodes of skeletons."""

    volume: Volume
    ids: Labels
    skeletons: Skeletons
    minimum_nodes: int


class Place(NamedTuple):
    """A voxel (z, y, x), how it was found, and the calibre in nm there."""

    voxel: Triple
    found: str
    calibre: float | None


def report_traced(
    traced: Traced,
    tree: Tree | None,
    where: str | None,
    table: str | None,
    record: Record,
    verdicts: Mapping[Parts, Verdict],
) -> None:
    """Find the errors, say them, and write them where that is asked for.

    Verdicts that were given are written with them.
    """
    document = _document(traced, tree, verdicts)
    _say(document)
    if where:
        write_errors(document, Path(where), record)
    if table:
        write_error_table(document, Path(table))


def segments_at(traced: Traced, tree: Tree | None) -> Labels:
    """The segment of each node, at the threshold of the tree."""
    if tree is None:
        return traced.ids
    return relabel_nodes(traced.ids, tree.tree.fragments, segment_lookup(tree.tree, tree.threshold))


def _document(traced: Traced, tree: Tree | None, verdicts: Mapping[Parts, Verdict]) -> dict[str, Any]:
    errors = sorted(
        (
            each
            for kind in traced_errors(segments_at(traced, tree), traced.skeletons, traced.minimum_nodes, LISTED)
            for each in kind
        ),
        key=lambda each: (-each.length, -each.nodes),
    )
    causes = _causes(errors, traced, tree)
    volume = traced.volume
    return {
        "errors_version": VERSION,
        "truth": "skeletons",
        "score": None if tree is None else tree.tree.score,
        "threshold": None if tree is None else tree.threshold,
        "voxel_size": list(volume.voxel_size),
        "offset": list(volume.offset),
        "errors": [
            _row(rank, error, cause, traced, tree, verdicts)
            for rank, (error, cause) in enumerate(zip(errors, causes, strict=True), 1)
        ],
    }


def _causes(errors: Sequence[TracedError], traced: Traced, tree: Tree | None) -> list[Cause | int | None]:
    if tree is None:
        return [None] * len(errors)
    pairs = [PairError(error.kind, error.parts, error.nodes, 0.0) for error in errors]
    return find_causes(pairs, node_table(traced.ids, traced.skeletons), tree.merges, tree.threshold)


def _row(
    rank: int, error: TracedError, cause: Cause | int | None, traced: Traced, tree: Tree | None,
    verdicts: Mapping[Parts, Verdict],
) -> dict[str, Any]:  # fmt: skip
    ids, volume = np.unique(traced.skeletons.skeletons), traced.volume
    merge = merge_row(cause, tree) if tree is not None and isinstance(cause, Cause) else None
    if merge is not None:
        merge["objects"] = [int(ids[number - 1]) if number else None for number in merge["objects"]]
    place = _place(error, merge, traced, tree)
    (one, first), (other, second) = error.parts
    parts = (one, int(ids[first - 1])), (other, int(ids[second - 1]))
    return {
        "rank": rank, "kind": error.kind, "segments": list(dict.fromkeys(segment for segment, _ in error.parts)),
        "objects": [int(ids[number - 1]) for number in dict.fromkeys(number for _, number in error.parts)],
        "nodes": error.nodes, "length_nm": error.length, "calibre_nm": place.calibre, "position": list(place.voxel),
        "position_nm": (np.array(place.voxel) * volume.voxel_size + volume.offset).tolist(), "position_is": place.found,
        "inside_fragment": cause if isinstance(cause, int) else None, "merge": merge,
        "verdict": verdicts.get(parts),
    }  # fmt: skip


def _place(error: TracedError, merge: dict[str, Any] | None, traced: Traced, tree: Tree | None) -> Place:
    """Where the parts meet.

    At the responsible contact, where they touch, or at the node of the second part.
    """
    volume = traced.volume
    size = np.array(volume.voxel_size)
    positions = traced.skeletons.positions[list(error.at)]
    node = np.floor((positions[1] - volume.offset) / size + 0.5).astype(int)
    reach = triple(np.clip(np.round(REACH / size), 2, MOST).astype(int).tolist())
    box = Box.between(node.tolist(), (node + 1).tolist()).grown(reach, reach, inside=Box.whole(volume.shape))
    ids = read_ids(volume, box)
    segments = ids
    if tree is not None:
        segments = relabel(ids, tree.tree.fragments, segment_lookup(tree.tree, tree.threshold))
    here, found = node - box.low, "node"
    for pair, values, name in _seams(error, merge, ids, segments):
        seam = touching(values == pair[1], values == pair[0])
        if len(seam):
            here, found = seam[int(np.argmin((((seam - here) * size) ** 2).sum(axis=1)))], name
            break
    width = float(calibres_at(segments, volume.voxel_size, here[np.newaxis])[0])
    return Place(triple((here + box.low).tolist()), found, width if 0 < width < math.inf else None)


def _seams(
    error: TracedError, merge: dict[str, Any] | None, ids: Labels, segments: Labels
) -> list[tuple[Sequence[int], NDArray[np.uint64], str]]:
    """Two ids whose border is the place, the volume that they are of, and its name."""
    seams: list[tuple[Sequence[int], NDArray[np.uint64], str]] = []
    if merge is not None:
        seams.append((merge["fragments"], ids, "contact"))
    if error.kind == "split":
        seams.append(([segment for segment, _ in error.parts], segments, "touch"))
    return seams


def _say(document: dict[str, Any]) -> None:
    """The errors as a table."""
    at = "" if document["threshold"] is None else f" at threshold {document['threshold']:g} of {document['score']}"
    say(f"where{at}: µm is the path that one error cuts off, or joins wrongly")
    say_ranked(
        document,
        "rank  kind       µm  nodes  calibre nm  z,y,x             segments; skeletons       mended at threshold",
        lambda row: f"{row['length_nm'] / 1000:7.2f} {row['nodes']:6}",
    )
