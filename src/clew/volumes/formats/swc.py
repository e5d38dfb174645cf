"""Skeletons in SWC: a file for each neuron, in units that it does not say."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clew.documents import regular_file
from clew.errors import InputError
from clew.evaluation.skeletons import Skeletons
from clew.space import Lengths
from clew.volumes.location import natural_key
from clew.volumes.volume import first_line

SUFFIX = ".swc"
COLUMNS = "id type x y z radius parent"


def swc_files(path: str) -> list[Path]:
    """The SWC files that a path names: one, or those of a folder.

    They are sorted by the numbers in their names.
    """
    if not Path(path).is_dir():
        return [Path(path)] if Path(path).suffix.lower() == SUFFIX else []
    return sorted(
        (file for file in Path(path).iterdir() if file.suffix.lower() == SUFFIX),
        key=lambda file: natural_key(file.name),
    )


def read_swc(path: str, unit: Lengths) -> Skeletons:
    """Read a file, or a folder of files, each of which is a skeleton.

    Parameters
    ----------
    path : str
    unit : (z, y, x) floats
        Nanometres in the unit of the file, on each axis: voxels may be longer on one.

    Returns
    -------
    Skeletons
        The id of a skeleton is the number that is the name of its file, else its place in the folder, from 1.
    """
    files = swc_files(path)
    if not files:
        raise InputError(f"{path} holds no file that ends in {SUFFIX}")
    numbers = [int(file.stem) for file in files if file.stem.isdecimal() and len(file.stem) < 19]
    if len(set(numbers)) < len(files):
        numbers = list(range(1, len(files) + 1))
    tables = [_table(file) for file in files]
    firsts = np.cumsum([0, *map(len, tables)])
    edges = [_edges(table, file) + first for table, file, first in zip(tables, files, firsts, strict=False)]
    positions = np.concatenate(tables)[:, [4, 3, 2]] * np.array(unit)
    return Skeletons(
        positions, np.concatenate(edges), np.repeat(np.array(numbers, np.int64), [len(table) for table in tables])
    )


def _table(file: Path) -> NDArray[np.float64]:
    """The rows of a file (nodes, 7)."""
    try:
        table = np.loadtxt(regular_file(file), ndmin=2, usecols=range(7), encoding="utf-8")
    except InputError:
        raise
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{file} cannot be read as SWC, lines of {COLUMNS}: {first_line(error)}") from error
    if not len(table) or not np.isfinite(table).all():
        raise InputError(f"{file} must hold lines of {COLUMNS}, all of them numbers")
    return table


def _edges(table: NDArray[np.float64], file: Path) -> NDArray[np.int64]:
    """Rows of the ends of each edge (edges, 2)."""
    rows = {number: row for row, number in enumerate(table[:, 0].tolist())}
    parents = [(row, parent) for row, parent in enumerate(table[:, 6].tolist()) if parent >= 0]
    lost = next((parent for _, parent in parents if parent not in rows), None)
    if lost is not None or len(rows) < len(table):
        what = f"the parent {lost:g} is no node" if lost is not None else "two nodes have one id"
        raise InputError(f"{file} is no tree: {what}")
    return np.array([(row, rows[parent]) for row, parent in parents], np.int64).reshape(-1, 2)
