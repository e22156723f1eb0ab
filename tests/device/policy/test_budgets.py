"""Bytes per day: who ends the day, what survives a restart, and what a wrong clock cannot do."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest

from device.model import LinkClass
from device.policy.budgets import Budgets
from device.policy.rules import Rules
from tests.fakes.clock import VirtualClock

CELL = LinkClass.CELLULAR
HOUR_S = 3600.0


class Shelf:
    """Keeps one object, and counts how often it is written."""

    def __init__(self, saved: Mapping[str, object] | None = None) -> None:
        self.saved: Mapping[str, object] = saved or {}
        self.writes = 0

    def load_budgets(self) -> Mapping[str, object]:
        return self.saved

    def save_budgets(self, saved: Mapping[str, object]) -> None:
        self.saved = saved
        self.writes += 1


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Noon, and time passes only when a test says so."""
    virtual = VirtualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    yield virtual
    virtual.close()


def budgets(clock: VirtualClock, shelf: Shelf | None = None, *, is_trusted: bool = True) -> Budgets:
    made = Budgets(Rules(), shelf or Shelf(), clock=clock, zone=UTC)
    made.trust_clock(is_trusted)
    return made


async def test_the_day_ends_at_midnight_where_the_time_is_trusted(clock: VirtualClock) -> None:
    made = budgets(clock)
    made.spend(CELL, 1000)

    turns_at = made.states()[CELL].turns_at
    await clock.advance(12 * HOUR_S - 1)
    before = made.used_bytes(CELL)
    await clock.advance(1)

    assert turns_at == 12 * HOUR_S
    assert (before, made.used_bytes(CELL)) == (1000, 0)
    assert made.states()[CELL].turns_at == 36 * HOUR_S


async def test_midnight_is_that_of_the_place(clock: VirtualClock) -> None:
    made = Budgets(Rules(), Shelf(), clock=clock, zone=timezone(timedelta(hours=9)))
    made.trust_clock(True)

    assert made.states()[CELL].turns_at == 3 * HOUR_S


async def test_without_trust_the_day_has_24_hours_whatever_the_clock_says(
    clock: VirtualClock,
) -> None:
    made = budgets(clock, is_trusted=False)
    made.spend(CELL, 1000)

    await clock.advance(23 * HOUR_S)
    clock.set_now(datetime(2031, 1, 1, tzinfo=UTC))
    assert made.used_bytes(CELL) == 1000
    assert made.states()[CELL].turns_at == 24 * HOUR_S
    await clock.advance(HOUR_S)
    assert made.used_bytes(CELL) == 0


async def test_a_clock_that_is_set_right_does_not_renew_the_budget(clock: VirtualClock) -> None:
    clock.set_now(datetime(1970, 1, 1, tzinfo=UTC))
    made = budgets(clock, is_trusted=False)
    made.spend(CELL, 1000)

    clock.set_now(datetime(2026, 3, 1, 15, tzinfo=UTC))
    made.trust_clock(True)

    assert made.used_bytes(CELL) == 1000
    assert made.states()[CELL].turns_at == 9 * HOUR_S


async def test_a_trusted_clock_that_goes_back_does_not_renew_it_twice(clock: VirtualClock) -> None:
    made = budgets(clock)
    made.spend(CELL, 1000)
    clock.set_now(datetime(2027, 1, 1, 12, tzinfo=UTC))
    assert made.used_bytes(CELL) == 0  # a new day, as far as anybody knows
    made.spend(CELL, 500)

    clock.set_now(datetime(2026, 3, 1, 13, tzinfo=UTC))

    assert made.used_bytes(CELL) == 500
    await clock.advance(11 * HOUR_S)
    assert made.used_bytes(CELL) == 0


async def test_a_restart_forgets_nothing(clock: VirtualClock) -> None:
    shelf = Shelf()
    made = budgets(clock, shelf)
    made.spend(CELL, 1000)
    made.spend(LinkClass.ROAMING, 7)
    made.save()

    again = budgets(clock, shelf)

    assert again.used_bytes(CELL) == 1000
    assert again.used_bytes(LinkClass.ROAMING) == 7


async def test_a_device_that_was_off_over_night_begins_a_new_day(clock: VirtualClock) -> None:
    shelf = Shelf()
    made = budgets(clock, shelf)
    made.spend(CELL, 1000)
    made.save()

    clock.set_now(datetime(2026, 3, 2, 7, tzinfo=UTC))

    assert budgets(clock, shelf).used_bytes(CELL) == 0


async def test_without_trust_the_rest_of_the_day_goes_on_after_a_restart(
    clock: VirtualClock,
) -> None:
    shelf = Shelf()
    made = budgets(clock, shelf, is_trusted=False)
    await clock.advance(20 * HOUR_S)
    made.spend(CELL, 1000)
    made.save()

    later = VirtualClock()
    again = budgets(later, shelf, is_trusted=False)

    assert again.used_bytes(CELL) == 1000
    assert again.states()[CELL].turns_at == 4 * HOUR_S
    later.close()


async def test_a_power_cut_hides_at_most_a_twentieth_of_a_budget(clock: VirtualClock) -> None:
    shelf = Shelf()
    made = budgets(clock, shelf)
    for _ in range(100):
        made.spend(CELL, 100_000)
        restored = budgets(clock, shelf).used_bytes(CELL)
        assert made.used_bytes(CELL) - restored <= 1_000_000

    assert shelf.writes <= 20


async def test_what_is_saved_already_is_not_written_again(clock: VirtualClock) -> None:
    shelf = Shelf()
    made = budgets(clock, shelf)
    made.spend(CELL, 1)
    made.save()
    made.save()
    made.states()

    assert shelf.writes == 1


async def test_how_far_the_day_went_is_kept_once_an_hour(clock: VirtualClock) -> None:
    """Else a device that nobody tells the time, and that is switched off daily, had no new day."""
    shelf = Shelf()
    made = budgets(clock, shelf, is_trusted=False)
    made.spend(CELL, 1)
    made.save()
    await clock.advance(5 * HOUR_S)
    made.states()
    made.states()

    assert shelf.writes == 2
    assert shelf.saved["left_s"] == 19 * HOUR_S


@pytest.mark.parametrize(
    "saved",
    [
        {"used_bytes": 7, "left_s": "soon", "date": 9},
        {"used_bytes": {"cellular": -5, "wifi": "many"}, "left_s": -1, "date": "yesterday"},
        {"used_bytes": {"cellular": True}, "left_s": float("nan")},
        {"used_bytes": None, "left_s": 1e300},
    ],
)
async def test_what_cannot_be_understood_is_left_out(
    clock: VirtualClock, saved: Mapping[str, object]
) -> None:
    made = budgets(clock, Shelf(saved), is_trusted=False)

    assert made.used_bytes(CELL) <= 1
    assert made.states()[CELL].turns_at == 24 * HOUR_S


def test_classes_without_a_limit_have_no_state(clock: VirtualClock) -> None:
    made = budgets(clock)
    made.spend(LinkClass.WIFI, 10**9)

    assert set(made.states()) == {CELL, LinkClass.ROAMING}
    assert made.used_bytes(LinkClass.WIFI) == 10**9
