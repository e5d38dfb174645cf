"""The exceptions that end a command with one line."""


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one clear line that says what was wanted, what was found and what to do. The command line prints it
    without a traceback and exits with code 2.

    Examples
    --------
    >>> try:
    ...     clew.evaluate(np.zeros((4, 4)), np.zeros((4, 4)))
    ... except clew.InputError as error:
    ...     print(error)
    segmentation must be (z, y, x), not of shape (4, 4)
    """


class FaultyDataError(RuntimeError):
    """Data were looked at, and something is wrong with them.

    The message is one clear line; what is wrong was printed before. Exit code 1.
    """


class UnfinishedError(RuntimeError):
    """Work could not be finished.

    The message is one clear line that says what happened and how to go on. Exit code 1.
    """
