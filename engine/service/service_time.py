"""What time it is by a service: for devices whose clock may be wrong by years."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.service.answer import http_date


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTime:
    """A service said that it is ``moment`` when our clock's ``monotonic()`` was ``at``.

    It was who it should be: its certificate held, by the time that this device has. An answer over
    plain HTTP, which anybody on the way can write, is no witness.
    """

    moment: datetime
    at: float

    @classmethod
    def of(cls, scheme: str, headers: Mapping[str, str], at: float) -> "ServiceTime | None":
        """From the headers of an answer: ``Date``, and ``Age`` if a cache kept it for so many
        seconds (RFC 9110, 6.6.1; RFC 9111, 5.1). None if they tell nothing."""
        moment = http_date(headers.get("Date", "")) if scheme == "https" else None
        if moment is None:
            return None
        age = headers.get("Age", "0").strip()
        kept_s = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
        return cls(moment=moment + timedelta(seconds=kept_s), at=at)
