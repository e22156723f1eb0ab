"""The ``fieldsync`` command: runs a verb, and tells every way to fail in one line.

Importing this module costs little more than the standard library's parser. What a verb needs is
loaded when that verb runs, and only verbs that talk to a service load the HTTP client.
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper

from device.cli_errors import (
    NoPermissionError,
    StoppedError,
    SystemRefusedError,
    UnexpectedError,
)
from device.cli_parser import defaults, joined, make_parser
from device.console import Console, Report
from engine import EngineError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

RUNNERS = {
    "take": "device.cli_take",
    "areas": "device.cli_areas",
    "check": "device.cli_check",
    "sync": "device.cli_sync_choice",
    "export": "device.cli_export",
    "push": "device.cli_push",
    "import": "device.cli_import",
    "edits": "device.cli_edits",
    "draw": "device.cli_draw",
    "conflicts": "device.cli_conflicts",
    "quarantine": "device.cli_quarantine",
    "info": "device.cli_info",
    "repair": "device.cli_repair",
    "register": "device.cli_register",
    "relocate": "device.cli_relocate",
    "unregister": "device.cli_unregister",
    "status": "device.cli_status",
    "watch": "device.cli_watch",
    "queue": "device.cli_queue",
    "pause": "device.cli_pause",
    "resume": "device.cli_pause",
    "doctor": "device.cli_doctor",
    "bundle": "device.cli_bundle",
    "leds": "device.cli_leds",
    "modem": "device.cli_modem",
}
"""Verb → the module whose ``run`` does it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give its exit code (``ExitCode``)."""
    given = joined(sys.argv[1:] if arguments is None else arguments)
    console = Console(is_json="--json" in given)
    if sys.stdout is None or sys.stderr is None:  # closed by whoever started us
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (to the end)
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may not fit the locale
    try:
        with _stop_signals_interrupt():
            return _run(given, console, is_debug="--debug" in given)
    except SystemRefusedError as error:  # the report could not be printed
        console.complain(str(error))
        return int(error.exit_code)
    finally:
        console.finish()


def _run(given: list[str], console: Console, *, is_debug: bool) -> int:
    verb = None
    try:
        options = make_parser().parse_args(given, defaults())
        verb, console.is_quiet = str(options.verb), options.quiet
        _set_up_logging(console, is_debug=is_debug)
        report: Report = import_module(RUNNERS[verb]).run(options, console)
    except (Exception, KeyboardInterrupt) as error:
        if is_debug:
            traceback.print_exc()
        told = _told(error)
        console.fail(verb, told)
        return int(told.exit_code)
    console.report(verb, report)
    return int(report.exit_code)


def _told(error: BaseException) -> EngineError:
    """Any failure as an error that has one clear line and an exit code."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return StoppedError("interrupted")
    if isinstance(error, OSError) and error.strerror:
        kind = NoPermissionError if isinstance(error, PermissionError) else SystemRefusedError
        place = "" if error.filename is None else f"{error.filename}: "
        return kind(f"{place}{error.strerror}")
    return UnexpectedError(f"unexpected {type(error).__name__}: {error}")


@contextmanager
def _stop_signals_interrupt() -> Iterator[None]:
    """Until an event loop takes the signals over, each of them ends the command as Ctrl-C does."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    kept = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
    for number in kept:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, old in kept.items():
            signal.signal(number, old)


class _Warnings(logging.Handler):
    """Tells what the engine recovered from; its errors come as exceptions."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING and not self._console.is_quiet:
            self._console.complain(f"warning: {record.getMessage()}")


def _set_up_logging(console: Console, *, is_debug: bool) -> None:
    handler = logging.StreamHandler() if is_debug else _Warnings(console)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in ("engine", "device"):  # what other packages have to say fills a screen
        logging.getLogger(name).setLevel(logging.DEBUG if is_debug else logging.NOTSET)
