"""`clew.Edits`: corrections by a person, in a file that forgets nothing."""

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.arrays import as_array, as_box, as_ids
from clew.errors import InputError
from clew.pipeline._divisions import decoded, encoded
from clew.pipeline._edit_log import DONE, MERGE, NOT_DONE, REDO, SEEN, SPLIT, UNDO, EditLog, Row, stacks
from clew.proofreading.corrections import Correction, Segments, replay
from clew.proofreading.pieces import Division, divide, resolve_pairs, resolve_points
from clew.replace import written_beside
from clew.segmentation.affinities import quantise
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.constraints import PointConstraints
from clew.segmentation.options import CutOptions
from clew.segmentation.pieces import find_fragment
from clew.segmentation.region_graph import RegionGraph
from clew.space import Box, triple

Voxel = Sequence[int]


class Corrected(NamedTuple):
    """A segmentation with its corrections.

    Parameters
    ----------
    lookup : (m,) uint64
        The segment of each of `fragments`.
    broken : tuple of int
        Numbers of the edits that do not hold: a later edit undid them, or the threshold joins what they cut.
    fragments : (m,) uint64
        Those of the tree, ascending, but pieces in the place of fragments that were divided.

    Examples
    --------
    >>> ids = np.array([1, 4], np.uint64)
    >>> clew.Corrected(lookup=ids[[0, 0]], broken=(), fragments=ids).lookup.tolist()
    [1, 1]
    """

    lookup: NDArray[np.uint64]
    broken: tuple[int, ...]
    fragments: NDArray[np.uint64]


class Edits:
    """Merges and splits of segments, in one file, replayed at any threshold.

    Each edit is on the disk before the call returns, with user and time; nothing is ever changed or deleted in the file.

    Parameters
    ----------
    path : str or Path
        The file, made where there is none. One process at a time writes.
    graph : RegionGraph
    tree : MergeTree
        Of this graph.
    fragments : (z, y, x) uint64
        An array, or what is sliced like one: the fragments at the voxels that edits name.
    threshold : float
        Where the tree is cut when edits are made; `apply` takes any.
    affinities : (offset, z, y, x) uint8 or float in [0, 1], optional
        An array, or what is sliced like one: needed to divide a fragment, and read around it only.
    user : str, optional
        By default the name of the account.
    comment : str
        Of edits that are made without one.
    read_only : bool
        Read along while another process may write.

    Raises
    ------
    InputError
        For a file of other fragments, or one that another process writes.

    Examples
    --------
    >>> affinities, fragments = np.full((3, 1, 1, 4), 204, np.uint8), np.array([[[1, 2, 3, 4]]], np.uint64)
    >>> affinities[2, 0, 0, 2] = 150
    >>> graph = clew.build_region_graph(affinities, fragments)
    >>> with clew.Edits("edits.sqlite", graph, clew.agglomerate(graph), fragments) as edits:
    ...     number = edits.split([(0, 0, 0)], [(0, 0, 3)], comment="two neurites")
    ...     edits.apply().lookup.tolist()
    [1, 1, 3, 3]
    """

    def __init__(
        self,
        path: str | Path,
        graph: RegionGraph,
        tree: MergeTree,
        fragments: Any,
        *,
        threshold: float = CutOptions.threshold,
        affinities: Any = None,
        user: str = "",
        comment: str = "",
        read_only: bool = False,
    ) -> None:
        if affinities is not None and tuple(affinities.shape[1:]) != tuple(fragments.shape):
            raise InputError(f"affinities must be (offset, z, y, x) of the fragments' shape {tuple(fragments.shape)}, "
                             f"not of shape {tuple(affinities.shape)}")  # fmt: skip
        self.graph, self.tree, self.fragments, self.threshold = graph, tree, fragments, threshold
        self.affinities, self.comment, self.read_only = affinities, comment, read_only
        self._log = EditLog(Path(path), _about(graph, fragments), user=user, read_only=read_only)
        self._lock, self._rows = threading.RLock(), list[Row]()
        self._decoded: dict[int, list[Division]] = {}
        self._live: tuple[list[Row], Segments | None] = [], None

    def merge(self, one: Voxel, other: Voxel, *, comment: str = "") -> int:
        """Join the segments at two voxels (z, y, x); returns the number of the edit."""
        points = self._points([one]) + self._points([other])
        return self._add(MERGE, {"sources": points[:1], "sinks": points[1:], "cut": []}, comment)

    def split(self, sources: Sequence[Voxel], sinks: Sequence[Voxel], *, comment: str = "") -> int:
        """Cut a segment between two groups of voxels, where its contacts are weakest.

        The contacts with the smallest sum of affinities; all voxels of a group stay together. A fragment that holds voxels of both
        groups is divided first: each of its voxels goes to the group that it hangs together with more strongly.

        Parameters
        ----------
        sources, sinks : sequences of (z, y, x)
        comment : str

        Returns
        -------
        int
            The number of the edit.

        Raises
        ------
        InputError
            For voxels outside, for one in both groups, where the groups share no segment, or share a fragment and there are no
            affinities.
        """
        points = [self._points(side) for side in (sources, sinks)]
        shared = sorted({point[0] for point in points[0]} & {point[0] for point in points[1]})
        divisions = [self._divide(fragment, *points) for fragment in shared]
        sides = [resolve_points(side, divisions) for side in points]
        segments = self._segments(divisions)
        # what is divided may have no contact to cut
        cut = [] if divisions and segments.are_apart(*sides) else segments.split(*sides).cut.tolist()
        content = {"sources": points[0], "sinks": points[1], "cut": cut}
        content |= {"divided": [encoded(division) for division in divisions]} if divisions else {}
        return self._add(SPLIT, content, comment)

    def undo(self, *, comment: str = "") -> int:
        """Take the latest edit back; returns its number."""
        return self._turn(UNDO, comment)

    def redo(self, *, comment: str = "") -> int:
        """Do again what was taken back last; returns its number."""
        return self._turn(REDO, comment)

    def mark_seen(self, one: Voxel, other: Voxel, *, comment: str = "") -> int:
        """Note that the contact of the fragments at two voxels was looked at.

        Returns the number of the mark.
        """
        points = self._points([one, other])
        return self._add(SEEN, {"sources": points[:1], "sinks": points[1:]}, comment)

    def mark_done(self, voxel: Voxel, *, done: bool = True, comment: str = "") -> int:
        """Note that the segment at a voxel is right, or not any more.

        Returns the number of the mark. A segment is done as long as it consists of the same fragments: an edit that changes it
        opens it again, and undo of that edit brings the mark back.
        """
        (point,) = self._points([voxel])
        segments = self.segments()
        members = segments.members(segments.root_of(point[0]))
        content = {"sources": [point], "members": _digest(segments.graph, members)}
        return self._add(DONE if done else NOT_DONE, content, comment)

    def seen(self) -> set[tuple[int, int]]:
        """The contacts that were looked at: pairs of fragments, the smaller first."""
        marks = [row for row in self._history() if row.kind == SEEN]
        pairs = (sorted(self._now(row, "sources").tolist() + self._now(row, "sinks").tolist()) for row in marks)
        return {(one, other) for one, other in pairs}

    def done(self) -> set[int]:
        """The segments that are done, by their smallest fragments."""
        segments, found = self.segments(), set()
        marks = {row.content["members"]: row for row in self._history() if row.kind in (DONE, NOT_DONE)}
        for digest, row in marks.items():
            root = segments.root_of(int(self._now(row, "sources")[0]))
            if row.kind == DONE and _digest(segments.graph, segments.members(root)) == digest:
                found.add(int(segments.graph.fragments[root]))
        return found

    def segments(self) -> Segments:
        """What hangs together now, at the threshold of these edits."""
        with self._lock:
            return self._followed()

    def _followed(self) -> Segments:
        rows, (applied, segments) = self._active(), self._live
        if segments is None or _divided(rows) != _divided(applied):
            applied, segments = [], Segments(self.graph, self.tree, self.threshold, self._divisions())
        elif [row.number for row in rows[: len(applied)]] != [row.number for row in applied]:
            applied = []
            segments.restart()
        if len(rows) > len(applied):
            segments.correct(*map(self._correction, rows[len(applied) :]))
        self._live = rows, segments
        return segments

    def apply(self, threshold: float | None = None) -> Corrected:
        """The segment of each fragment with all edits.

        The cuts are those that were stored, not found anew.

        Parameters
        ----------
        threshold : float, optional
            Where the tree is cut first; by default that of these edits.

        Returns
        -------
        Corrected
        """
        if threshold in (None, self.threshold):
            with self._lock:
                segments, rows = self._followed(), self._live[0]
            broken = [row.number for row in rows if not segments.hold(self._correction(row))]
            return Corrected(segments.lookup(), tuple(broken), segments.graph.fragments)
        rows = self._active()
        segments = Segments(self.graph, self.tree, threshold, self._divisions())
        lookup, places = replay(segments, [self._correction(row) for row in rows])
        return Corrected(lookup, tuple(rows[place].number for place in places), segments.graph.fragments)

    def read_fragments(self, box: Sequence[slice] | None = None) -> NDArray[np.uint64]:
        """The fragments in a box, with the pieces of those that were divided.

        Parameters
        ----------
        box : three slices (z, y, x), optional
            By default the whole volume.

        Returns
        -------
        (z, y, x) uint64
        """
        part = as_box(Box.whole(self.fragments.shape) if box is None else box, self.fragments.shape, "box")
        found = as_ids(self.fragments[part], "fragments").copy()
        for division in self._divisions():
            division.show(found, part)
        return found

    def constraints(self) -> PointConstraints:
        """The edits that hold, as constraints by place for a next run on any fragments."""
        broken = self.apply().broken
        links, sides = PointConstraints().must_link.tolist(), PointConstraints().cannot_link.tolist()
        for row in self._active():
            ends = [(point[1:], side) for side, name in ((1, "sources"), (2, "sinks")) for point in row.content[name]]
            if row.number in broken:
                continue
            if row.kind == MERGE:
                links += [[*voxel, row.number] for voxel, _ in ends]
            else:
                sides += [[*voxel, row.number, side] for voxel, side in ends]
        return PointConstraints(np.array(links, np.int64).reshape(-1, 4), np.array(sides, np.int64).reshape(-1, 5))

    def carry(self, edits: "Edits") -> list[tuple[int, str]]:
        """Do the edits of another file, by place, as they were done on other fragments.

        Cuts are found anew. Voxels must mean the same in both.

        Parameters
        ----------
        edits : Edits
            Of a volume of the same shape.

        Returns
        -------
        list of (int, str)
            Number of each edit of the other file that could not be carried, and why.
        """
        if triple(edits.fragments.shape) != triple(self.fragments.shape):
            was, now = (tuple(edited.fragments.shape) for edited in (edits, self))
            raise InputError(f"edits are carried between volumes of one shape, not from {was} to {now}")
        missed = []
        for row in edits._active():
            sources, sinks = ([point[1:] for point in row.content[name]] for name in ("sources", "sinks"))
            try:
                if row.kind == MERGE:
                    self.merge(sources[0], sinks[0], comment=row.comment)
                else:
                    self.split(sources, sinks, comment=row.comment)
            except InputError as error:
                missed.append((row.number, str(error)))
        return missed

    def history(self) -> list[dict[str, Any]]:
        """All that was ever done, undo and redo too, in order.

        Each with number, kind, content, user, time (UTC) and comment.
        """
        return [row._asdict() for row in self._history()]

    def export(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the history as JSON lines."""
        with written_beside(Path(path), overwrite) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in self.history()))

    def close(self) -> None:
        """Let the file go, for another process to write."""
        self._log.close()

    def __enter__(self) -> "Edits":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _add(self, kind: str, content: dict[str, Any], comment: str) -> int:
        with self._lock:
            return self._log.append(kind, content, comment or self.comment)

    def _turn(self, kind: str, comment: str) -> int:
        done, undone = stacks(self._history())
        stack = done if kind == UNDO else undone
        if not stack:
            raise InputError(f"there is nothing to {kind}")
        self._add(kind, {"edit": stack[-1].number}, comment)
        return stack[-1].number

    def _active(self) -> list[Row]:
        return stacks(self._history())[0]

    def _history(self) -> list[Row]:
        """All rows; those that another process has added since, too."""
        with self._lock:
            self._rows += self._log.rows(self._rows[-1].number if self._rows else 0)
            return self._rows

    def _divisions(self, since: int = 0) -> list[Division]:
        """All divisions of the edits from a number on, in their order."""
        rows = [row for row in self._active() if row.number >= since and "divided" in row.content]
        for row in rows:
            if row.number not in self._decoded:
                self._decoded[row.number] = [decoded(content) for content in row.content["divided"]]
        return [division for row in rows for division in self._decoded[row.number]]

    def _now(self, row: Row, name: str, more: Sequence[Division] = ()) -> NDArray[np.uint64]:
        """The fragments, or pieces of them, at the voxels of one side of an edit."""
        return resolve_points(row.content[name], [*self._divisions(row.number), *more])

    def _correction(self, row: Row, more: Sequence[Division] = ()) -> Correction:
        """An edit, by the fragments that there are after all divisions."""
        cut = np.array(row.content["cut"], np.uint64).reshape(-1, 2)
        pairs = resolve_pairs(cut, [*self._divisions(row.number + 1), *more])
        return Correction(
            self._now(row, "sources", more), self._now(row, "sinks", more), pairs, is_split=row.kind == SPLIT
        )

    def _segments(self, more: Sequence[Division]) -> Segments:
        """The segments where edits are made, after further divisions."""
        if not more:
            return self.segments()
        segments = Segments(self.graph, self.tree, self.threshold, [*self._divisions(), *more])
        segments.correct(*(self._correction(row, more) for row in self._active()))
        return segments

    def _divide(self, fragment: int, sources: list[list[int]], sinks: list[list[int]]) -> Division:
        """A fragment divided between the points of two sides that lie in it."""
        if self.affinities is None:
            raise InputError(f"fragment {fragment} is on both sides of the split: to divide it, open the edits with the affinities "
                             "that it was made from (clew.Edits(…, affinities=affinities))")  # fmt: skip
        groups = enumerate((sources, sinks))
        points = [(point[1:], side) for side, group in groups for point in group if point[0] == fragment]
        graph, shape = self.segments().graph, triple(self.fragments.shape)
        size = int(graph.sizes[np.searchsorted(graph.fragments, np.uint64(fragment))])
        box, ids = find_fragment(self.read_fragments, fragment, size, points[0][0], shape)
        affinities = quantise(self.affinities[(slice(0, 3), *box)])
        voxels, sides = zip(*points, strict=True)
        return divide(affinities, ids, box, shape, voxels, sides, others=graph.fragments)

    def _points(self, voxels: Sequence[Voxel]) -> list[list[int]]:
        """(fragment, z, y, x) of each voxel."""
        rows = as_array(voxels, "voxels")
        if rows.ndim != 2 or rows.shape[1] != 3 or rows.dtype.kind not in "ui" or not len(rows):
            raise InputError(f"voxels must be given as (z, y, x) whole numbers, not {voxels!r}")
        points = []
        for voxel in rows.tolist():
            if not all(0 <= at < size for at, size in zip(voxel, self.fragments.shape, strict=True)):
                raise InputError(f"voxel {tuple(voxel)} lies outside the volume of shape {tuple(self.fragments.shape)}")
            fragment = int(self.read_fragments(Box.between(voxel, (at + 1 for at in voxel))).item())
            if fragment == 0:
                raise InputError(f"voxel {tuple(voxel)} lies in no fragment: take one inside a segment")
            points.append([fragment, *voxel])
        return points


def _divided(rows: Sequence[Row]) -> list[int]:
    """Numbers of the edits that divide fragments."""
    return [row.number for row in rows if "divided" in row.content]


def _digest(graph: RegionGraph, members: NDArray[np.int64]) -> str:
    """What a segment consists of: its fragments, and their sizes.

    Sizes change where a fragment is divided.
    """
    content = np.stack([graph.fragments[members], graph.sizes[members].astype(np.uint64)])
    return hashlib.blake2b(content.tobytes(), digest_size=16).hexdigest()


def _about(graph: RegionGraph, fragments: Any) -> dict[str, Any]:
    """What edits are about: these fragments."""
    found = hashlib.blake2b(digest_size=16)
    for column in (graph.fragments, graph.sizes, graph.edges):
        found.update(np.ascontiguousarray(column).tobytes())
    return {"fragments": found.hexdigest(), "shape": list(map(int, fragments.shape))}
