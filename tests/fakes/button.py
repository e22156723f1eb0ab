"""A button that a test presses: a named pipe with the kernel's own structures in it."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from device.button.events import (
    EV_KEY,
    EV_SYN,
    EVENT,
    KEY_PROG1,
    PRESSED,
    RELEASED,
    REPEATED,
    SYN_DROPPED,
    SYN_REPORT,
)
from engine.clock import Clock


class FakeButton:
    """The input device at :attr:`path`; what is done to it carries the time of ``clock``."""

    def __init__(self, path: Path, clock: Clock, *, code: int = KEY_PROG1) -> None:
        self.path = path
        self.is_down = False
        self._clock = clock
        self._code = code
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unplug()

    def plug(self) -> None:
        os.mkfifo(self.path)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def unplug(self) -> None:
        """Readers see the end of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self.path.unlink()

    def press(self) -> None:
        self.is_down = True
        self.send(EV_KEY, self._code, PRESSED)
        self.send(EV_SYN, SYN_REPORT, 0)

    def release(self) -> None:
        self.is_down = False
        self.send(EV_KEY, self._code, RELEASED)
        self.send(EV_SYN, SYN_REPORT, 0)

    def repeat(self) -> None:
        """The kernel's autorepeat of a key that is held."""
        self.send(EV_KEY, self._code, REPEATED)
        self.send(EV_SYN, SYN_REPORT, 1)

    def drop(self) -> None:
        """The queue was full: events are gone, up to the next report."""
        self.send(EV_SYN, SYN_DROPPED, 0)
        self.send(EV_KEY, self._code, PRESSED)  # belongs to what was lost
        self.send(EV_SYN, SYN_REPORT, 0)

    def send(self, kind: int, code: int, value: int) -> None:
        assert self._descriptor is not None
        seconds, micros = divmod(round(self._clock.monotonic() * 1_000_000), 1_000_000)
        os.write(self._descriptor, EVENT.pack(seconds, micros, kind, code, value))
