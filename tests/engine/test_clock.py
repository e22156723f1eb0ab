"""Time stamps as GeoPackage wants them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from engine.clock import SystemClock, timestamp


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC), "2024-02-29T23:59:59.999Z"),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02T03:04:05.000Z"),
        (datetime(1969, 12, 31, 23, 59, 59, 1000, tzinfo=UTC), "1969-12-31T23:59:59.001Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
        (
            datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2023-12-31T19:30:00.000Z",
        ),
    ],
)
def test_a_time_stamp_is_utc_with_milliseconds(moment: datetime, text: str) -> None:
    assert timestamp(moment) == text


def test_time_stamps_of_the_system_clock_sort_as_text() -> None:
    clock = SystemClock()

    stamps = [timestamp(clock.now()) for _ in range(100)]

    assert stamps == sorted(stamps)


def test_the_monotonic_clock_never_goes_back() -> None:
    clock = SystemClock()

    times = [clock.monotonic() for _ in range(100)]

    assert times == sorted(times)
