"""Segments that a person corrects, as neuroglancer's tools ask for them.

The tools are Merge and Multicut, over graphene://.

Fragment f is 1 << 56 | f. A segment is 2 << 56 | n << 28 | p + 1: p is the position of its smallest fragment among all, n grows
with each edit that changes it, so that what a reader has kept of an id stays true. Places are in voxels of the fragments, from
the corner of the first. Where a fragment has been divided, all addresses of data are new ones.
"""

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.evaluation.places import middle_of, touching
from clew.segmentation.pieces import find_fragment
from clew.space import Box, Triple, triple
from clew.view.draco import draco_of
from clew.view.fragments import Current
from clew.view.layers import Layer
from clew.view.meshes import Meshes

LAYER_BITS, POSITION_BITS = 8, 28
LOW_BITS = 64 - LAYER_BITS
FRAGMENT, SEGMENT = 1 << LOW_BITS, 2 << LOW_BITS
DATA_CHUNK, GRAPH_CHUNK = 64, 128
"""Edges of the chunks of ids, and of those for which the fragments of a segment are asked, in voxels."""
REACHES = (0, 2, 8, 32)
"""Voxels around a click in which what was meant is looked for: surfaces and coarse scales lie beside it."""
KEPT_CHUNKS, KEPT_MESHES = 1024, 128
Point = tuple[int, Sequence[float]]
"""What was clicked, and where: an id, and x, y, z in voxels."""


class State(NamedTuple):
    """What hangs together at a moment.

    Parameters
    ----------
    fragments : (n,) uint64
        Ascending.
    roots : (n,) int64
        Position of the smallest fragment that each hangs together with.
    owners : (n,) int64
        Position of the undivided fragment that each is of.
    """

    fragments: NDArray[np.uint64]
    roots: NDArray[np.int64]
    owners: NDArray[np.int64]

    def find(self, fragment: int) -> int | None:
        """Position of a fragment; None where there is no such one."""
        place = int(np.searchsorted(self.fragments, np.uint64(fragment)))
        return place if place < len(self.fragments) and int(self.fragments[place]) == fragment else None

    def part(self, chosen: NDArray[np.bool_]) -> "Parts":
        """The chosen fragments."""
        return Parts(self.fragments[chosen], self.owners[chosen], self.fragments[self.roots[chosen]])


class Parts(NamedTuple):
    """Some fragments: ids, owners, and the smallest fragment of the segment of each."""

    ids: NDArray[np.uint64]
    owners: NDArray[np.int64]
    segments: NDArray[np.uint64]


class Graph:
    """Fragments, and the segments that edits make of them.

    Its methods are called from one thread but for `info`, `chunk`, `leaves` and `mesh`.

    Parameters
    ----------
    layer : Layer
        The fragments, with an editor.
    first : (z, y, x) floats
        Voxel size of the first layer of the viewer, in nm, in which places of the page are.
    """

    def __init__(self, layer: Layer, first: Sequence[float]) -> None:
        assert layer.editor is not None
        self.editor, self.first, self.size = layer.editor, np.array(first), np.array(layer.voxel_size)
        self.state = self._found()
        self.original = self.state.fragments
        if len(self.original) >= 1 << POSITION_BITS or (self.original >= FRAGMENT).any():
            raise InputError(
                f"proofreading takes up to {(1 << POSITION_BITS) - 1} fragments with ids below 2^{LOW_BITS}: cut a part out, or "
                "give the fragments smaller ids"
            )
        scales = [(Current(data, factors, layer.data, self.editor), factors) for data, factors in layer.scales]
        self.low = np.array(layer.offset) + (self.first - self.size) / 2
        self.layer = replace(layer, data=scales[0][0], coarser=scales[1:], offset=(0.0, 0.0, 0.0))
        self.version, self.changes, self._numbers = 0, 0, 0
        self._ids: dict[int, int] = {}
        self._roots: dict[int, int] = {}
        self._replaced: dict[int, list[int]] = {}
        self._forget()

    def info(self, address: str) -> dict[str, Any]:
        """The document of the volume; its data lie below an address."""
        scales = [
            {
                "key": f"s{number}",
                "size": list(data.shape[::-1]),
                "resolution": (self.size * factors)[::-1].tolist(),
                "voxel_offset": [0, 0, 0],
                "chunk_sizes": [[DATA_CHUNK] * 3],
                "encoding": "raw",
            }
            for number, (data, factors) in enumerate(self.layer.scales)
        ]
        graph = {"chunk_size": [GRAPH_CHUNK] * 3, "n_bits_for_layer_id": LAYER_BITS, "n_layers": 2,
                 "bounding_box": scales[0]["size"]}  # fmt: skip
        return {"@type": "neuroglancer_multiscale_volume", "type": "segmentation", "data_type": "uint64", "num_channels": 1,
                "scales": scales, "data_dir": f"{address}{self.version}", "mesh": "mesh", "graph": graph,
                "app": {"supported_api_versions": [0, 1]}}  # fmt: skip

    def chunk(self, scale: int, box: Box) -> bytes | None:
        """The ids of fragments in a box of a scale, x fastest, as gzip; None outside."""
        data = self.layer.scales[scale][0]
        if not box.lies_in(Box.whole(data.shape)):
            return None
        ids = data[box].astype("<u8")
        return gzip.compress(np.where(ids == 0, ids, ids | np.uint64(FRAGMENT)).tobytes(), 1)

    def segments_of(self, ids: Iterable[int]) -> list[int]:
        """The segment of each fragment.

        0 stays 0, and what is a segment is followed to the latest one.
        """
        return [self._id(self._root(node)) if node else 0 for node in ids]

    def is_latest(self, segment: int) -> bool:
        """Whether a segment is one now."""
        root = self._root_of(segment)
        return root is not None and int(self.state.roots[root]) == root and self._id(root) == segment

    def latest(self, segment: int) -> list[int]:
        """The segments that have taken the place of one, or itself."""
        if self.is_latest(segment):
            return [segment]
        if segment in self._replaced:
            return list(dict.fromkeys(new for old in self._replaced[segment] for new in self.latest(old)))
        if segment < SEGMENT:
            return []
        roots = np.unique(self.state.roots[self.state.owners == _position(segment)])
        return [self._id(root) for root in roots.tolist()]

    def leaves(self, segment: int, box: Box | None = None) -> list[str]:
        """The fragments of a segment, in a box where one is given."""
        state, root = self.state, self._root_of(segment)
        if root is None or not self.is_latest(segment):
            return []
        found = np.flatnonzero(state.roots == root)
        if box is not None:
            found = np.intersect1d(found, np.searchsorted(state.fragments, self._inside(box.low, box.high)))
        return [str(FRAGMENT | fragment) for fragment in state.fragments[found].tolist()]

    def merge(self, one: Point, other: Point) -> list[int]:
        """Join the segments at two points; the new one."""
        voxels = self.voxel_of(one), self.voxel_of(other)
        places = [self.position_at(voxel) for voxel in voxels]
        if len(np.unique(self.state.roots[places])) == 1:
            raise InputError("both points are in one segment already: nothing to merge")
        self.editor.merge(*voxels)
        self.follow()
        return [self.id_at(places[0])]

    def split(self, sources: Sequence[Point], sinks: Sequence[Point]) -> list[int]:
        """Cut a segment between two groups of points.

        The new ones may be more than two.
        """
        return self.split_at(*([self.voxel_of(point) for point in side] for side in (sources, sinks)))

    def split_at(self, sources: Sequence[Triple], sinks: Sequence[Triple]) -> list[int]:
        """Cut a segment between two groups of voxels (z, y, x); the new ones."""
        voxels = sources, sinks
        before = {self.id_at(self.position_at(voxel)) for side in voxels for voxel in side}
        self.editor.split(*voxels)
        self.follow()
        return [new for old in before for new in self.latest(old)]

    def follow(self) -> None:
        """Find out which segments an edit has changed, of this process or another."""
        before, now = self.state, self._found()
        if now.roots is before.roots:
            return
        self.changes += 1
        divided = not np.array_equal(now.fragments, before.fragments)
        touched = [np.ones(len(state.roots), bool) for state in (before, now)]
        if not divided:
            differing = before.roots != now.roots
            changed = np.concatenate([before.roots[differing], now.roots[differing]])
            touched = [np.isin(before.roots, changed)] * 2
        pairs, fresh = _exchanged(before.part(touched[0]), now.part(touched[1]))
        old = [self._id_of(fragment) for fragment in pairs[:, 0].tolist()]
        self.state = now
        for fragment in fresh.tolist():
            self._name(fragment)
        for segment, fragment in zip(old, pairs[:, 1].tolist(), strict=True):
            if segment != self._id_of(fragment):
                self._replaced.setdefault(segment, []).append(self._id_of(fragment))
        if divided:
            self.version += 1
            self._forget()

    def voxel_of(self, point: Point) -> Triple:
        """The voxel (z, y, x) of what was clicked that is nearest to where."""
        wanted, place = point
        root = self._root(wanted)
        members = (
            self.state.fragments[self.state.roots == root]
            if wanted >= SEGMENT
            else np.array([wanted - FRAGMENT], np.uint64)
        )
        middle = np.floor(np.array(place[::-1], float)).astype(int)
        whole = Box.whole(self.layer.data.shape)
        for reach in REACHES:
            box = Box.between(middle - reach, middle + reach + 1).overlap(whole)
            found = np.argwhere(np.isin(self.layer.data[box], members)) + box.low if box.size else np.zeros((0, 3))
            if len(found):
                return triple(found[np.argmin((((found - middle) * self.size) ** 2).sum(axis=1))].tolist())
        raise InputError(
            f"the point at x, y, z = {', '.join(f'{at:.0f}' for at in place)} lies outside of what was clicked"
        )

    def position_at(self, voxel: Triple) -> int:
        """Position of the fragment at a voxel."""
        fragment = self.layer.data[Box.between(voxel, np.array(voxel) + 1)].item()
        return int(np.searchsorted(self.state.fragments, np.uint64(fragment)))

    def id_at(self, place: int) -> int:
        """The segment of the fragment at a position."""
        return self._id(int(self.state.roots[place]))

    def layer_voxel(self, place: Sequence[float]) -> Triple:
        """The voxel (z, y, x) at a place x, y, z in voxels of the first layer."""
        voxel = np.floor((np.array(place[::-1], float) * self.first - self.low) / self.size)
        return triple(voxel.astype(int).tolist())

    def shown(self, voxel: Triple) -> list[float]:
        """The middle of a voxel, x, y, z in voxels of the first layer."""
        place = (self.low + (np.array(voxel) + 0.5) * self.size) / self.first
        return [float(at) for at in place[::-1]]

    def contact_of(self, one: int, other: int) -> list[Triple]:
        """A voxel (z, y, x) of each of two fragments, side by side where they touch."""
        sizes = self.editor.segments().graph.sizes
        places = [int(np.searchsorted(self.state.fragments, np.uint64(each))) for each in (one, other)]
        near = min(places, key=lambda place: int(sizes[place]))
        fragment, far = int(self.state.fragments[near]), one if near == places[1] else other
        shape = triple(self.layer.data.shape)
        box, ids = find_fragment(
            self.layer.data.__getitem__, fragment, int(sizes[near]), self._voxel_in(fragment), shape
        )
        here, there = ids == np.uint64(fragment), ids == np.uint64(far)
        beside = touching(there, here)
        if not len(beside):
            raise InputError(f"fragments {one} and {other} do not touch")
        middle = middle_of(touching(here, there), self.layer.voxel_size)
        nearest = beside[np.abs(beside - middle).sum(axis=1).argmin()]
        voxels = [triple((np.array(each) + box.low).tolist()) for each in (middle, nearest)]
        return voxels if near == places[0] else voxels[::-1]

    def _voxel_in(self, fragment: int) -> Triple:
        """A voxel of a fragment: that which gave it its id, else one that is looked for."""
        shape = self.layer.data.shape
        if fragment <= np.prod(shape, dtype=float):
            named = triple(int(at) for at in np.unravel_index(fragment - 1, shape))
            if self.layer.data[Box.between(named, np.array(named) + 1)].item() == fragment:
                return named
        box = self._meshes.box_of(np.array([fragment], np.uint64))
        found = np.argwhere(self.layer.data[box] == np.uint64(fragment))
        if not len(found):
            raise InputError(f"fragment {fragment} is too small to be found: go on with the next contact")
        return triple((found[0] + box.low).tolist())

    def _found(self) -> State:
        segments = self.editor.segments()
        return State(segments.graph.fragments, segments.roots(), segments.owners)

    def _forget(self) -> None:
        """Begin anew what is kept of volumes."""
        self._meshes = Meshes(self.layer, tuple(self.size / 2))
        self._inside = lru_cache(KEPT_CHUNKS)(self._ids_inside)
        self.mesh = lru_cache(KEPT_MESHES)(self._mesh)

    def _mesh(self, segment: int) -> bytes | None:
        state, root = self.state, self._root_of(segment)
        if root is None or not self.is_latest(segment):
            return None
        return draco_of(self._meshes.surface_of(state.fragments[state.roots == root]))

    def _ids_inside(self, low: Triple, high: Triple) -> NDArray[np.uint64]:
        ids = np.unique(self.layer.data[Box.between(low, high).overlap(Box.whole(self.layer.data.shape))])
        return ids[ids > 0]

    def _name(self, fragment: int) -> None:
        """Give the segment of this smallest fragment an id that there never was."""
        self._numbers += 1
        owner = int(self.state.owners[np.searchsorted(self.state.fragments, np.uint64(fragment))])
        self._ids[fragment] = SEGMENT | self._numbers << POSITION_BITS | owner + 1
        self._roots[self._ids[fragment]] = fragment

    def _id(self, root: int) -> int:
        return self._id_of(int(self.state.fragments[root]))

    def _id_of(self, fragment: int) -> int:
        """The id of the segment of this smallest fragment."""
        if fragment not in self._ids:
            return SEGMENT | int(np.searchsorted(self.original, np.uint64(fragment))) + 1
        return self._ids[fragment]

    def _root_of(self, segment: int) -> int | None:
        """Position of the smallest fragment of what is or was a segment."""
        place = _position(segment)
        if segment in self._roots:
            return self.state.find(self._roots[segment])
        return (
            self.state.find(int(self.original[place]))
            if segment >= SEGMENT and 0 <= place < len(self.original)
            else None
        )

    def _root(self, node: int) -> int:
        """The root of a fragment or segment, by its id."""
        if node >= SEGMENT:
            found = self._root_of(next(iter(self.latest(node)), 0))
        else:
            found = self.state.find(node - FRAGMENT) if node > FRAGMENT else None
        if found is None:
            raise InputError(f"there is no {'segment' if node >= SEGMENT else 'fragment'} {node & (FRAGMENT - 1)}")
        return int(self.state.roots[found])


def _position(segment: int) -> int:
    return (segment & ((1 << POSITION_BITS) - 1)) - 1


def _exchanged(before: Parts, now: Parts) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Which segments have taken the place of which, and which are new.

    Segments are given by their smallest fragments: pairs (n, 2) of those before and those now, and (m,) of those now that do not
    consist of the fragments of one before.
    """
    kept = np.isin(now.ids, before.ids)
    pairs = [_joined(before, before.ids, now, now.ids)]
    for one, other in ((before, now), (now, before)):
        alone = ~np.isin(one.ids, other.ids)
        part = Parts(one.ids[alone], one.owners[alone], one.segments[alone])
        found = _joined(part, part.owners, other, other.owners)
        pairs.append(found if one is before else found[:, ::-1])
    every = np.unique(np.concatenate(pairs), axis=0)
    counts = [np.unique(column, return_inverse=True, return_counts=True)[1:] for column in every.T]
    many = np.any([count[again] > 1 for again, count in counts], axis=0)
    return every, np.unique(np.concatenate([every[many, 1], now.segments[~kept]]))


def _joined(one: Parts, keys: NDArray[Any], other: Parts, others: NDArray[Any]) -> NDArray[np.uint64]:
    """Pairs of segments that have a key in common.

    Of several with one key, the first.
    """
    order = np.argsort(others, kind="stable")
    places = np.minimum(np.searchsorted(others[order], keys), max(len(others) - 1, 0))
    same = others[order][places] == keys if len(others) else np.zeros(len(keys), bool)
    return np.unique(np.stack([one.segments[same], other.segments[order][places[same]]], axis=1), axis=0)
