"""Signals in a training: the step under way is finished, and then there is something whole to save."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from clew.signals import STOPPING, handled, stopped_by


class Interruption:
    """Calls `stop` when somebody asks to stop; a second Ctrl-C stops at once.

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
