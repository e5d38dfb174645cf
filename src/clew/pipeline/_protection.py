"""An input never lies among the outputs.

Every command that writes checks this first, with and without `--overwrite`.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from clew.errors import InputError
from clew.network.bundled import bundled_names
from clew.replace import refuse_unwritable
from clew.volumes.formats.hdf5 import list_hdf5
from clew.volumes.location import HDF5_SUFFIXES, find_location, is_remote, join, normal_path

Parts = tuple[str, ...]
STORES = (".zarr", ".n5", *HDF5_SUFFIXES)


def refuse_overlap(inputs: Iterable[str | None], outputs: Iterable[str | None]) -> None:
    """Refuse outputs that cannot be written, or would replace an input or each other.

    Parameters
    ----------
    inputs : paths or addresses
        Volumes, tables, checkpoints, or several volumes separated by commas; None for those that were not given.
    outputs : paths or addresses
        Files, volumes, or datasets in a file; None as above.

    Raises
    ------
    InputError
        With both names, or the folder that cannot be written. Another dataset of the file of an input, or a new file in
        its folder, is allowed.
    """
    given = {part: _parts(part) for item in inputs if item for part in item.split(",") if part not in bundled_names()}
    written: dict[str, Parts] = {}
    for output in filter(None, outputs):
        place = _parts(output)
        if not is_remote(output):
            refuse_unwritable(_file_of(place))
        for name, other in given.items():
            if _within(other, place) or (_within(place, other) and _is_store(other) and _is_there(output)):
                raise InputError(
                    f"the output {output} would replace the input {name}: give another place for the output"
                )
        for name, other in written.items():
            if _within(other, place) or _within(place, other):
                raise InputError(f"the outputs {name} and {output} would replace each other: give each its own place")
        written[output] = place


def refuse_inside(output: str, source: str) -> None:
    """Refuse an output in the folder of a volume that is read."""
    place = _parts(source)
    if _is_store(place) and _within(_parts(output), place):
        raise InputError(f"the output {output} lies in the input {source}: give another place for the output")


def _within(inner: Parts, outer: Parts) -> bool:
    return inner[: len(outer)] == outer


def _file_of(place: Parts) -> Path:
    """The file or folder of an output: without the dataset in a file."""
    files = (Path(*place[:count]) for count in range(1, len(place) + 1))
    return next((file for file in files if file.suffix.lower() in HDF5_SUFFIXES and os.path.isfile(file)), Path(*place))


def _is_there(path: str) -> bool:
    """Whether something is at a place inside an input, and would be replaced."""
    with contextlib.suppress(InputError):
        container, dataset = (location := find_location(path)).container, location.dataset
        if dataset and Path(container).is_file():
            return dataset in {row.name.strip("/") for row in list_hdf5(container)}
        return is_remote(container) or Path(container, dataset).exists()
    return False


def _is_store(place: Parts) -> bool:
    """Tell whether a path is in a file or folder of a volume.

    A plain folder of images does not count.
    """
    return any(Path(part).suffix.lower() in STORES for part in place)


def _parts(path: str | os.PathLike[str]) -> Parts:
    """Where something lies, links followed.

    The folders down to it, and on into a file of datasets.
    """
    text = os.fspath(path)
    with contextlib.suppress(InputError):
        location = find_location(text)
        text = join(location.container, location.dataset)
    if is_remote(text):
        return tuple(text.rstrip("/").split("/"))
    text = normal_path(text)
    for suffix in STORES:
        text = text.replace(f"{suffix}:", f"{suffix}/")
    return Path(os.path.realpath(text)).parts
