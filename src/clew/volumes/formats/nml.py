"""Skeletons of KNOSSOS and WEBKNOSSOS: NML files."""

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from clew.documents import brief, regular_file
from clew.errors import InputError
from clew.evaluation.skeletons import Skeletons
from clew.memory import refuse_beyond_memory
from clew.space import Lengths
from clew.volumes.geometry import check_voxel_size, nanometers
from clew.volumes.volume import first_line

NML_SUFFIX, ZIP_SUFFIX = ".nml", ".zip"
LARGEST = 2.0**53
"""No position is larger: beyond, floats cannot hold every whole number."""


def read_nml(path: str) -> Skeletons:
    """Read the trees of an NML file, or of the only one in a zip file.

    Each tree is a skeleton. Nodes stand there in voxels (x, y, z), counted from 0 as WEBKNOSSOS does, and the voxel size
    as `scale` in nm. Trees without a node are left out.

    Raises
    ------
    InputError
        If there is no such file, it is no NML, says no voxel size, or an edge names a node that is not there.
    """
    try:
        root = ElementTree.fromstring(_content(path))
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


def is_nml(path: str) -> bool:
    """Whether a path is one of skeletons, by its name."""
    return Path(path).suffix.lower() in (NML_SUFFIX, ZIP_SUFFIX)


def _content(path: str) -> bytes:
    """The text of an NML file, also of one that WEBKNOSSOS zipped."""
    file = regular_file(path)
    if file.suffix.lower() != ZIP_SUFFIX:
        return file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(NML_SUFFIX)]
        if len(names) != 1:
            raise InputError(
                f"{path} must hold one {NML_SUFFIX} file, not {len(names)}: unpack it, and give one of them"
            )
        refuse_beyond_memory(2 * archive.getinfo(names[0]).file_size, f"to read {path}", "give a part of it")
        return archive.read(names[0])


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
