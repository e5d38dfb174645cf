"""What people and other programs wrote in files: JSON and TOML, with limits.

Their values are checked for types.

Each function raises an InputError that names the file and the key, and says what was wanted and what was found.
"""

import json
import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clew.errors import InputError

NESTING = 100
"""Levels of lists and objects in each other; what goes deeper is no description of anything."""
REQUIRED: Any = object()
"""Stands in the place of a default where the key must be there."""
Check = Callable[[Any], bool]


def regular_file(path: str | os.PathLike[str]) -> Path:
    """The path, if it is a file that ends.

    Reading a pipe, socket or device would wait for ever or fill the memory.
    """
    found = Path(path)
    if not found.is_file():
        if found.exists() or found.is_symlink():
            raise InputError(f"{path} is a folder, pipe, device or broken link; wanted a file")
        raise InputError(f"there is no file {path}")
    return found


def parse_json(text: str | bytes, source: str) -> dict[str, Any]:
    """A JSON object, not nested too deeply."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid JSON: {brief(error)}") from None
    if not isinstance(value, dict):
        raise InputError(f"{source} must hold a JSON object, not {brief(value)}")
    return _not_deep(value, source)


def read_toml(file: Path) -> dict[str, Any]:
    """The tables of a TOML file, not nested too deeply."""
    try:
        return _not_deep(tomllib.loads(regular_file(file).read_text(encoding="utf-8")), str(file))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file} is not valid TOML: {brief(error)}") from error


def expect(document: Mapping[str, Any], key: str, wanted: str, source: str, default: Any = REQUIRED) -> Any:
    """The value of a key, if it is what is `wanted`, one of `KINDS`.

    The default where the key is not there.

    Parameters
    ----------
    document : mapping
        A JSON object.
    key : str
        A key of it.
    wanted : str
        Name of a kind, for example "a list of objects".
    source : str
        What holds the document, for people.
    default : optional
        The value where the key is missing; without one that is an error, too.

    Raises
    ------
    InputError
        For a value of another kind, or a missing one.
    """
    if key not in document:
        if default is REQUIRED:
            raise InputError(f"{source} lacks {key!r}; wanted {wanted}")
        return default
    value = document[key]
    if not KINDS[wanted](value):
        raise InputError(f"{source}: {key!r} must be {wanted}, not {brief(value)}")
    return value


def brief(value: Any) -> str:
    """A value from a file, or an error about it, as one short line."""
    try:
        text = " ".join(str(value).split()) if isinstance(value, Exception) else repr(value)
    except ValueError:  # whole numbers of thousands of digits
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}…"


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that fits into a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def is_size(value: Any) -> bool:
    """Whether a value is a whole number of at least 0 and below 2⁶³."""
    return _is_whole(value) and value >= 0


def is_list(value: Any) -> bool:
    """Whether a value is a sequence, and not text."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _list_of(check: Check) -> Check:
    return lambda value: is_list(value) and all(check(part) for part in value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


KINDS: dict[str, Check] = {
    "an object": _is_object,
    "text": _is_text,
    "a number": is_number,
    "true or false": lambda value: isinstance(value, bool),
    "a list": is_list,
    "a list of objects": _list_of(_is_object),
    "a list of objects or names": _list_of(lambda value: _is_object(value) or _is_text(value)),
    "a list of texts": _list_of(_is_text),
    "a list of names": lambda value: value is None or _list_of(lambda name: name is None or _is_text(name))(value),
    "a list of numbers": _list_of(is_number),
    "three positive numbers": lambda value: (
        is_list(value) and len(value) == 3 and all(is_number(v) and v > 0 for v in value)
    ),
    "a count": lambda value: is_size(value) and value > 0,
    "a list of sizes": _list_of(is_size),
    "a list of triples": _list_of(lambda value: is_list(value) and len(value) == 3 and all(map(_is_whole, value))),
}
"""What a value of a document can be."""


def _not_deep(document: dict[str, Any], source: str) -> dict[str, Any]:
    level: list[Any] = [document]
    for _ in range(NESTING):
        inner = [list(value.values()) if isinstance(value, dict) else value for value in level]
        level = [part for values in inner for part in values if isinstance(part, dict | list)]
        if not level:
            return document
    raise InputError(f"{source} is nested more than {NESTING} levels deep")
