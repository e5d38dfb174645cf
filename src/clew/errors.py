"""The exceptions that end a command with one line."""


class InputError(ValueError):
    """What the user gave cannot be used: one clear line says what was wanted, what was found and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """


class UnfinishedError(RuntimeError):
    """Work could not be finished: one clear line says what happened and how to go on. Exit code 1."""
