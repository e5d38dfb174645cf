"""Tasks that divide a volume into fragments.

First blocks, then faces between them, then levels of joined blocks, then ids, handed down the levels: no task holds more than
the level that it works on passed up.

Volumes: `affinities` (`mask`, `cannot_link`) in; `pieces` (z, y, x) uint32, the fragments numbered in each block; `fragments` out.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from clew.blockwise.grid import Grid, beside
from clew.blockwise.store import Key, Store, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.kernels.forest import look_up
from clew.segmentation.affinities import quantise
from clew.segmentation.constraints import PointConstraints
from clew.segmentation.forest import Forest
from clew.segmentation.fragments import SEEDED_BY_IDS
from clew.segmentation.in_blocks.constraints import points_in_blocks
from clew.segmentation.in_blocks.forest import (
    Tokens,
    check_size,
    context_of,
    join_forests,
    join_tokens,
    match_faces,
    start_forest,
)
from clew.segmentation.options import FragmentOptions
from clew.segmentation.pieces import Pieces, divide_at_points
from clew.segmentation.relabel import exchange_ids
from clew.space import Box, Triple


def fragment_tasks(
    grid: Grid,
    options: FragmentOptions,
    *,
    masked: bool = False,
    labelled: bool = False,
    cannot_link: NDArray[np.int64] = PointConstraints().cannot_link,
) -> list[Task]:
    """All tasks from affinities to fragments.

    The result is equal to `extract_fragments` of the whole.

    Parameters
    ----------
    grid : Grid
    options : FragmentOptions
        `seeded-forest` or `affinity-watershed`.
    masked : bool
        Whether there is a volume `mask`.
    labelled : bool
        Whether there is a volume `cannot_link`, whose ids are seeds.
    cannot_link : (n, 5) int64
        Points of sides, as of `PointConstraints`: one task, after all others, divides the fragments that hold several. It reads
        the blocks that such a fragment lies in.

    Raises
    ------
    InputError
        For blocks that are too large.
    """
    check_size(grid.block(grid.middle), options)
    tasks = []
    for place in grid.places():
        work = partial(_start, grid=grid, place=place, options=options, masked=masked, labelled=labelled)
        writes = (("forest", 0, *place), ("pieces", *place), ("names", *place), ("planes", *place))
        instead = ((("pieces", *place), ("fragments", *place)),)
        tasks.append(Task(work, (), writes, instead))
    for axis, place in grid.faces():
        work = partial(_match, grid=grid, axis=axis, place=place)
        sides = keys("planes", (place, beside(place, axis, 1)))
        tasks.append(Task(work, sides, (("face", axis, *place),)))
    for level in range(1, grid.top + 1):
        for place in grid.places(level):
            work = partial(_join, grid=grid, level=level, place=place)
            made = keys("forest", [place], level) + keys("tokens", [place], level)
            made += keys("renames", grid.parts(place, level), level - 1)
            tasks.append(Task(work, _reads(grid, level, place), made))
    for level in range(1, grid.top):
        for place in grid.places(level):
            parts = grid.parts(place, level)
            reads = (_final(grid, level, place), *keys("renames", parts, level - 1))
            work = partial(_hand_down, grid=grid, level=level, place=place)
            tasks.append(Task(work, reads, keys("final", parts, level - 1)))
    divided: tuple[Key, ...] = ()
    if len(cannot_link) and options.method == SEEDED_BY_IDS:
        divided = (("divided",),)
        every = tuple(key for place in grid.places() for key in _named(grid, place))
        tasks.append(Task(partial(_divide, grid=grid, cannot_link=cannot_link), every, divided))
    for place in grid.places():
        work = partial(_name, grid=grid, place=place, divided=bool(divided))
        tasks.append(Task(work, _named(grid, place) + divided, (("fragments", *place),)))
    return tasks


def _named(grid: Grid, place: Triple) -> tuple[Key, ...]:
    """Where the fragments of a block stand, and what they are called at last."""
    return ("pieces", *place), ("names", *place), *((_final(grid, 0, place),) if grid.top else ())


def _final(grid: Grid, level: int, place: Triple) -> Key:
    """The table of what became at last of the components that a block passed up.

    Where the next level is the last, nothing is renamed after it.
    """
    return ("renames" if level == grid.top - 1 else "final", level, *place)


def _reads(grid: Grid, level: int, place: Triple) -> tuple[tuple[str | int, ...], ...]:
    parts = grid.parts(place, level)
    forests = keys("forest", parts, level - 1)
    if level > 1:
        return forests + keys("tokens", parts, level - 1)
    return forests + tuple(("face", axis, *lower) for axis, lower in grid.faces_of(parts))


def _start(store: Store, *, grid: Grid, place: Triple, options: FragmentOptions, masked: bool, labelled: bool) -> None:
    block = grid.block(place)
    context = context_of(block, options)
    mask = store.read("mask", context) if masked else None
    ids = store.read("cannot_link", block.seen) if labelled else None
    values = store.read("affinities", context)
    found = start_forest(values, block, mask=mask, cannot_link=ids, options=options)
    store.write("pieces", block.owned, found.indices)
    store.save(("names", *place), {"names": found.ids})
    store.save(("planes", *place), {f"{axis}-{side}": plane for (axis, side), plane in found.planes.items()})
    store.save(("forest", 0, *place), as_table(found.forest))


def _match(store: Store, *, grid: Grid, axis: int, place: Triple) -> None:
    lower = store.load(("planes", *place))[f"{axis}-1"]
    upper = store.load(("planes", *beside(place, axis, 1)))[f"{axis}-0"]
    one, other = match_faces(lower, upper, grid.face_box(axis, place), grid.domain.frame)
    store.save(("face", axis, *place), {"voxels": one.voxels, "lower": one.owners, "upper": other.owners})


def _join(store: Store, *, grid: Grid, level: int, place: Triple) -> None:
    parts = grid.parts(place, level)
    forests = [as_record(Forest, store.load(("forest", level - 1, *part))) for part in parts]
    if level > 1:
        tokens = [as_record(Tokens, store.load(("tokens", level - 1, *part))) for part in parts]
    else:
        tokens = _face_tokens(store, grid, parts)
    forest, left, renames = join_forests(forests, join_tokens(tokens), grid.block(place, level))
    store.save(("forest", level, *place), as_table(forest))
    store.save(("tokens", level, *place), as_table(left))
    for part, below in zip(parts, forests, strict=True):
        new = renames.new[np.searchsorted(renames.old, below.ids)]
        store.save(("renames", level - 1, *part), {"old": below.ids, "new": new})


def _face_tokens(store: Store, grid: Grid, parts: list[Triple]) -> list[Tokens]:
    """What the faces of some blocks say about these blocks."""
    tokens = []
    for axis, lower in grid.faces_of(parts):
        face = store.load(("face", axis, *lower))
        if lower in parts:
            tokens.append(Tokens(face["voxels"], face["lower"]))
        if beside(lower, axis, 1) in parts:
            tokens.append(Tokens(face["voxels"], face["upper"]))
    return tokens


def _hand_down(store: Store, *, grid: Grid, level: int, place: Triple) -> None:
    """Tell each part of a block what became at last of what the part passed up."""
    final = store.load(_final(grid, level, place))
    for part in grid.parts(place, level):
        renames = store.load(("renames", level - 1, *part))
        new = exchange_ids(renames["new"], final["old"], final["new"])
        store.save(("final", level - 1, *part), {"old": renames["old"], "new": new})


def _name(store: Store, *, grid: Grid, place: Triple, divided: bool) -> None:
    box = grid.block(place).owned
    fragments = _fragments_of(store, grid, place)
    for pieces in _load_divided(store) if divided else ():
        pieces.show(fragments, box)
    store.write("fragments", box, fragments)


def _fragments_of(store: Store, grid: Grid, place: Triple) -> NDArray[np.uint64]:
    """The fragments of a block before any is divided."""
    ids = store.load(("names", *place))["names"]
    if grid.top:
        final = store.load(_final(grid, 0, place))
        ids = exchange_ids(ids, final["old"], final["new"])
    found: NDArray[np.uint64] = look_up(store.read("pieces", grid.block(place).owned), ids)
    return found


def _fragments_in(store: Store, grid: Grid, box: Box) -> NDArray[np.uint64]:
    """The fragments in a box before any is divided."""
    found = np.zeros(box.shape, np.uint64)
    for place in grid.touched(box.overlap(grid.domain.box)):
        owned = grid.block(place).owned
        both = owned.overlap(box)
        if both.size:
            found[both.within(box)] = _fragments_of(store, grid, place)[both.within(owned)]
    return found


def _divide(store: Store, *, grid: Grid, cannot_link: NDArray[np.int64]) -> None:
    found = []
    for place, points in points_in_blocks(PointConstraints(cannot_link=cannot_link), grid).items():
        if len(points.cannot_link):
            voxels = points.cannot_link[:, :3] - np.array(grid.block(place).owned.low)
            found.append((points.cannot_link, _fragments_of(store, grid, place)[tuple(voxels.T)]))
    rows, ids = (np.concatenate(part) for part in zip(*found, strict=True))
    divided = divide_at_points(
        rows, ids, partial(_fragments_in, store, grid), lambda box: quantise(store.read("affinities", box)), grid.domain.frame
    )  # fmt: skip
    parts = [part.pieces.ravel() for part in divided]
    store.save(("divided",), {
        "fragments": np.array([part.fragment for part in divided], np.uint64),
        "boxes": np.array([(part.box.low, part.box.high) for part in divided], np.int64).reshape(-1, 2, 3),
        "pieces": np.concatenate([np.zeros(0, np.uint64), *parts]),
    })  # fmt: skip


def _load_divided(store: Store) -> list[Pieces]:
    table = store.load(("divided",))
    boxes = [Box.between(*ends) for ends in table["boxes"].tolist()]
    parts = np.split(table["pieces"], np.cumsum([box.size for box in boxes])[:-1])
    rows = zip(table["fragments"].tolist(), boxes, parts, strict=False)
    return [Pieces(fragment, box, part.reshape(box.shape)) for fragment, box, part in rows]
