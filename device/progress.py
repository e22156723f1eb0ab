"""The progress bar: one line on a terminal that is drawn again as a job moves."""

import shutil
from typing import Protocol, TextIO

from device.tables import printable, width
from engine import JobEvent, JobStatus, MessageSeverity

BAR_CELLS = 24
CLEAR_LINE = "\r\x1b[K"
GREEN, PLAIN = "\x1b[32m", "\x1b[0m"


class Progress(Protocol):
    """What is told of a job's events until it ends."""

    def show(self, event: JobEvent) -> None: ...

    def close(self) -> None: ...


class Silence:
    """No progress: the output is not a terminal, or the person asked for quiet."""

    def show(self, event: JobEvent) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing was shown."""


class Bar:
    """``label  ██████░░░░  60 %  what is going on``; gone from the screen when it is closed."""

    def __init__(self, stream: TextIO, label: str, *, has_color: bool) -> None:
        self._stream = stream
        self._label = label
        self._has_color = has_color
        self._marks = _marks(stream)
        self._text = ""
        self._drawn = ""

    def show(self, event: JobEvent) -> None:
        message = event.message
        if message is not None:
            speaker = "service: " if message.source.value == "service" else ""
            self._text = speaker + printable(message.text)
            if message.severity is MessageSeverity.WARNING and not event.status.is_done:
                self._write(f"{CLEAR_LINE}{self._text}\n")
                self._drawn = ""
        if event.status.is_done:
            return
        state = "stopping" if event.status is JobStatus.CANCELING else self._text
        self._draw(event.progress, state)

    def close(self) -> None:
        if self._drawn:
            self._write(CLEAR_LINE)
            self._drawn = ""

    def _draw(self, percent: int, text: str) -> None:
        full = BAR_CELLS * percent // 100
        done, rest = self._marks[0] * full, self._marks[1] * (BAR_CELLS - full)
        head = f"{self._label}  {done}{rest} {percent:3} %  "
        room = shutil.get_terminal_size().columns - width(head) - 1
        line = head + _cut(text, room)
        if line == self._drawn:
            return
        self._drawn = line
        if self._has_color:
            line = line.replace(done, f"{GREEN}{done}{PLAIN}", 1) if done else line
        self._write(CLEAR_LINE + line)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _cut(text: str, room: int) -> str:
    if room <= 0:
        return ""
    while width(text) > room:
        text = text[:-1]
    return text


def _marks(stream: TextIO) -> tuple[str, str]:
    """The characters for done and not done that the stream's encoding has."""
    try:
        "█░".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#", "-"
    return "█", "░"
