"""One LED of the kernel: a folder below ``/sys/class/leds`` (Linux, Documentation/leds/leds-class).

An LED that is not there, or that may not be written, is a state with a sentence, never a failure: a
device without its lamps still syncs.
"""

import errno
import os
from pathlib import Path
from typing import Protocol

from device.lamps.rhythm import Rhythm, pattern, recognised

LEDS = Path("/sys/class/leds")
TRIGGER = "pattern"


class Files(Protocol):
    """How the files of an LED are read and written; a test's kernel stands in for it."""

    def read(self, path: Path) -> str: ...

    def write(self, path: Path, text: str) -> None: ...


class SystemFiles:
    """The operating system's files."""

    def read(self, path: Path) -> str:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read(16384)

    def write(self, path: Path, text: str) -> None:
        """In one call, as the kernel's attributes want it; the file must be there."""
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode("ascii"))
        finally:
            os.close(descriptor)


class Led:
    """An LED that plays rhythms. Only its ``pattern`` is written, and ``trigger`` once.

    ``brightness`` is never written: zero there takes the trigger away, and its files with it. The
    trigger is not selected again where it is selected, because that makes its files anew, with
    the permissions of root.
    """

    def __init__(self, folder: Path, files: Files, *, percent: float = 100) -> None:
        self.name = folder.name
        self.problem = ""
        """Why the LED does not do what it is told, for a person; empty while it does."""
        self._folder = folder
        self._files = files
        self._percent = percent
        self._max_brightness: int | None = None

    def play(self, rhythm: Rhythm) -> bool:
        """Let the kernel play ``rhythm`` from now on; False, and a :attr:`problem`, if not."""
        try:
            self._write(rhythm)
        except (OSError, ValueError) as error:
            self._max_brightness = None  # it may be another LED when it is back
            self.problem = self._sentence(error)
            return False
        self.problem = ""
        return True

    def playing(self) -> Rhythm | None:
        """What the LED plays, as the kernel tells; None if that is none of our rhythms."""
        try:
            text = self._files.read(self._folder / "pattern")
        except OSError as error:
            self.problem = self._sentence(error)
            return None
        self.problem = ""
        return recognised(text)

    def _write(self, rhythm: Rhythm) -> None:
        if self._max_brightness is None:
            self._max_brightness = int(self._files.read(self._folder / "max_brightness"))
        text = pattern(rhythm, self._max_brightness, self._percent)
        try:
            self._files.write(self._folder / "pattern", text)
        except FileNotFoundError:  # the trigger is not selected
            self._select_trigger()
            self._files.write(self._folder / "pattern", text)

    def _select_trigger(self) -> None:
        path = self._folder / "trigger"
        if f"[{TRIGGER}]" not in self._files.read(path).split():
            self._files.write(path, TRIGGER)

    def _sentence(self, error: OSError | ValueError) -> str:
        if isinstance(error, ValueError):
            return f"the lamp {self.name} says nonsense of itself: {error}"
        if isinstance(error, PermissionError):
            return (
                f"the lamp {self.name} may not be written by this user; "
                "the unit of fieldsyncd allows it when it starts"
            )
        if error.errno == errno.EINVAL:
            return (
                f"the lamp {self.name} cannot play patterns; "
                "load the kernel's module ledtrig-pattern"
            )
        if isinstance(error, FileNotFoundError) or error.errno == errno.ENODEV:
            return f"there is no lamp {self.name} in {self._folder.parent}"
        return f"the lamp {self.name} cannot be used: {error.strerror}"
