"""One damaged input and one command by their seed: what came of it, and whether that is right."""

import contextlib
import io
import os
import resource
import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clew.cli import BAD_INPUT, CHARACTERS, LINES, TRACEBACK, UNFINISHED, main
from clew.errors import InputError
from clew.volumes.open import open_volume
from fuzz.inputs import INPUTS, Input
from fuzz.mutations import BYTES, VALUES, copy_input, mutate

MEMORY = 6 << 30
"""Bytes of address space that a worker may take: what asks for an exbibyte fails, and does not take the machine down."""


class Case(NamedTuple):
    """A seed as words: the input, what was done to it, the command, and what is wrong ("" for nothing)."""

    seed: int
    name: str
    mutation: str
    command: str
    finding: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.mutation}\n  clew {self.command}\n  {self.finding}"


def limit_memory() -> None:
    """Let this process have no more address space than it needs."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.RLIM_INFINITY))


def try_seed(seed: int, good: Path, scratch: Path, without: Sequence[str] = ()) -> Case:
    """Mutate an input and run a command on it, both chosen by the seed; `scratch` is a folder that is not there yet."""
    scratch.mkdir()
    try:
        case, arguments, kind, chosen = prepare(seed, good, scratch, without)
        before = os.getcwd()
        os.chdir(scratch)
        try:
            code, output, trace = _run(arguments)
        finally:
            os.chdir(before)
        return case._replace(finding=_judged(code, output, trace, kind, chosen, arguments, scratch, good))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def prepare(seed: int, good: Path, scratch: Path, without: Sequence[str] = ()) -> tuple[Case, list[str], str, Input]:
    """The mutated input in `scratch`, and the words of the command on it."""
    rng = np.random.default_rng(seed)
    inputs = [each for each in INPUTS if each.left(without)]
    chosen = inputs[rng.integers(len(inputs))]
    place = scratch / chosen.name
    copy_input(good / chosen.name, place)
    if chosen.name == "run.toml":
        for name in ("raw.zarr", "affinities.zarr", "cremi.h5"):
            (scratch / name).symlink_to(good / name)
    kind, words = mutate(place, rng)
    commands = chosen.left(without)
    command = commands[rng.integers(len(commands))]
    out = scratch / "out"
    out.mkdir()
    arguments = command.format(input=place, good=good, out=out).split()
    return Case(seed, chosen.name, words, " ".join(arguments), ""), arguments, kind, chosen


def _run(arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, what was said, and the traceback of an error that clew did not expect."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            if arguments[0] == "view":
                _open_layers(arguments[1:])
            else:
                main(arguments)
        except SystemExit as end:
            return int(end.code or 0), said.getvalue(), ""
        except BaseException:
            return -1, said.getvalue(), traceback.format_exc()
    return 0, said.getvalue(), ""


def _open_layers(arguments: list[str]) -> None:
    """What `clew view` does before its server starts."""
    from clew.cli import _stop

    size = [float(part) for part in arguments[2].split(",")] if len(arguments) > 1 else None
    try:
        open_volume(arguments[0], voxel_size=size)
    except InputError as error:
        _stop(str(error), BAD_INPUT)


def _judged(
    code: int, output: str, trace: str, kind: str, chosen: Input, arguments: list[str], scratch: Path, good: Path
) -> str:
    if trace:
        return f"traceback {trace.strip()}"
    if code == 0:
        return _compared(kind, chosen, arguments, scratch, good) if "Traceback" not in output else f"traceback {output}"
    message = ("\n" + output).rpartition("\nclew: ")[2].strip()
    if code not in (BAD_INPUT, UNFINISHED):
        return f"exit code {code}: {output}"
    if not message or len(message.splitlines()) > LINES or len(message) > CHARACTERS or "Traceback" in output:
        return f"message of {len(message.splitlines())} lines and {len(message)} characters: {output[:2000]}"
    names = chosen.name.partition(".")[0]
    return "" if names in message else f"the file is not named: {message}"


def _compared(kind: str, chosen: Input, arguments: list[str], scratch: Path, good: Path) -> str:
    """Whether the voxels that came out are those of the valid input, or what another reader finds in the damaged one."""
    if arguments[0] == "convert" and (scratch / "out" / "result.zarr").exists():
        told = chosen.checksum or (chosen.reader and kind in (BYTES, VALUES))
        return "" if not told else _same_voxels(chosen, arguments, scratch, good)
    return ""


def _same_voxels(chosen: Input, arguments: list[str], scratch: Path, good: Path) -> str:
    found = open_volume(scratch / "out" / "result.zarr").read()
    source = arguments[1].replace(str(scratch), str(good))
    size = {} if "--voxel-size" not in arguments else {"voxel_size": (20, 10, 10)}
    if np.array_equal(found, open_volume(source, **size).read()):
        return ""
    try:
        other = np.squeeze(chosen.reader(scratch / chosen.name)) if chosen.reader else None
    except Exception as error:
        return f"silent difference; another reader says {error!r}"
    same = other is not None and any(np.array_equal(found, view) for view in _views(other))
    return "" if same else "silent difference"


def _views(values: Any) -> list[Any]:
    """An array, and it with other orders of axes: metadata may name them so."""
    import itertools

    return (
        [values.transpose(order) for order in itertools.permutations(range(values.ndim))]
        if values.ndim <= 4
        else [values]
    )


os.environ[TRACEBACK] = "1"
