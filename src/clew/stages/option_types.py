"""Types of options that several commands share."""

from typing import Annotated, Any, get_args

from annotated_types import Interval

from clew.network.options import Shape as Shape

Threshold = Annotated[float, Interval(ge=0, le=1)]
INPUT = "input"
Input = Annotated[str, INPUT]
"""A path (or the name of a bundled network) whose content decides the result: its identity is recorded with the output."""


def is_input(annotation: Any) -> bool:
    """Whether an option of this type names inputs."""
    marked = INPUT in getattr(annotation, "__metadata__", ())
    return marked or any(is_input(part) for part in get_args(annotation))
