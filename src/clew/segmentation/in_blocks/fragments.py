"""Tasks that divide a volume into fragments.

First blocks, then faces between them, then levels of joined blocks, then ids, handed down the levels: no task holds more than
the level that it works on passed up.

Volumes: `affinities` (`mask`, `cannot_link`) in; `pieces` (z, y, x) uint32, the fragments numbered in each block; `fragments` out.
"""

from functools import partial

import numpy as np

from clew.blockwise.grid import Grid, beside
from clew.blockwise.store import Key, Store, as_record, as_table
from clew.blockwise.tasks import Task, keys
from clew.kernels.forest import look_up
from clew.segmentation.forest import Forest
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
from clew.segmentation.relabel import exchange_ids
from clew.space import Triple


def fragment_tasks(grid: Grid, options: FragmentOptions, *, masked: bool = False, labelled: bool = False) -> list[Task]:
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

    Raises
    ------
    InputError
        For blocks that are too large.
    """
    z, y, x = ((count - 1) // 2 for count in grid.levels[0])
    check_size(grid.block((z, y, x)), options)
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
    for place in grid.places():
        work = partial(_name, grid=grid, place=place)
        final = (_final(grid, 0, place),) if grid.top else ()
        reads = (("pieces", *place), ("names", *place), *final)
        tasks.append(Task(work, reads, (("fragments", *place),)))
    return tasks


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


def _name(store: Store, *, grid: Grid, place: Triple) -> None:
    ids = store.load(("names", *place))["names"]
    if grid.top:
        final = store.load(_final(grid, 0, place))
        ids = exchange_ids(ids, final["old"], final["new"])
    box = grid.block(place).owned
    store.write("fragments", box, look_up(store.read("pieces", box), ids))
