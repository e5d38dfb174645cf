"""The command line: one command for each row of the pipeline's table.

Each is made from the signature of its function.
"""

import argparse
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clew import __version__, pipeline
from clew.errors import FaultyDataError, InputError, UnfinishedError
from clew.pipeline import COMMANDS
from clew.signals import signals_raised

UNFINISHED, BAD_INPUT, UNFORESEEN = 1, 2, 70
LINES, CHARACTERS = 3, 600
"""Lines and characters of the longest message."""
SIGNALLED = 128
"""What shells add to the number of the signal that ended a command."""
TRACEBACK = "CLEW_TRACEBACK"
"""Environment variable that asks for the traceback of an error that nobody foresaw."""


def main(arguments: list[str] | None = None) -> None:
    """Run `clew`.

    Bad input gives one line on standard error and exit code 2, an error that nobody foresaw exit code 70.
    """
    with signals_raised():
        _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: list[str]) -> None:
    from cyclopts import CycloptsError, UnusedCliTokensError

    rest: list[str] = []
    try:
        rest, config = _split_config(arguments)
        app = build_app(_command_in(rest))
        if config:
            app.config = _options_from(config, rest)
        app(rest)
    except CycloptsError as error:
        spaces = " Values of one option are joined by commas: 8,8,8" if isinstance(error, UnusedCliTokensError) else ""
        _stop(" ".join(str(error).split()) + spaces, BAD_INPUT)
    except InputError as error:
        _stop(str(error), BAD_INPUT)
    except (UnfinishedError, FaultyDataError) as error:
        _stop(str(error), UNFINISHED)
    except OSError as error:
        _stop(f"{error.filename or 'file'}: {error.strerror or error}", BAD_INPUT)
    except MemoryError as error:
        from clew.pipeline._memory import instead

        _stop(f"not enough memory{f' ({error})' if str(error) else ''}: {instead(*rest)}", BAD_INPUT)
    except KeyboardInterrupt as error:
        number = signal.Signals(getattr(error, "number", signal.SIGINT))
        _stop("interrupted" if number == signal.SIGINT else f"stopped by {number.name}", SIGNALLED + number)
    except Exception as error:
        if TRACEBACK in os.environ:
            raise
        _stop(_unforeseen(error, arguments), UNFORESEEN)


def build_app(command: str | None) -> Any:
    """The application with all commands, and the options of one of them.

    The modules of the other commands are not loaded.
    """
    from cyclopts import App, Parameter

    app = App(
        name="clew",
        help="From 3D electron microscopy volumes of brain tissue to segmented neurons. Every command takes its options "
        "also from its table in a TOML file: --config FILE.",
        version=__version__,
        help_format="plaintext",
        default_parameter=Parameter(negative_iterable=()),
        result_action="return_none",
        suppress_keyboard_interrupt=False,
        print_error=False,
        exit_on_error=False,
    )
    for name, row in COMMANDS.items():
        written = name.replace("_", "-")
        if written == command:
            app.command(_with_text_tuples(getattr(pipeline, name)), name=written)
        else:
            app.command(_not_loaded, name=written, help=row.line)
    return app


def _not_loaded() -> None:
    """Stand for a command that was not asked for."""


def _command_in(arguments: list[str]) -> str | None:
    """The first word that is a command."""
    return next((word for word in arguments if word.replace("-", "_") in COMMANDS and "_" not in word), None)


def _split_config(arguments: list[str]) -> tuple[list[str], str | None]:
    """The arguments without `--config FILE`, and its file."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config")
    try:
        known, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InputError("--config needs the name of a TOML file") from error
    return rest, known.config


def _options_from(file: str, arguments: list[str]) -> Any:
    """The table of a command in a TOML file as its options.

    What is written on the command line wins.
    """
    from cyclopts.config import Dict

    from clew.pipeline.run import options_in

    name = _command_in(arguments)
    if name is None:
        raise InputError("--config FILE needs a command: clew COMMAND --config FILE")
    function = getattr(pipeline, name.replace("-", "_"))
    options = options_in(Path(file), function)
    signature = inspect.signature(function)
    return Dict(
        {name: {key: _as_text(value, signature.parameters[key]) for key, value in options.items()}}, source=file
    )


def _as_text(value: Any, parameter: inspect.Parameter) -> Any:
    """A list as it is written on the command line.

    Where the option is one of tuples: `8,8,8`, or `1,0,0;0,1,0`.
    """
    from clew.pipeline._declare import is_sequence

    if not isinstance(value, list) or not is_sequence(parameter.annotation):
        return value
    nested = [",".join(map(str, part)) for part in value if isinstance(part, list)]
    return ";".join(nested) if nested else ",".join(map(str, value))


def _with_text_tuples(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same command with tuples written as one word: `--voxel-size 8,8,8`."""
    from clew.pipeline._declare import is_sequence

    def command(*arguments: Any, **keywords: Any) -> None:
        result = function(*arguments, **keywords)
        from clew.pipeline._ending import say_ending

        values = inspect.signature(function).bind(*arguments, **keywords).arguments
        say_ending(function.__name__, values, result)

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
    """A docstring with the description of each parameter in one line.

    The terminal wraps it anew.
    """
    lines: list[str] = []
    for line in documentation.splitlines():
        if line.startswith("    ") and lines and lines[-1].startswith("    "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _unforeseen(error: Exception, arguments: list[str]) -> str:
    """One line about an error of clew itself, and how to report it."""
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return (
        f"an error of clew itself, not of yours ({what}); please report it with what "
        f"{TRACEBACK}=1 clew {arguments[0] if arguments else ''} … prints"
    )


def shortened(message: str) -> str:
    """Shorten a message to few lines and characters.

    What is wrong stands first, and what to do last, so the middle is left out.
    """
    lines = message.strip().splitlines()
    message = "\n".join([*lines[: LINES - 1], " ".join(lines[LINES - 1 :])]) if len(lines) > LINES else message.strip()
    half = CHARACTERS // 2 - 1
    return message if len(message) <= CHARACTERS else f"{message[:half].rstrip()}…{message[-half:].lstrip()}"


def _stop(message: str, code: int) -> None:
    print(f"clew: {shortened(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
