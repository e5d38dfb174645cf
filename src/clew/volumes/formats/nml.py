"""Skeletons of KNOSSOS and WEBKNOSSOS: NML files."""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from clew.documents import brief, regular_file
from clew.errors import InputError
from clew.evaluation.skeletons import Skeletons
from clew.memory import refuse_beyond_memory
from clew.space import Lengths
from clew.volumes.geometry import check_voxel_size, nanometers
from clew.volumes.location import natural_key
from clew.volumes.volume import first_line

NML_SUFFIX, ZIP_SUFFIX = ".nml", ".zip"
LARGEST = 2.0**53
"""No position is larger: beyond, floats cannot hold every whole number."""
NAMED = 5
"""Files of a zip file that are named, at most."""


def read_nml(path: str, say: Callable[[str], None] = lambda text: None) -> Skeletons:
    """Read the trees of an NML file, or of all that a zip file holds.

    Each tree is a skeleton, of each file. Nodes stand there in voxels (x, y, z), counted from 0 as WEBKNOSSOS does, and the
    voxel size as `scale` in nm. Trees without a node are left out. Where several files use the same ids, trees are numbered from
    1 on, in the order of the names of the files.

    Parameters
    ----------
    path : str
    say : callable
        Called with a sentence where trees are of several files.

    Raises
    ------
    InputError
        If there is no such file, it is no NML, says no voxel size, or an edge names a node that is not there.
    """
    try:
        found = {name: _skeletons(text, name) for name, text in _contents(path)}
    except InputError:
        raise
    except (
        OSError,
        ElementTree.ParseError,
        ValueError,
        LookupError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
    ) as error:
        raise InputError(f"{path} cannot be read as NML: {first_line(error)}") from error
    if len(found) == 1:
        return next(iter(found.values()))
    return _joined(found, path, say)


def is_nml(path: str) -> bool:
    """Whether a path is one of skeletons, by its name."""
    return Path(path).suffix.lower() in (NML_SUFFIX, ZIP_SUFFIX)


def _contents(path: str) -> Iterator[tuple[str, bytes]]:
    """Name and text of an NML file, or of each in a zip file."""
    file = regular_file(path)
    if file.suffix.lower() != ZIP_SUFFIX:
        yield path, file.read_bytes()
        return
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if _is_file_of_trees(name)]
        if not names:
            raise InputError(f"{path} must hold an {NML_SUFFIX} file, and holds none")
        size = sum(archive.getinfo(name).file_size for name in names)
        refuse_beyond_memory(2 * size, f"to read {path}", "give a part of it")
        for name in sorted(names, key=natural_key):
            yield f"{path}:{name}" if len(names) > 1 else path, archive.read(name)


def _is_file_of_trees(name: str) -> bool:
    """Whether a file holds trees, and is not what macOS puts beside it."""
    return name.lower().endswith(NML_SUFFIX) and not PurePosixPath(name).name.startswith("._")


def _skeletons(text: bytes, path: str) -> Skeletons:
    """The trees of one file."""
    root = ElementTree.fromstring(text)
    scale = root.find("parameters/scale")
    trees = [tree for tree in root.iter("thing") if tree.find("nodes/node") is not None]
    if root.tag != "things" or scale is None or not trees:
        raise InputError(
            f"{path} must be an NML file with <things>, <parameters><scale …/> and nodes; some of them are missing"
        )
    unit = nanometers(scale.get("unit", "nm"))
    if unit is None:
        raise InputError(f"{path}: the unit {scale.get('unit')!r} of its scale is not a length")
    voxel_size = check_voxel_size([unit * size for size in _position(scale, path)], path)
    index: dict[str | None, int] = {}
    positions: list[Lengths] = []
    edges, ids = [], []
    for tree in trees:
        for node in tree.iterfind("nodes/node"):
            index[node.get("id")] = len(positions)
            positions.append(_position(node, path))
            ids.append(_id(tree, path))
        for edge in tree.iterfind("edges/edge"):
            ends = [index.get(edge.get(end)) for end in ("source", "target")]
            if None in ends:
                raise InputError(
                    f"{path}: the edge {brief(dict(edge.attrib))} names a node that tree {ids[-1]} does not have"
                )
            edges.append(ends)
    return Skeletons(
        np.array(positions) * np.array(voxel_size), np.array(edges, np.int64).reshape(-1, 2), np.array(ids, np.int64)
    )


def _joined(found: Mapping[str, Skeletons], path: str, say: Callable[[str], None]) -> Skeletons:
    """The trees of several files; those of the same id in two files are kept apart."""
    ids = [np.unique(each.skeletons) for each in found.values()]
    numbers = ids
    if len(np.unique(np.concatenate(ids))) < sum(map(len, ids)):
        ends = np.cumsum([0, *map(len, ids)])
        numbers = [np.arange(first, last) + 1 for first, last in pairwise(ends.tolist())]
        named = [f"{name.removeprefix(path + ':')} {_range(each)}" for name, each in zip(found, numbers, strict=True)]
        more = f", … ({len(named)} files)" if len(named) > NAMED else ""
        say(f"{path}: its files use the same ids for trees, which are numbered anew: {', '.join(named[:NAMED])}{more}")
    else:
        say(f"{path}: trees of {len(found)} files, each a neuron of its own")
    firsts = np.cumsum([0, *(len(each.skeletons) for each in found.values())])
    return Skeletons(
        np.concatenate([each.positions for each in found.values()]),
        np.concatenate([each.edges + first for each, first in zip(found.values(), firsts, strict=False)]),
        np.concatenate([new[np.searchsorted(old, each.skeletons)]
                        for each, old, new in zip(found.values(), ids, numbers, strict=True)]),
    )  # fmt: skip


def _range(numbers: NDArray[np.int64]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"


def _position(element: Any, path: str) -> Lengths:
    return _number(element, "z", path), _number(element, "y", path), _number(element, "x", path)


def _id(tree: Any, path: str) -> int:
    """The id of a tree, which may be larger than floats can tell apart."""
    text = tree.get("id", "").strip()
    whole = text.isdecimal() and len(text) < 20 and int(text) < 2**63
    return int(text) if whole else int(_number(tree, "id", path))


def _number(element: Any, name: str, path: str) -> float:
    text = element.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < LARGEST:
        raise InputError(f"{path}: {name} of <{element.tag}> must be a number, not {brief(text)}")
    return value
