"""Where a verb's words go: its report to standard output, all else to standard error."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from device.cli_errors import SystemRefusedError
from device.tables import printable, steerless
from engine import EngineError, ExitCode

if TYPE_CHECKING:  # jobs bring asyncio along; asking for help needs none of it
    from device.progress import Progress

FORMAT = 1
"""Version of the JSON objects: raised when a member changes its meaning or goes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a verb found: ``data`` for programs, ``lines`` for people.

    ``error`` is what went wrong although there is something to report. ``is_printed``: all of the
    data was printed line by line already.
    """

    data: dict[str, object] = field(default_factory=dict)
    is_printed: bool = False
    lines: Sequence[str] = field(default_factory=list)
    exit_code: ExitCode = ExitCode.OK
    error: EngineError | None = None


class Console:
    """The two streams of the process, and how the person wants them used.

    ``is_json``: the report is one JSON object on one line instead of text. ``is_quiet``: no text
    but errors, and no progress.
    """

    def __init__(self, *, is_json: bool = False, is_quiet: bool = False) -> None:
        self.is_json = is_json
        self.is_quiet = is_quiet
        self._is_unread = False

    def report(self, verb: str, report: Report) -> None:
        """Print what the verb found."""
        if report.error is not None:
            self.complain(str(report.error))
        if self.is_json:
            if not report.is_printed:
                self._print([_as_json(verb, report.exit_code, report.error, report.data)])
        elif not self.is_quiet:
            self._print([steerless(line) for line in report.lines])

    def say_now(self, line: str) -> bool:
        """Print a line of a report that has no end. False if nobody reads on."""
        if self.is_json or not self.is_quiet:
            self._print([line])
        return not self._is_unread

    def fail(self, verb: str | None, error: EngineError) -> None:
        """Print why the verb could not do its work."""
        self.complain(str(error))
        if self.is_json:
            self._print([_as_json(verb, error.exit_code, error, {})])

    def complain(self, text: str) -> None:
        """One line on standard error, also when quiet."""
        print(f"fieldsync: {printable(text)}", file=sys.stderr, flush=True)

    def progress(self, label: str) -> "Progress":
        """A bar if a person watches standard error, otherwise silence."""
        from device.progress import Bar, Silence

        if self.is_quiet or not _can_redraw(sys.stderr):
            return Silence()
        return Bar(sys.stderr, label, has_color=not os.environ.get("NO_COLOR"))

    def finish(self) -> None:
        """Send what is still on its way to standard output: help, say, whose reader may be gone."""
        try:
            sys.stdout.flush()
        except OSError:
            _silence(sys.stdout)

    def _print(self, lines: Sequence[str]) -> None:
        """:exc:`SystemRefusedError` if the output cannot be written.

        A reader that has seen enough (``fieldsync edits MAP | head``) is no error.
        """
        try:
            for line in lines:
                print(line)
            sys.stdout.flush()
        except BrokenPipeError:
            self._is_unread = True
            _silence(sys.stdout)
        except OSError as error:
            _silence(sys.stdout)
            raise SystemRefusedError(f"cannot write the output: {error.strerror}") from error


def _as_json(
    verb: str | None, exit_code: ExitCode, error: EngineError | None, data: dict[str, object]
) -> str:
    head = {
        "format": FORMAT,
        "verb": verb,
        "exit_code": int(exit_code),
        "error": None if error is None else error.to_json(),
    }
    return json.dumps(head | data)


def _can_redraw(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _silence(stream: TextIO) -> None:
    """Let nothing more be written there; otherwise the interpreter complains when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
