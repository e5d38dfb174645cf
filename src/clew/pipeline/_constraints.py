"""Constraints on agglomeration from files: a label volume, and skeletons."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.evaluation.skeletons import Skeletons
from clew.pipeline._files import cover, read_ids, read_truth
from clew.pipeline._options import ConstraintFiles
from clew.pipeline._progress import say, warn
from clew.segmentation.constraints import (
    LABELS,
    Constraints,
    PointConstraints,
    Rows,
    find_constraints,
    on_several_sides,
    rows_by_fragment,
)
from clew.space import Box
from clew.volumes.formats.nml import is_nml, read_nml
from clew.volumes.formats.swc import read_swc, swc_files
from clew.volumes.volume import Volume

LENGTHS = {"nm": (1.0, 1.0, 1.0), "um": (1e3, 1e3, 1e3)}
"""Nanometres in a unit of SWC; that of voxels is theirs."""


def read_constraints(files: ConstraintFiles, fragments: Volume) -> Constraints:
    """The constraints of some files on fragments."""
    labels = label_file(files)
    ids = None if labels is None else read_truth(*cover(labels, fragments))
    found = find_constraints(read_ids(fragments), cannot_link=ids, points=points_of(files, fragments))
    say_constraints([np.unique(found.cannot_link, axis=0)], len(found.must_link))
    return found


def check_constraints(files: ConstraintFiles, source: Volume) -> None:
    """Refuse, before any work, files that do not fit a volume."""
    labels = label_file(files)
    if labels is not None:
        cover(labels, source)
    points_of(files, source)


def label_file(files: ConstraintFiles) -> str | None:
    """The label volume among the files, if there is one."""
    return None if files.cannot_link is None or _is_traced(files.cannot_link) else files.cannot_link


def points_of(files: ConstraintFiles, volume: Volume) -> PointConstraints:
    """The nodes of the skeletons among the files, in voxels of a volume (…, z, y, x)."""
    unit = files.swc_unit
    apart = _nodes(files.cannot_link, volume, unit) if files.cannot_link and _is_traced(files.cannot_link) else None
    if files.must_link and not _is_traced(files.must_link):
        raise InputError(f"--must-link takes skeletons, an .nml or .swc file, not {files.must_link}")
    together = _nodes(files.must_link, volume, unit) if files.must_link else None
    points = PointConstraints()
    if apart is not None:
        points = PointConstraints(cannot_link=np.insert(apart, 3, LABELS, axis=1))
    return points if together is None else PointConstraints(together, points.cannot_link)


def points_in(points: PointConstraints, box: Box) -> PointConstraints:
    """The points in a box, in voxels of it."""
    low, high = np.array(box.low), np.array(box.high)
    kept = []
    for rows in (points.must_link, points.cannot_link):
        inside = ((rows[:, :3] >= low) & (rows[:, :3] < high)).all(axis=1)
        kept.append(np.column_stack([rows[inside, :3] - low, rows[inside, 3:]]))
    return PointConstraints(*kept)


def say_constraints(sides: Iterable[Rows], linked: int) -> None:
    """Say how many constraints there are, and which cannot be kept inside a fragment.

    `sides` are rows of `Constraints.cannot_link`, ascending, some at a time.
    """
    named, several, example = 0, 0, 0
    for rows in rows_by_fragment(sides):
        found = on_several_sides(rows)[:, 0]
        named += len(np.unique(rows[:, 0]))
        several += len(found)
        example = example or next(iter(found.tolist()), 0)
    say(f"{named} fragments hold ids that may not merge; {linked} fragments were linked with others")
    if several:
        warn(
            f"{several} fragments hold several ids that may not merge, for example {example}: such a fragment stays "
            "whole, and merges with no other that holds any; extract smaller fragments, or shrink the ids where they touch"
        )


def _is_traced(path: str) -> bool:
    return is_nml(path) or bool(swc_files(path))


def _read(path: str, volume: Volume, unit: str | None) -> Skeletons:
    if is_nml(path):
        return read_nml(path, warn)
    if unit is None:
        raise InputError(f"{path} is SWC, which does not say its unit: give --swc-unit nm, um or voxels")
    return read_swc(path, LENGTHS.get(unit, volume.voxel_size))


def _nodes(path: str, volume: Volume, unit: str | None) -> NDArray[np.int64]:
    """(z, y, x, skeleton) of the nodes of a file that lie in a volume."""
    traced = _read(path, volume, unit)
    voxels = np.floor((traced.positions - volume.offset) / volume.voxel_size + 0.5).clip(-1, 2**62).astype(np.int64)
    inside: NDArray[np.bool_] = np.all((voxels >= 0) & (voxels < np.array(volume.shape[-3:])), axis=1)
    if not inside.any():
        raise InputError(f"no node of {path} lies inside {volume.source}; check voxel size and offset")
    if not inside.all():
        warn(f"{np.count_nonzero(~inside)} of {len(inside)} nodes of {path} lie outside and are left out")
    return np.column_stack([voxels, traced.skeletons])[inside]
