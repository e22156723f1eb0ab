"""What time it is by a service: only an answer over TLS is a witness."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.service.service_time import ServiceTime

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("scheme", "headers", "expected"),
    [
        ("https", {"Date": DATE}, NOON),
        ("https", {"Date": DATE, "Age": "90"}, NOON + timedelta(seconds=90)),
        ("https", {"Date": DATE, "Age": "-5"}, NOON),
        ("https", {"Date": DATE, "Age": "9" * 300}, NOON),
        ("http", {"Date": DATE}, None),
        ("https", {"Date": "yesterday"}, None),
        ("https", {}, None),
    ],
)
def test_headers_tell_the_time_if_nobody_can_have_written_them(
    scheme: str, headers: dict[str, str], expected: datetime | None
) -> None:
    told = ServiceTime.of(scheme, headers, 7.0)

    assert told == (None if expected is None else ServiceTime(moment=expected, at=7.0))
