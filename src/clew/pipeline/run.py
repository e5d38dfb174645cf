"""`clew run`: the whole way in one TOML file, one table a command."""

import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clew import pipeline
from clew.documents import expect, read_toml
from clew.errors import InputError
from clew.network.bundled import bundled_names
from clew.network.options import DECIDED
from clew.pipeline import COMMANDS
from clew.pipeline._declare import check_names, command_name, stage
from clew.pipeline._files import FILE_NAMES
from clew.pipeline._identity import changed_inputs, changed_parameters, paths_in, record_in
from clew.pipeline._options import is_input
from clew.pipeline._progress import say
from clew.volumes.location import split_format

WRITES = {
    "synthesize": "labels",
    "convert": "target",
    "predict": "affinities",
    "extract_fragments": "fragments",
    "build_region_graph": "region_graph",
    "agglomerate": "merge_tree",
    "relabel": "segmentation",
}
"""The parameter that names a stage's output."""

SEGMENT = {name: WRITES[name] for name in ("extract_fragments", "build_region_graph", "agglomerate", "relabel")}
"""The stages that `segment` does in one, and what they write."""
PATHS = {
    "raw",
    "labels",
    "truth",
    "mask",
    "segment_names",
    "nuclei",
    "cannot_link",
    "must_link",
    "source",
    "target",
    "data",
    "checkpoint",
    "initial",
    "directory",
    "folder",
    "blocks",
    "volumes",
    "cluster",
    "json",
    "plot",
    *FILE_NAMES,
}
"""Parameters that are paths: relative ones start at the run file."""
OPTIONAL = {"relabel": "region_graph", "evaluate": "merge_tree"}
"""Optional inputs that are filled in where an earlier table makes them."""

Stage = Callable[..., Any]
Tables = dict[str, dict[str, Any]]


@stage
def run(file: Path, *, overwrite: bool = False) -> None:
    """Follow a run file: the commands of its tables in order, each with its options.

    Every option is checked before the first command starts.

    Parameters
    ----------
    file
        TOML file; see `docs/reference/run-file.md`.
    overwrite
        Replace existing outputs; without it, commands whose outputs are there with the same parameters are skipped.
    """
    calls, directory = _calls(file)
    for function, arguments in calls:
        _check(function, arguments, file)
    for function, arguments in [] if overwrite else calls:
        _refuse_others(function, arguments)
    directory.mkdir(parents=True, exist_ok=True)
    changed, made = overwrite, set[str]()
    for function, arguments in calls:
        output = arguments.get(WRITES.get(function.__name__, ""))
        if output and Path(output).exists() and not changed and _is_done(function, arguments, output, made):
            old = "" if record_in(output).get("inputs") else " (of an earlier version of clew, which noted no inputs)"
            say(f"{function.__name__}: {output} is there already{old}")
        else:
            changed = _make(function, arguments, changed or bool(output and Path(output).exists()))
        made |= _written(function, arguments)


def calls_of(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The functions that a run file calls, by their names, with their arguments."""
    return [(function.__name__, arguments) for function, arguments in _calls(file)[0]]


def _calls(file: Path) -> tuple[list[tuple[Stage, dict[str, Any]]], Path]:
    """The stages of a run file with their arguments, and the folder of the run."""
    tables, directory = _read(file)
    check_names(str(file), tables, [name for name in COMMANDS if name != "run"])
    tables = _unfold_segment(tables, directory, file)
    functions = [(getattr(pipeline, name), options) for name, options in tables.items()]
    calls = [(function, _arguments(function, options, directory, file)) for function, options in functions]
    _fill_optional(calls, tables, directory)
    return calls, directory


def _make(function: Stage, arguments: dict[str, Any], replacing: bool) -> bool:
    """Run a stage; whether what follows has to be made anew."""
    if replacing and "overwrite" in inspect.signature(function).parameters:
        arguments["overwrite"] = True
    trained = _modified(arguments, function)
    function(**arguments)
    return replacing or function.__name__ in WRITES or _modified(arguments, function) != trained


def options_in(file: Path, stage: Stage) -> dict[str, Any]:
    """The options in the table of one stage, for a command with `--config`.

    Relative paths start at the file.
    """
    tables, _ = _read(file)
    if stage.__name__ not in tables:
        raise InputError(f"{file} has no table [{stage.__name__}]; it has [{'], ['.join(tables)}]")
    options = _given(stage, tables[stage.__name__], file)
    _check(stage, options, file)
    return options


def _check(function: Stage, arguments: dict[str, Any], file: Path) -> None:
    """Refuse values that the stage would refuse."""
    try:
        function.record_of(**arguments)  # type: ignore[attr-defined]
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _modified(arguments: dict[str, Any], function: Stage) -> int | None:
    """When the checkpoint that `train` writes was last changed.

    A finished training leaves it as it is.
    """
    if function.__name__ != "train" or not Path(arguments["checkpoint"]).exists():
        return None
    return Path(arguments["checkpoint"]).stat().st_mtime_ns


def _unfold_segment(tables: Tables, directory: Path, file: Path) -> Tables:
    """The tables with [segment] replaced by its four stages.

    Each of them is skipped or run by itself.
    """
    unfolded: Tables = {}
    for name, options in tables.items():
        if name != "segment":
            unfolded[name] = options
            continue
        twice = [part for part in SEGMENT if part in tables]
        if twice:
            raise InputError(f"{file}: [segment] includes [{twice[0]}]; leave one of them out")
        check_names(f"[segment] in {file}", options, inspect.signature(pipeline.segment).parameters)
        named = expect(options, "directory", "text", f"[segment] in {file}", None)
        place = directory if named is None else Path(_beside(file, named))
        for part in SEGMENT:
            names = inspect.signature(getattr(pipeline, part)).parameters
            made = {path: str((place / FILE_NAMES[path]).absolute()) for path in names if path in SEGMENT.values()}
            unfolded[part] = made | {option: value for option, value in options.items() if option in names}
    return unfolded


def _fill_optional(calls: list[tuple[Stage, dict[str, Any]]], tables: dict[str, Any], directory: Path) -> None:
    """Hand region graph and merge tree of this run on.

    `evaluate` then compares the fragments at all thresholds.
    """
    made = [WRITES[name] for name in tables if name in WRITES]
    for function, arguments in calls:
        name = OPTIONAL.get(function.__name__)
        wanted = name == "merge_tree" and arguments.get("segmentation") == str(directory / FILE_NAMES["fragments"])
        if name in made and name not in arguments and (name == "region_graph" or wanted):
            arguments[name] = str(directory / FILE_NAMES[name])


def _read(file: Path) -> tuple[dict[str, dict[str, Any]], Path]:
    content = read_toml(file)
    directory = file.parent / os.path.expanduser(expect(content, "directory", "text", str(file), file.stem))
    content.pop("directory", None)
    single = [name for name, value in content.items() if not isinstance(value, dict)]
    if single:
        raise InputError(
            f"{file}: {single[0]!r} stands outside of all tables; only `directory` may, the options "
            "of a stage stand in a table such as [predict]"
        )
    if not content:
        raise InputError(f"{file} names no stage; write tables like [predict]")
    return content, directory


def _arguments(function: Stage, options: dict[str, Any], directory: Path, file: Path) -> dict[str, Any]:
    """The options of a table, with the paths between stages filled in.

    Relative paths start at the run file.
    """
    arguments = _given(function, options, file)
    for name, parameter in inspect.signature(function).parameters.items():
        if name in FILE_NAMES and name not in arguments and parameter.default is inspect.Parameter.empty:
            arguments[name] = str(directory / FILE_NAMES[name])
        elif name not in arguments and parameter.default is inspect.Parameter.empty:
            raise InputError(f"[{function.__name__}] in {file} lacks {name!r}")
    return arguments


def _given(function: Stage, options: dict[str, Any], file: Path) -> dict[str, Any]:
    """The options as they stand in a table, with names checked.

    Relative paths start at the file.
    """
    check_names(f"[{function.__name__}] in {file}", options, inspect.signature(function).parameters)
    return {name: _beside(file, value) if name in PATHS else value for name, value in options.items()}


def _beside(file: Path, path: Any) -> Any:
    """A path relative to the run file.

    Absolute paths, addresses and bundled networks stay as they are.
    """
    if isinstance(path, list):
        return [_beside(file, part) for part in path]
    if not isinstance(path, str) or path in bundled_names():
        return path
    return ",".join(_one_beside(file, part.strip()) for part in path.split(","))


def _one_beside(file: Path, path: str) -> str:
    format, rest = split_format(path)
    return path if "://" in rest else f"{format}{'://' if format else ''}{file.parent / os.path.expanduser(rest)}"


def _refuse_others(function: Stage, arguments: dict[str, Any]) -> None:
    """Refuse an output that was not made by its stage: it is somebody's work."""
    output = arguments.get(WRITES.get(function.__name__, ""))
    if output and Path(output).exists() and record_in(output).get("stage") != command_name(function):
        raise InputError(f"{output} was not made by {command_name(function)}; move it away, or give another directory")


def _is_done(function: Stage, arguments: dict[str, Any], output: str, made: set[str]) -> bool:
    """Tell whether an output was made by this stage from these inputs.

    The parameters must be the same, too.

    It is not if inputs changed that earlier tables make (`made`). Other parameters, and other inputs that changed, are refused.
    """
    recorded = record_in(output)
    wanted = json.loads(json.dumps(function.record_of(**arguments), default=str))  # type: ignore[attr-defined]
    away = "move it away to have it made anew, or give another directory in the run file"
    decided = {name for name in DECIDED if wanted["parameters"].get(name) == "auto"}
    changed = changed_parameters(recorded, wanted, (PATHS - wanted["inputs"].keys()) | decided)
    if changed:
        raise InputError(f"{output} was made with other parameters: {'; '.join(changed)}; {away}")
    for name in changed_inputs(recorded, wanted):
        paths = ", ".join(paths_in(arguments[name]))
        if not {os.path.abspath(path) for path in paths_in(arguments[name])} <= made:
            raise InputError(f"{output} was made from another {name} than {paths} is now: restore it, or {away}")
        say(f"{function.__name__}: {output} is made anew, because {paths} has changed")
        return False
    return True


def _written(function: Stage, arguments: dict[str, Any]) -> set[str]:
    """The paths that a stage writes."""
    inputs = {
        name for name, parameter in inspect.signature(function).parameters.items() if is_input(parameter.annotation)
    }
    return {os.path.abspath(arguments[name]) for name in PATHS - inputs if isinstance(arguments.get(name), str)}
