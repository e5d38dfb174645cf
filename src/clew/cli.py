"""The command line: one command for each function of the pipeline, made from its signature."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

from clew import __version__
from clew.errors import InputError

BAD_INPUT, INTERRUPTED = 2, 130


def main(arguments: list[str] | None = None) -> None:
    """Run `clew`; bad input gives one line on standard error and exit code 2."""
    from cyclopts import CycloptsError

    try:
        build_app()(arguments)
    except CycloptsError as error:
        _stop(" ".join(str(error).split()), BAD_INPUT)
    except InputError as error:
        _stop(str(error), BAD_INPUT)
    except OSError as error:
        _stop(f"{error.filename or 'file'}: {error.strerror or error}", BAD_INPUT)
    except MemoryError as error:
        _stop(f"not enough memory: {error}; give a smaller --box or --tile", BAD_INPUT)
    except KeyboardInterrupt:
        _stop("interrupted", INTERRUPTED)


def build_app() -> Any:
    """The application with all commands."""
    from cyclopts import App, Parameter

    from clew import pipeline
    from clew.stages.declaration import command_name

    app = App(
        name="clew",
        help="From 3D electron microscopy volumes of brain tissue to segmented neurons.",
        version=__version__,
        help_format="plaintext",
        default_parameter=Parameter(negative_iterable=()),
        result_action="return_none",
        print_error=False,
        exit_on_error=False,
    )
    for function in pipeline.STAGES:
        app.command(_with_text_tuples(function), name=command_name(function))
    return app


def _with_text_tuples(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same command with tuples written as one word: `--voxel-size 8,8,8`."""
    from clew.stages.declaration import is_sequence

    def command(*arguments: Any, **keywords: Any) -> None:
        function(*arguments, **keywords)

    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if is_sequence(parameter.annotation):
            default = parameter.default
            text = ",".join(str(value) for value in default) if isinstance(default, tuple) else default
            parameter = parameter.replace(annotation=str if isinstance(text, str) else str | None, default=text)
        parameters.append(parameter)
    command.__name__ = function.__name__
    command.__doc__ = _unwrapped(function.__doc__ or "")
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _unwrapped(documentation: str) -> str:
    """A docstring with the description of each parameter in one line, which the terminal wraps anew."""
    lines: list[str] = []
    for line in documentation.splitlines():
        if line.startswith("    ") and lines and lines[-1].startswith("    "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _stop(message: str, code: int) -> None:
    print(f"clew: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
