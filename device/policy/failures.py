"""What became of a run, and what an error says about trying again."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from device.model import FailureClass, Run, SyncTarget
from engine import EngineError

_LOCAL_NUMBERS = frozenset({1, 5, 12, 13, 17, 22, 23, 24, 27, 28, 30, 36, 122})
"""Numbers of system errors that tell of the device's own files: EPERM, EIO, ENOMEM, EACCES, EEXIST,
EINVAL, ENFILE, EMFILE, EFBIG, ENOSPC, EROFS, ENAMETOOLONG, EDQUOT."""

_BY_CODE = {
    "link": FailureClass.LINK,
    "untrusted-certificate": FailureClass.PORTAL,
    "captive-portal": FailureClass.PORTAL,
    "certificate-date": FailureClass.CLOCK,
    "authentication": FailureClass.AUTHENTICATION,
    "permission-denied": FailureClass.AUTHENTICATION,
    "credentials": FailureClass.AUTHENTICATION,
    "service-busy": FailureClass.SERVER,
    "service": FailureClass.SERVER,
    "service-refused": FailureClass.SERVER,
    "protocol": FailureClass.SERVER,
    "web-page": FailureClass.SERVER,
    "not-a-feature-service": FailureClass.SERVER,
    "sync-not-enabled": FailureClass.SERVER,
    "replica-not-found": FailureClass.SERVER,
    "full-download-required": FailureClass.SERVER,
    "schema-changed": FailureClass.SERVER,
    "sync-in-progress": FailureClass.BUSY,
    "geodatabase-busy": FailureClass.BUSY,
}
"""Code of an error → class. Every other code is about the device itself."""
_TELLING = (FailureClass.CLOCK, FailureClass.PORTAL)
"""What an error may have been caused by while it says something more general itself."""


_REACHED = frozenset({FailureClass.SERVER, FailureClass.AUTHENTICATION, FailureClass.REFUSED})
"""Failures after which it is known that the service was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOutcome:
    """What became of one service in a run that came to it."""

    target: SyncTarget
    is_complete: bool
    """It came to its end, whatever it found there."""
    is_cancelled: bool = False
    """A person did not want it now: it counts as complete, and shows nothing of the service."""
    acknowledged: int = 0
    """Edits that the service acknowledged, and changes that were merged here."""
    failure: FailureClass | None = None
    retry_after_s: float | None = None
    """How long it was asked that somebody be left alone,"""
    asked_by: str = ""
    """and by whom, if not by the service's own host: a server that signs in, say."""

    @property
    def busy(self) -> frozenset[str]:
        """What is to be left alone: the host that asked for it; and, if that is another one than
        the service's, the service itself, which could not do without."""
        if self.retry_after_s is None:
            return frozenset()
        if self.asked_by in ("", self.target.host):
            return frozenset({self.target.host})
        return frozenset({self.asked_by, self.target.url})

    @property
    def is_acknowledged(self) -> bool:
        """The service did what it was asked for, or a part of it."""
        return bool(self.acknowledged) or (self.is_complete and not self.is_cancelled)

    @property
    def is_reached(self) -> bool:
        """The service answered, and was who it should be."""
        return self.is_acknowledged or self.failure in _REACHED


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended."""

    run: Run
    started_at: float
    targets: tuple[TargetOutcome, ...] = ()
    """Of those that it came to."""
    stopped_by: FailureClass | None = None
    """The link, if that went away, or a fault of ours that ended it."""

    @property
    def is_complete(self) -> bool:
        done = {one.target for one in self.targets if one.is_complete}
        return done >= set(self.run.targets)

    @property
    def acknowledged(self) -> int:
        return sum(one.acknowledged for one in self.targets)

    @property
    def failure(self) -> FailureClass | None:
        """The first thing that went wrong."""
        if self.stopped_by is not None:
            return self.stopped_by
        return next((one.failure for one in self.targets if one.failure is not None), None)


def classify(error: BaseException, *, is_clock_trusted: bool) -> FailureClass:
    """What an error says about trying again.

    A certificate that is not valid yet, or not any more, is the clock's fault as long as nobody has
    told this device the time; after that it is the service's.
    """
    found = [_class_of(one) for one in chain(error)]
    first = found[0]
    telling = next((kind for kind in found if kind in _TELLING), None)
    if telling is not None and first is not FailureClass.LOCAL:
        first = telling
    if first is FailureClass.CLOCK and is_clock_trusted:
        return FailureClass.SERVER
    return first


def retry_after(error: BaseException) -> tuple[float, str] | None:
    """For how many seconds which host asks to be left alone; empty: the service's own."""
    for one in chain(error):
        asked = getattr(one, "retry_after_s", None)
        if isinstance(asked, int | float) and asked >= 0:
            return float(asked), getattr(one, "host", "")
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__


def _class_of(error: BaseException) -> FailureClass:
    if isinstance(error, EngineError):
        if error.code == "web-page" and not getattr(error, "is_verified", True):
            return FailureClass.PORTAL
        return _BY_CODE.get(error.code, FailureClass.LOCAL)
    if isinstance(error, sqlite3.Error):
        return FailureClass.LOCAL
    if isinstance(error, TimeoutError):
        return FailureClass.LINK
    if isinstance(error, OSError) and error.errno not in _LOCAL_NUMBERS:
        return FailureClass.LOCAL if error.filename is not None else FailureClass.LINK
    return FailureClass.LOCAL
