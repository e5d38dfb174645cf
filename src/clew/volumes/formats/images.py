"""Images as volumes: TIFF stacks, folders of sections, single images."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.volumes.location import BY_NAME, BY_NUMBER, TIFF_SUFFIXES
from clew.volumes.volume import Stored


class Sections:
    """Images of one shape as an array (…, y, x).

    A box reads only the images that it touches.
    """

    def __init__(self, leading: tuple[int, ...], plane: tuple[int, int], dtype: Any, read: Callable[[int], Any]):
        self.shape: tuple[int, ...] = (*leading, *plane)
        self.dtype: np.dtype = np.dtype(dtype)
        self._leading = leading
        self._read = read
        self._lock = threading.Lock()

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        chosen = [range(*part.indices(size)) for part, size in zip(selection, self.shape, strict=True)]
        block = np.empty([len(part) for part in chosen], self.dtype)
        places = itertools.product(*(range(len(part)) for part in chosen[:-2]))
        for place, index in zip(places, itertools.product(*chosen[:-2]), strict=True):
            number = int(np.ravel_multi_index(index, self._leading)) if index else 0
            with self._lock:
                image = self._read(number)
            block[place] = image[selection[-2:]]
        return block


def open_images(path: str, part: str = "") -> Stored:
    """Open a TIFF file, an image, or a folder of sections.

    Parameters
    ----------
    path : str
        A file or folder.
    part : str
        What of it: the number of a series of images in a TIFF, `by-number` or `by-name` for a folder, "" by default.
    """
    from clew.volumes.formats.sections import open_folder, open_sections
    from clew.volumes.formats.tiff import open_tiff

    place = Path(path)
    if place.is_dir():
        if part not in ("", BY_NUMBER, BY_NAME):
            raise InputError(
                f"{path} is a folder of sections and holds no {part}; wanted {path}, :{BY_NUMBER} or :{BY_NAME}"
            )
        return open_folder(place, part)
    if place.suffix.lower() in TIFF_SUFFIXES:
        return open_tiff(place, part)
    if part:
        raise InputError(f"{path} is one image and holds no {part}; wanted {path}")
    return open_sections([place], place.suffix[1:].upper(), path)
