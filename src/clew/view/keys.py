"""What the keys of `clew proofread` do, which neuroglancer's own tools do not."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from clew.errors import InputError
from clew.proofreading.doubts import Doubt, Doubts, Rank
from clew.space import Triple
from clew.view.graphene import Graph


class Keys:
    """The actions of one page; each returns what the page shows.

    Parameters
    ----------
    graph : Graph
    rank : Rank
        In which order doubtful contacts come.
    """

    def __init__(self, graph: Graph, rank: Rank) -> None:
        self.graph, self.editor, self.rank = graph, graph.editor, rank
        self._doubts: Doubts | None = None
        self._passed: set[int] = set()
        self._now: Doubt | None = None
        self._start: int | None = None
        self._sides: dict[str, list[Triple]] = {"one": [], "other": []}

    def press(self, action: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a key stands for; what cannot be done is said in the text.

        Parameters
        ----------
        action : str
        where : mapping
            `segment` and `place`: what is below the mouse, and where in voxels of the first layer, x, y, z.
        """
        actions = {"undo": self._turn, "redo": self._turn, "next": self._next, "seen": self._seen, "done": self._done,
                   "path": self._path, "one": self._side, "other": self._side, "cut": self._cut}  # fmt: skip
        self.graph.follow()
        try:
            found = actions[action](action, where) if action in actions else {}
        except InputError as error:
            found = {"text": str(error)}
        self.graph.follow()
        return found

    def _turn(self, action: str, _: Mapping[str, Any]) -> dict[str, Any]:
        number = self.editor.undo() if action == "undo" else self.editor.redo()
        return {"text": f"{action} of edit {number}"}

    def _next(self, *_: Any) -> dict[str, Any]:
        """Go to the next doubtful contact."""
        if self._doubts is None:
            self._doubts = Doubts(self.editor.tree, self.editor.threshold, self.rank)
            self._passed.update(self._merges_seen(self._doubts))
        self._now = self._doubts.next(self.editor.segments(), self._passed)
        if self._now is None:
            return {"text": "no further contact is in doubt: all were seen, or corrected"}
        self._passed.add(self._now.merge)
        one, other = self._now.contact.tolist()
        voxels = self.graph.contact_of(one, other)
        state = self.graph.state
        fragments = (state.find(fragment) for fragment in (one, other))
        segments = dict.fromkeys(str(self.graph.id_at(place)) for place in fragments if place is not None)
        return {"text": _told(self._now), "position": self.graph.shown(voxels[0]), "show": list(segments)}

    def _seen(self, *_: Any) -> dict[str, Any]:
        """Note that the contact was seen, and go on."""
        if self._now is None:
            raise InputError("no contact is shown: j goes to the most doubtful one")
        self.editor.mark_seen(*self.graph.contact_of(*self._now.contact.tolist()))
        return self._next()

    def _done(self, _: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """Mark the segment below the mouse as done, or as not done."""
        voxel = self._voxel(where)
        place = self.graph.position_at(voxel)
        before = int(self.graph.state.fragments[self.graph.state.roots[place]]) in self.editor.done()
        self.editor.mark_done(voxel, done=not before)
        return {
            "text": f"segment is {'not done any more' if before else 'done'}; {len(self.editor.done())} are done in all"
        }

    def _side(self, action: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """Note a point of one side of a split, or of the other."""
        self._sides[action].append(self._voxel(where))
        return self._points()

    def _cut(self, *_: Any) -> dict[str, Any]:
        """Split between the points; where both sides are in one fragment, through it."""
        sides, self._sides = self._sides, {"one": [], "other": []}
        if not all(sides.values()):
            raise InputError("a split needs a point on each side: f and g over them, then c; the points are forgotten")
        made = self.graph.split_at(*sides.values())
        return self._points() | {"text": f"split into {len(made)} segments", "add": [str(segment) for segment in made]}

    def _points(self) -> dict[str, Any]:
        one, other = ([self.graph.shown(voxel) for voxel in side] for side in self._sides.values())
        return {"text": f"{len(one)} points on one side, {len(other)} on the other: c cuts", "points": [one, other]}

    def _path(self, _: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """Note the first point, or draw the way from it to the second."""
        place = self.graph.position_at(self._voxel(where))
        if self._start is None or self._start >= len(self.graph.state.fragments):
            self._start = place
            return {"text": "path: p again over another point of the same segment"}
        start, self._start = self._start, None
        way = self.editor.segments().path(start, place)
        ids = self.graph.state.fragments[way].tolist()
        return {"text": f"path over {len(way)} fragments; where it is thin, a split may be due"} | self._drawn(ids)

    def _drawn(self, ids: Sequence[int]) -> dict[str, Any]:
        """A line through the contacts of fragments."""
        points = []
        for one, other in pairwise(ids):
            try:
                points.append(self.graph.shown(self.graph.contact_of(one, other)[0]))
            except InputError:
                continue  # joined by a person across a gap
        return {"line": points}

    def _voxel(self, where: Mapping[str, Any]) -> Triple:
        if not where.get("segment"):
            raise InputError("nothing is below the mouse: point at a segment")
        voxel = self.graph.layer_voxel(where["place"])
        return self.graph.voxel_of((int(where["segment"]), [at + 0.5 for at in voxel[::-1]]))

    def _merges_seen(self, doubts: Doubts) -> set[int]:
        """The merges of the contacts that were seen before."""
        fragments = self.editor.tree.fragments
        pairs = (np.searchsorted(fragments, np.array(pair, np.uint64)).tolist() for pair in self.editor.seen())
        known = (pair for pair in pairs if max(pair) < len(fragments))
        return {merge for merge in (doubts.merge_of(*pair) for pair in known) if merge is not None}


def _told(doubt: Doubt) -> str:
    small, large = sorted(doubt.voxels.tolist())
    what = "joined" if doubt.done else "apart"
    return f"{what} at score {doubt.score:.2f}: {small} and {large} voxels, {doubt.bits:.5f} bits expected"
