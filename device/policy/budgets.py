"""Bytes per class of links and day, kept over restarts.

A day ends at local midnight where the time of day is trusted. Otherwise it ends after 24 hours of
running: the time that the device was switched off is unknown then, and does not count.
"""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Protocol

from device.model import LinkClass
from device.policy.rules import DAY_S, HOUR_S, Rules
from device.policy.state import BudgetState
from engine import Clock

_SAVES_PER_DAY = 20
"""A budget is saved each time that such a part of it was used: what a power cut hides is small."""


class BudgetStore(Protocol):
    """Keeps one object of plain JSON values over restarts."""

    def load_budgets(self) -> Mapping[str, object]:
        """What was saved last; empty if nothing was, or it cannot be read."""

    def save_budgets(self, saved: Mapping[str, object]) -> None:
        """Replace what was saved."""


class Budgets:
    """What syncs moved today."""

    def __init__(
        self, rules: Rules, store: BudgetStore, *, clock: Clock, zone: tzinfo | None = None
    ) -> None:
        """``zone`` is that of midnight; None: the system's."""
        self._rules = rules
        self._store = store
        self._clock = clock
        self._zone = zone
        self._is_trusted = False
        self._used: dict[LinkClass, int] = {}
        self._unsaved: dict[LinkClass, int] = {}
        self._date: date | None = None
        self._saved_at = clock.monotonic()
        self._turns_at = self._saved_at + DAY_S
        self._restore(store.load_budgets())

    def states(self) -> dict[LinkClass, BudgetState]:
        """Every class that has a limit, as of now."""
        self._turn()
        if any(self._used.values()) and self._clock.monotonic() >= self._saved_at + HOUR_S:
            self._save()  # how much of the day is over, for where nobody knows the time
        return {
            link_class: BudgetState(used_bytes=self.used_bytes(link_class), turns_at=self._turns_at)
            for link_class, rules in self._rules.classes.items()
            if rules.bytes_per_day is not None
        }

    def used_bytes(self, link_class: LinkClass) -> int:
        """Moved today over links of that class."""
        self._turn()
        return self._used.get(link_class, 0)

    def spend(self, link_class: LinkClass, size_bytes: int) -> None:
        """So many more were moved. Saved now and then; :meth:`save` when a run ends."""
        self._turn()
        self._used[link_class] = self._used.get(link_class, 0) + size_bytes
        self._unsaved[link_class] = self._unsaved.get(link_class, 0) + size_bytes
        limit = self._rules.of(link_class).bytes_per_day
        if limit is not None and self._unsaved[link_class] * _SAVES_PER_DAY >= limit:
            self.save()

    def save(self) -> None:
        """Keep what was used over a restart. Writes nothing if that is kept already."""
        if any(self._unsaved.values()):
            self._save()

    def trust_clock(self, is_trusted: bool) -> None:
        """Whether the time of day is known from now on."""
        if is_trusted != self._is_trusted:
            self._is_trusted = is_trusted
            self._turn()
            if not is_trusted:
                self._turns_at = min(self._turns_at, self._clock.monotonic() + DAY_S)

    # --- days -----------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = self._clock.monotonic()
        if not self._is_trusted:
            if now >= self._turns_at:
                self._begin_day(None, now + DAY_S)
            return
        moment = self._clock.now().astimezone(self._zone)
        midnight = now + _seconds_to_midnight(moment)
        is_over = now >= self._turns_at if self._date is None else moment.date() > self._date
        if is_over:
            self._begin_day(moment.date(), midnight)
        # A day that began while the time was unknown goes on as today. So does one of a date to
        # come: the time was wrong when it began, and must not renew the budget twice.
        self._date = moment.date()
        self._turns_at = midnight

    def _begin_day(self, day: date | None, turns_at: float) -> None:
        was_used = any(self._used.values())
        self._date, self._turns_at = day, turns_at
        self._used.clear()
        if was_used:
            self._save()

    # --- over restarts --------------------------------------------------------------------------

    def _save(self) -> None:
        self._unsaved.clear()
        self._saved_at = self._clock.monotonic()
        self._store.save_budgets(
            {
                "date": None if self._date is None else self._date.isoformat(),
                "left_s": round(max(0.0, self._turns_at - self._clock.monotonic())),
                "used_bytes": {kind.value: used for kind, used in self._used.items()},
            }
        )

    def _restore(self, saved: Mapping[str, object]) -> None:
        """What is not understood is left out: a damaged store must not stop the device."""
        used, left_s, day = saved.get("used_bytes"), saved.get("left_s"), saved.get("date")
        if isinstance(used, dict):
            for kind in LinkClass:
                size = used.get(kind.value)
                if isinstance(size, int) and size > 0:
                    self._used[kind] = size
        if isinstance(left_s, int | float) and 0 <= left_s <= DAY_S:
            self._turns_at = self._clock.monotonic() + left_s
        if isinstance(day, str):
            try:
                self._date = date.fromisoformat(day)
            except ValueError:
                self._date = None


def _seconds_to_midnight(moment: datetime) -> float:
    midnight = datetime.combine(moment.date() + timedelta(days=1), time(), moment.tzinfo)
    return max(1.0, (midnight - moment).total_seconds())
