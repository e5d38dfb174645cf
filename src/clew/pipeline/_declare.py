"""One source for every default.

A pipeline function and its option records become one flat, checked signature.

`@stage` lets a function of the pipeline be written with option records and be called with plain keywords; the command
line, the run file and the Python function all see this one signature and this one check of values.
"""

import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

from clew.documents import brief
from clew.errors import InputError
from clew.pipeline._options import is_input
from clew.volumes.location import find_location, plain_paths
from clew.volumes.save import stage_begun

Function = Callable[..., Any]
CHECKPOINTS = ("checkpoint", "initial")
"""Options whose values may be names of bundled networks."""


class Record(dict[str, Any]):
    """What is recorded with an output.

    The stage, its parameters and what identifies its inputs; it is filled in when the function is called.
    """


def stage(function: Function) -> Function:
    """Flatten the option records of a pipeline function into its signature.

    All values are checked before it runs.
    """
    hints = get_type_hints(function, include_extras=True)
    records: dict[str, type] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)
    }
    signature = _flat_signature(function, hints, records)
    own = inspect.signature(function).parameters.keys() - records.keys()

    @functools.wraps(function)
    def checked(*arguments: Any, **keywords: Any) -> Any:
        check_names(command_name(function), keywords, signature.parameters)
        try:
            values = signature.bind(*arguments, **keywords).arguments
        except TypeError as error:
            raise InputError(f"{command_name(function)}: {error}") from error
        values = _check_values(command_name(function), values, signature)
        if not values.get("dry_run"):
            _refuse_missing(values, signature)
        given = {name: value for name, value in values.items() if name in own}
        for name, record in records.items():
            given[name] = record(**{field.name: values[field.name] for field in fields(record) if field.name in values})
        if "record" in hints:
            given["record"] = _record(function, values, signature)
        with stage_begun():
            return function(**given)

    def record_of(**keywords: Any) -> Record:
        return _record(function, _check_values(command_name(function), keywords, signature), signature)

    checked.record_of = record_of  # type: ignore[attr-defined]
    checked.__signature__ = signature  # type: ignore[attr-defined]
    checked.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()} | {
        "return": signature.return_annotation
    }
    checked.__doc__ = _flat_documentation(function, records)
    del checked.__wrapped__
    return checked


def command_name(function: Function) -> str:
    """Name of a function on the command line."""
    return function.__name__.replace("_", "-")


def check_names(stage_name: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse unknown option names; name the nearest known one."""
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise InputError(f"{stage_name}: unknown option {name!r}; {hint}")


def _flat_signature(function: Function, hints: Mapping[str, Any], records: Mapping[str, type]) -> inspect.Signature:
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if hints[name] is Record:
            continue
        if name not in records:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        for field, hint in get_type_hints(records[name], include_extras=True).items():
            default = next(f.default for f in fields(records[name]) if f.name == field)
            default = inspect.Parameter.empty if default is MISSING else default
            parameters.append(
                inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
            )
    parameters.sort(key=lambda parameter: parameter.kind)
    return inspect.Signature(parameters, return_annotation=hints.get("return", inspect.Signature.empty))


def is_sequence(annotation: Any) -> bool:
    """Whether a value of this type is a tuple, which may be written as text: 8,8,8."""
    if get_origin(annotation) is tuple:
        return True
    return any(is_sequence(part) for part in get_args(annotation) if get_origin(annotation) is not Literal)


def _record(function: Function, values: Mapping[str, Any], signature: inspect.Signature) -> Record:
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    parameters = {name: value for name, value in (defaults | dict(values)).items() if name != "overwrite"}
    return Record(stage=command_name(function), parameters=parameters, inputs=_inputs(parameters, signature))


def _inputs(parameters: Mapping[str, Any], signature: inspect.Signature) -> dict[str, Any]:
    """What identifies the inputs that are given, by the names of their options."""
    from clew.pipeline._identity import identify

    names = [name for name, parameter in signature.parameters.items() if is_input(parameter.annotation)]
    given = {name: parameters[name] for name in names if parameters[name] is not inspect.Parameter.empty}
    return {name: identify(value) for name, value in given.items() if value}


def _check_values(stage_name: str, values: Mapping[str, Any], signature: inspect.Signature) -> dict[str, Any]:
    from pydantic import TypeAdapter, ValidationError

    checked = {}
    for name, value in values.items():
        annotation = signature.parameters[name].annotation
        if isinstance(value, str):
            value = plain_paths(value)
        if isinstance(value, list):
            value = [plain_paths(part) if isinstance(part, str) else part for part in value]
        if isinstance(value, str) and is_sequence(annotation):
            value = [part.split(",") for part in value.split(";")] if ";" in value else value.split(",")
        try:
            checked[name] = TypeAdapter(annotation).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            counted = first["type"] in ("missing", "too_long") or first["type"].endswith("_parsing")
            problem = _numbers_wanted(annotation) * counted or first["msg"][0].lower() + first["msg"][1:]
            raise InputError(f"{stage_name}: {name.replace('_', '-')}: {problem}, not {brief(values[name])}") from error
    return checked


def _numbers_wanted(annotation: Any) -> str:
    """What to type for an option of a fixed count of numbers; "" for others."""
    for kind in (annotation, *get_args(annotation)):
        parts = get_args(kind)
        if get_origin(kind) is tuple and all((get_args(part) or (part,))[0] in (int, float) for part in parts):
            return f"wanted {len(parts)} numbers joined by commas, such as {','.join('8' * len(parts))}"
    return ""


def _refuse_missing(values: Mapping[str, Any], signature: inspect.Signature) -> None:
    """Refuse inputs that are not there, before anything is said of outputs.

    Checkpoints say so themselves, with the networks that clew comes with.
    """
    for name, value in values.items():
        if isinstance(value, str) and is_input(signature.parameters[name].annotation) and name not in CHECKPOINTS:
            find_location(value)


def _flat_documentation(function: Function, records: Mapping[str, type]) -> str:
    """The function's docstring, with the parameters of its records added to its own."""
    text = inspect.getdoc(function) or ""
    kinds = [kind for record in records.values() for kind in reversed(record.__mro__) if is_dataclass(kind)]
    extra = "\n".join(parameters_section(inspect.getdoc(kind) or "") for kind in kinds)
    if not extra:
        return text
    if "\nParameters\n----------\n" not in text:
        text += "\n\nParameters\n----------\n"
    head, _, tail = text.partition("\nParameters\n----------\n")
    own, _, rest = tail.partition("\n\n")
    rest = f"\n\n{rest}" if rest else ""
    return f"{head}\nParameters\n----------\n{own}\n{extra}{rest}".strip()


def parameters_section(documentation: str) -> str:
    """The lines below "Parameters" of a numpydoc docstring."""
    match = re.search(r"Parameters\n-+\n(.*?)(?:\n\n\S|\Z)", documentation, re.DOTALL)
    return match.group(1).rstrip() if match else ""
