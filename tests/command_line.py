"""The command line, in this process."""

from clew import cli


def run(*arguments: object) -> int:
    """The exit code of a command."""
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
