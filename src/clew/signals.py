"""Signals that ask a command to stop, and where they must wait.

They raise an exception like that of Ctrl-C, so that all is cleaned up.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals by which people, schedulers and closed terminals ask a command to stop."""


class StoppedError(KeyboardInterrupt):
    """A signal other than that of Ctrl-C asked to stop.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stopped_by(number: int) -> KeyboardInterrupt:
    """The exception that a signal raises."""
    return KeyboardInterrupt() if number == signal.SIGINT else StoppedError(number)


@contextmanager
def handled(handle: Callable[[int, FrameType | None], None], numbers: Iterable[int]) -> Iterator[None]:
    """Let some signals call a handler as long as the block lasts.

    In a thread other than the main one, which gets no signals, do nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_raised() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise an exception, as Ctrl-C does.

    Otherwise they would end the process at once.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise stopped_by(number)

    with handled(stop, [number for number in STOPPING if signal.getsignal(number) == signal.SIG_DFL]):
        yield


@contextmanager
def signals_held() -> Iterator[None]:
    """Let signals that ask to stop wait until the block ends.

    Python raises their exception in whatever runs at that moment, also in what HDF5 calls back to write; HDF5 takes that for
    a failed write, after which it can neither close the file nor end the process without a crash.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    try:
        with handled(note, [number for number in STOPPING if callable(signal.getsignal(number))]):
            yield
    finally:
        for first in came[:1]:
            signal.raise_signal(first)


class Interruption:
    """Calls `stop` when somebody asks to stop, so that a step is finished.

    A second Ctrl-C stops at once.

    Attributes
    ----------
    error : KeyboardInterrupt
        What to raise in the end, by the signal that came.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        self.asked = False
        self.error = KeyboardInterrupt()
        self._stop = stop
        self._all_is_saved = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Only call `stop` on signals in this block, instead of being stopped by them.

        In a thread other than the main one, which gets no signals, do nothing.
        """
        with handled(self._handle, STOPPING):
            yield

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Be stopped by the first signal in this block, because all is saved."""
        self._all_is_saved = True
        try:
            if self.asked:
                raise self.error
            yield
        finally:
            self._all_is_saved = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.asked, self.error = self.asked, True, stopped_by(number)
        self._stop()
        if number == signal.SIGINT if again else self._all_is_saved:
            raise self.error
