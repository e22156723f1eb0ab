"""The daemon's log: one line for each event, ``name key=value …``, with the priority before it.

The service manager's journal reads ``<6>`` at the beginning of a line as its priority (sd-daemon,
"SD_INFO"). What repeats itself is left out and counted, so that no fault fills a disk; secrets that
are known never get through.
"""

import logging
import sys
from collections.abc import Collection
from typing import TextIO

from engine import Clock

log = logging.getLogger("fieldsyncd")

BURST = 10
"""So many lines of one kind are written at once,"""
REFILL_S = 30.0
"""and then one in so many seconds."""
MOST_KINDS = 200
LONGEST_LINE = 2000

_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


def event(name: str, level: int = logging.INFO, /, **values: object) -> None:
    """Log that ``name`` (noun.past-participle) happened; None and empty values are left out."""
    if log.isEnabledFor(level):
        told = (f"{key}={_quoted(value)}" for key, value in values.items() if _says(value))
        log.log(level, "%s", " ".join((name, *told)), extra={"kind": name})


def set_up(
    clock: Clock, level: str, secrets: Collection[str], stream: TextIO | None = None
) -> None:
    """Send everything that is logged in this process to ``stream`` (standard output).

    ``secrets`` may grow later.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JournalFormatter(secrets))
    handler.addFilter(RateLimit(clock))
    logging.raiseExceptions = False  # a log that cannot be written must not end the daemon
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in ("fieldsyncd", "engine", "device"):
        logging.getLogger(name).setLevel(level.upper())


class JournalFormatter(logging.Formatter):
    """One line with its priority, without line breaks and without the secrets it was told."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.name != log.name:
            text = f"{record.name}: {text}"
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text} error={_quoted(_origin(record.exc_info[1]))}"
        if suppressed := getattr(record, "suppressed", 0):
            text = f"{text} suppressed={suppressed}"
        for secret in self._secrets:
            text = text.replace(secret, "***") if secret else text
        line = "".join(c if c.isprintable() else " " for c in text)[:LONGEST_LINE]
        return f"<{_PRIORITIES.get(record.levelno, 5)}>{line}"


class RateLimit(logging.Filter):
    """Lets a few lines of a kind through at once, and then one now and again, which tells how many
    were left out before it."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[str, _Bucket] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = f"{record.name} {record.levelno} {getattr(record, 'kind', record.msg)}"
        now = self._clock.monotonic()
        bucket = self._kinds.get(kind)
        if bucket is None:
            if len(self._kinds) >= MOST_KINDS:
                del self._kinds[next(iter(self._kinds))]
            bucket = self._kinds[kind] = _Bucket(now)
        if not bucket.takes(now):
            return False
        record.suppressed, bucket.left_out = bucket.left_out, 0
        return True


class _Bucket:
    def __init__(self, now: float) -> None:
        self.left_out = 0
        self._tokens = float(BURST)
        self._at = now

    def takes(self, now: float) -> bool:
        self._tokens = min(BURST, self._tokens + (now - self._at) / REFILL_S)
        self._at = now
        if self._tokens < 1:
            self.left_out += 1
            return False
        self._tokens -= 1
        return True


def _says(value: object) -> bool:
    return value is not None and value != ""


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    if text and not set(text) & set(' "=\n\t'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _origin(error: BaseException) -> str:
    """What happened and where, in place of a traceback of many lines."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f" in {code.co_name}, {code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{place}"
