"""The numbers in the names of sections: their order and their places."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path

from clew.errors import InputError

COPY = re.compile(r"^(.*?)(?: ?\(\d+\)|[ _-]+(?:copy|kopie|copie)(?:[ _]?\(?\d+\)?)?)$", re.IGNORECASE)
"""How systems name the copy of a file beside it."""
STAMP = 10**7
"""Numbers from here on are dates and times, not sections."""
Column = list[int]
"""The same number in the names of all files, as the day of a date."""


@dataclass(frozen=True)
class Numbering:
    """Sections in order.

    Parameters
    ----------
    files : list of Path
        In order.
    numbers : list of int, optional
        The number of each section, ascending; None where the names have none that tells them apart.
    warnings : tuple of str
    """

    files: list[Path]
    numbers: list[int] | None
    warnings: tuple[str, ...] = ()


def number_sections(files: list[Path], folder: Path) -> Numbering:
    """Put files in order by the numbers in their names.

    A number that counts all sections without a gap decides; without one, the order in which they are given.

    Raises
    ------
    InputError
        For copies that differ, names of several kinds, tiles and channels, and numbers that occur twice.
    """
    files, warnings = _without_copies(files, folder)
    columns = _columns(files, folder)
    if not columns:
        alphabetical = ("the names have no numbers: sections are in alphabetical order",)
        return Numbering(files, None, warnings + alphabetical * (len(files) > 1))
    keys = [column for column in columns if len(set(column)) == len(files)]
    counters = [column for column in keys if max(column) - min(column) == len(files) - 1]
    warnings += _texts(files, bool(counters), folder)
    if counters:
        counter = max(enumerate(counters), key=lambda found: (found[1] == sorted(found[1]), found[0]))[1]
        order = sorted(range(len(files)), key=counter.__getitem__)
        other = [column for column in keys if sorted(order, key=column.__getitem__) != order]
        files = [files[place] for place in order]
        warnings += (f"other numbers in the names go another way; the order is {_ends(files)}",) * bool(other)
        return Numbering(files, _places(sorted(counter)), warnings)
    return _uncounted(files, columns, keys, warnings, folder)


def unplaced(numbering: Numbering) -> tuple[str, ...]:
    """What to say where numbers look like places and are not taken as such."""
    numbers = numbering.numbers or [0]
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    if not missing and numbers[0] < 2:
        return ()
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    if not missing:
        said = f"the first section has the number {numbers[0]} and lies at offset 0"
    elif missing <= len(numbers) and len(steps) > 1:
        present = set(numbers)
        text = _some([str(number) for number in range(numbers[0], numbers[-1]) if number not in present], 10)
        said = (
            f"of the numbers in the names {missing} are left out ({text}): the sections around are read as neighbours"
        )
    else:
        said = f"the sections {_some([str(number) for number in numbers], 4)} are read as neighbours"
    return (f"{said}; if the numbers are places in a stack, give FOLDER:by-number",)


def _without_copies(files: list[Path], folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Leave out files that are named as copies of others and hold the same."""
    originals = {file.stem: file for file in files}
    copies = {file: originals.get(found[1]) for file in files if (found := COPY.match(file.stem))}
    doubles = [(file, original) for file, original in copies.items() if original is not None]
    for file, original in doubles:
        if not cmp(file, original, shallow=False):
            raise InputError(
                f"{folder} holds {file.name} beside {original.name}, and they differ; which is the section? Move the other one away"
            )
    left = {file for file, _ in doubles}
    text = f"copies of sections are left out: {_some([file.name for file, _ in doubles], 3)}"
    return [file for file in files if file not in left], (text,) * bool(doubles)


def _columns(files: Sequence[Path], folder: Path) -> list[Column]:
    """The numbers in the names, those of all files in one list each.

    Where names have different counts of them, the first and the last of each.
    """
    found = [[int(number) for number in re.findall(r"\d+", file.stem)] for file in files]
    without = [file.name for file, numbers in zip(files, found, strict=True) if not numbers]
    if len(without) == len(files):
        return []
    if without:
        raise InputError(
            f"{folder} holds {_some(without, 3)} without a number among numbered sections ({len(files) - len(without)}): "
            "move away what is no section"
        )
    counts = {len(numbers) for numbers in found}
    rows = found if len(counts) == 1 else [[numbers[0], numbers[-1]] for numbers in found]
    return [list(column) for column in zip(*rows, strict=True)]


def _texts(files: Sequence[Path], counted: bool, folder: Path) -> tuple[str, ...]:
    """Refuse names of several kinds, where no number counts them all."""
    texts = Counter(re.sub(r"\d+", "#", file.stem).casefold() for file in files)
    if len(texts) == 1:
        return ()
    drawn = _some([f"{text} ({count})" for text, count in texts.most_common()], 3)
    if counted and (min(texts.values()) > 1 or max(texts.values()) == 1):
        return (
            f"the names are of several kinds, {drawn}; sections are in the order of the number that counts them all",
        )
    raise InputError(
        f"{folder} holds images of several kinds, by their names {drawn}: keep those of one kind in a folder of their own"
    )


def _uncounted(
    files: list[Path], columns: list[Column], keys: list[Column], warnings: tuple[str, ...], folder: Path
) -> Numbering:
    """Sections of which no number counts all without a gap, in natural order."""
    seen: dict[tuple[int, ...], Path] = {}
    for file, numbers in zip(files, zip(*columns, strict=True), strict=True):
        if numbers in seen:
            raise InputError(
                f"{folder} holds a section twice, {seen[numbers].name} and {file.name}: move one of them away"
            )
        seen[numbers] = file
    varying = [column for column in columns if len(set(column)) > 1]
    if not keys and 2 * len(files) >= math.prod(len(set(column)) for column in varying):
        raise InputError(
            f"{folder} looks like tiles or channels: {len(varying)} numbers change in the names ({_ends(files)}), none counts the "
            "sections; stitch tiles, give each channel a folder of its own; to read all in the order of the names: FOLDER:by-name"
        )
    ordered = [column for column in keys if column == sorted(column)]
    if len(ordered) < len(varying):
        warnings += (f"several numbers change in the names; sections are in the order {_ends(files)}",)
    return Numbering(files, _places(ordered[-1]) if ordered else None, warnings)


def _places(numbers: Column) -> Column | None:
    """Ascending numbers, if they can be those of sections."""
    return numbers if numbers[-1] < STAMP else None


def _some(texts: Sequence[str], count: int) -> str:
    return ", ".join(texts[:count]) + (", …" if len(texts) > count else "")


def _ends(files: Sequence[Path]) -> str:
    return ", ".join(file.name for file in files[:3]) + (f" … {files[-1].name}" if len(files) > 3 else "")
