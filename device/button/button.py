"""The button: an input device of the kernel, which has already taken the bounce out of it."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from device.button.events import (
    KEY_PROG1,
    EventReader,
    EventsLost,
    KeyEvent,
    is_key_down,
    use_monotonic_clock,
)
from device.button.gestures import Gestures, Lengths
from device.model import Gesture
from device.waiting import until_set
from engine import Clock

_READ_BYTES = 24 * 64
RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
"""How long a device that is not there is left alone: at first, and at most."""


def _nothing() -> None:
    pass


def _nothing_wrong(problem: str) -> None:
    """Nobody asks why the button is not heard."""


def _nothing_held(gesture: Gesture | None) -> None:
    pass


class Button:
    """The key ``code`` of the input device at ``path``, best one of ``/dev/input/by-path``.

    ``on_press`` is called as soon as the key goes down, ``on_held`` whenever what letting it go
    would mean becomes another (None: nothing; also when it was let go). Both must return at once.

    A device that is not there, or goes away, is a :attr:`problem`; it is opened again when it is
    back. What was pressed before :meth:`gestures` is called is not told.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        code: int = KEY_PROG1,
        lengths: Lengths | None = None,
        on_press: Callable[[], None] = _nothing,
        on_held: Callable[[Gesture | None], None] = _nothing_held,
        is_down: Callable[[int, int], bool] = is_key_down,
    ) -> None:
        self.problem = ""
        """Why nobody hears the button, for a person; empty while it is heard."""
        self.on_problem: Callable[[str], None] = _nothing_wrong
        """Called with it when it is another."""
        self._path = path
        self._clock = clock
        self._code = code
        self._on_press = on_press
        self._on_held = on_held
        self._is_down = is_down
        self._gestures = Gestures(lengths)
        self._held: Gesture | None = None

    async def gestures(self) -> AsyncGenerator[Gesture, None]:
        """Each gesture when it is complete, until the reader has enough or is cancelled."""
        pause_s = RETRY_S
        while True:
            try:
                with self._opened() as descriptor:
                    pause_s = RETRY_S
                    async with aclosing(self._heard(descriptor)) as heard:
                        async for gesture in heard:
                            yield gesture
            except OSError as error:
                self._ail(f"cannot hear the button {self._path}: {error.strerror}")
            else:
                self._ail(f"the button {self._path} has gone away")
            self._forget()
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_RETRY_S)

    async def _heard(self, descriptor: int) -> AsyncGenerator[Gesture, None]:
        """Until the device is gone: end of file, or :exc:`OSError` (ENODEV)."""
        reader = EventReader(self._code)
        readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        while True:
            loop.add_reader(descriptor, readable.set)
            try:
                now = self._clock.monotonic()
                await until_set(readable, self._clock, self._gestures.next_moment(now))
            finally:
                loop.remove_reader(descriptor)  # first: a device that is gone is always readable
            if readable.is_set():
                readable.clear()
                data = _read(descriptor)
                if data == b"":
                    return
                for event in reader.feed(data or b""):
                    if (gesture := self._take(event, descriptor)) is not None:
                        yield gesture
            now = self._clock.monotonic()
            if (gesture := self._gestures.tick(now)) is not None:
                yield gesture
            self._tell_held(self._gestures.held(now))

    def _take(self, event: KeyEvent | EventsLost, descriptor: int) -> Gesture | None:
        if isinstance(event, EventsLost):
            self._gestures.lose(event.at, is_down=self._is_down(descriptor, self._code))
        elif not event.is_down:
            return self._gestures.release(event.at)
        elif self._gestures.press(event.at):
            self._on_press()
        return None

    def _ail(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self.on_problem(problem)

    def _tell_held(self, held: Gesture | None) -> None:
        if held is not self._held:
            self._held = held
            self._on_held(held)

    def _forget(self) -> None:
        self._gestures.lose(self._clock.monotonic(), is_down=False)
        self._tell_held(None)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            use_monotonic_clock(descriptor)
            self._ail("")
            if self._is_down(descriptor, self._code):
                self._gestures.lose(self._clock.monotonic(), is_down=True)
            yield descriptor
        finally:
            os.close(descriptor)


def _read(descriptor: int) -> bytes | None:
    """What there is; None if it is nothing after all, empty at the end of the file."""
    try:
        return os.read(descriptor, _READ_BYTES)
    except BlockingIOError:
        return None
