"""The one exception for bad input."""


class InputError(ValueError):
    """What the user gave cannot be used: one clear line says what was wanted, what was found and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """
