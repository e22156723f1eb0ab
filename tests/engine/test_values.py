"""Values survive every change of form, and nothing without a meaning gets through."""

import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from engine.geodatabase.layer_table import SQL_TYPES
from engine.layer_schema import FieldType
from engine.values import from_python, from_wire, same_value, to_python, to_wire

T = FieldType
GUID = "{0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9}"
EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize("kind", SQL_TYPES)
def test_null_is_null_in_every_form(kind: FieldType) -> None:
    assert from_wire(kind, None) is None
    assert to_wire(kind, None) is None
    assert from_python(kind, None) is None
    assert to_python(kind, None) is None


@pytest.mark.parametrize(
    ("kind", "wire", "column"),
    [
        (T.STRING, "", ""),
        (T.STRING, "A\u0000B 😀 '\"", "A\u0000B 😀 '\""),
        (T.SMALL_INTEGER, -32768, -32768),
        (T.INTEGER, 2147483647, 2147483647),
        (T.INTEGER, 5.0, 5),
        (T.BIG_INTEGER, 2**53 + 1, 2**53 + 1),
        (T.BIG_INTEGER, -(2**63), -(2**63)),
        (T.OID, 2**63 - 1, 2**63 - 1),
        (T.DOUBLE, 5e-324, 5e-324),
        (T.DOUBLE, 7, 7.0),
        (T.SINGLE, 0.1, 0.1),
        (T.DATE, 0, "1970-01-01T00:00:00.000Z"),
        (T.DATE, -1, "1969-12-31T23:59:59.999Z"),
        (T.DATE, -2208988800001, "1899-12-31T23:59:59.999Z"),
        (T.DATE, -62135596800000, "0001-01-01T00:00:00.000Z"),
        (T.DATE, 253402300799999, "9999-12-31T23:59:59.999Z"),
        (T.GUID, GUID.strip("{}").lower(), GUID),
        (T.GLOBAL_ID, GUID, GUID),
        (T.DATE_ONLY, "2024-02-29", "2024-02-29"),
        (T.TIME_ONLY, "23:59:59", "23:59:59"),
        (T.TIME_ONLY, "23:59:59.5", "23:59:59.500"),
        (T.TIMESTAMP_OFFSET, "2024-01-02T03:04:05+02:00", "2024-01-02T03:04:05.000+02:00"),
    ],
)
def test_wire_values_come_back_as_they_were(kind: FieldType, wire: object, column: object) -> None:
    stored = from_wire(kind, wire)

    assert stored == column
    assert type(stored) is type(column)
    back = to_wire(kind, stored)
    assert same_value(kind, from_wire(kind, back), from_wire(kind, wire))
    assert back == (GUID if kind in (T.GUID, T.GLOBAL_ID) else back)
    json.dumps(back, allow_nan=False)


@given(st.integers(-62135596800000, 253402300799999))
def test_every_millisecond_between_the_years_1_and_9999_is_exact(milliseconds: int) -> None:
    column = from_wire(T.DATE, milliseconds)

    assert to_wire(T.DATE, column) == milliseconds
    assert from_python(T.DATE, to_python(T.DATE, column)) == column


@given(st.text())
def test_text_without_lone_surrogates_is_kept(text: str) -> None:
    assert to_wire(T.STRING, from_wire(T.STRING, text)) == text


@pytest.mark.parametrize(
    ("kind", "wire", "reason"),
    [
        (T.DOUBLE, math.nan, "not a finite number"),
        (T.SINGLE, -math.inf, "not a finite number"),
        (T.DOUBLE, "NaN", "where a number is expected"),
        (T.DOUBLE, True, "True where a number"),
        (T.DOUBLE, 10**400, "too large"),
        (T.INTEGER, 1.5, "1.5 where a whole number"),
        (T.INTEGER, math.nan, "nan where a whole number"),
        (T.INTEGER, "12", "'12' where a whole number"),
        (T.BIG_INTEGER, 2**63, "64 bits"),
        (T.OID, 1e300, "64 bits"),
        (T.STRING, 12, "12 where text"),
        (T.STRING, "\ud800", "Unicode"),
        (T.STRING, {"a": 1}, "where text"),
        (T.DATE, "2024-01-01", "where a whole number"),
        (T.DATE, 253402300800000, "years 1 to 9999"),
        (T.DATE, -62135596800001, "years 1 to 9999"),
        (T.DATE, 2**62, "years 1 to 9999"),
        (T.GUID, "not-a-guid", "where a GUID"),
        (T.GUID, 7, "where a GUID"),
        (T.DATE_ONLY, "2024-02-30", "no date"),
        (T.DATE_ONLY, "2024-02-03T04:00:00", "time of day"),
        (T.TIME_ONLY, "24:00:00", "time of day"),
        (T.TIME_ONLY, "noon", "time of day"),
        (T.TIMESTAMP_OFFSET, "yesterday", "where a date"),
        (T.TIMESTAMP_OFFSET, "2024-01-02T03:04:05+25:00", "no date"),
        (T.BLOB, "AAAA", "no form"),
    ],
)
def test_wire_values_without_a_meaning_are_refused(
    kind: FieldType, wire: object, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        from_wire(kind, wire)


@pytest.mark.parametrize(
    ("kind", "column", "wire"),
    [
        (T.DATE, "2024-01-02T03:04:05Z", 1704164645000),
        (T.DATE, "2024-01-02 03:04:05", 1704164645000),
        (T.DATE, "2024-01-02T05:04:05.250+02:00", 1704164645250),
        (T.DATE, "2024-01-02T05:04:05+02", 1704164645000),
        (T.DATE, "2024-01-02T03:04:05.1239999Z", 1704164645123),
        (T.DATE, "1969-12-31T23:59:59.9999Z", -1),
        (T.DATE, "2024-01-02T03:04Z", 1704164640000),
        (T.DATE, "2024-01-02", 1704153600000),
        (T.DOUBLE, 3, 3.0),
        (T.DOUBLE, " 1.5e3 ", 1500.0),
        (T.INTEGER, "42", 42),
        (T.INTEGER, "42.0", 42),
        (T.BIG_INTEGER, "9223372036854775807", 2**63 - 1),
        (T.STRING, 12, "12"),
        (T.GUID, "", None),
        (T.GUID, GUID.lower(), GUID),
        (T.DATE_ONLY, "2024-01-02T00:00:00Z", "2024-01-02"),
        (T.TIME_ONLY, "07:08", "07:08:00"),
    ],
)
def test_columns_are_read_however_another_program_spelt_them(
    kind: FieldType, column: int | float | str, wire: object
) -> None:
    assert to_wire(kind, column) == wire


@pytest.mark.parametrize(
    ("kind", "column", "reason"),
    [
        (T.DOUBLE, math.inf, "not a finite"),
        (T.DOUBLE, "inf", "number is expected"),
        (T.DOUBLE, "1e999", "not a finite"),
        (T.INTEGER, "", "number is expected"),
        (T.INTEGER, 2.5, "whole number"),
        (T.INTEGER, 9.3e18, "64 bits"),
        (T.STRING, b"\xff", "binary"),
        (T.STRING, "\udcff", "Unicode"),
        (T.DATE, 1704164645, "the number 1704164645 where a date"),
        (T.DATE, "", "a date is expected"),
        (T.DATE, "02.01.2024", "a date is expected"),
        (T.DATE, "2024-13-01T00:00:00Z", "no date"),
        (T.DATE, "0001-01-01T00:00:00+05:00", "no date"),
        (T.GUID, "x", "a GUID is expected"),
        (T.TIME_ONLY, 12, "a time of day is expected"),
    ],
)
def test_columns_that_say_nothing_are_refused(
    kind: FieldType, column: int | float | str | bytes, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        to_wire(kind, column)
    with pytest.raises(ValueError, match=reason):
        to_python(kind, column)


@pytest.mark.parametrize(
    ("kind", "value", "back"),
    [
        (
            T.DATE,
            datetime(1903, 1, 2, 3, 4, 5, 6789, EAST),
            datetime(1903, 1, 2, 1, 4, 5, 6000, UTC),
        ),
        (T.DATE_ONLY, date(1066, 10, 14), date(1066, 10, 14)),
        (T.DATE_ONLY, "1066-10-14", date(1066, 10, 14)),
        (T.TIME_ONLY, time(7, 8, 9, 123456), time(7, 8, 9, 123456)),
        (
            T.TIMESTAMP_OFFSET,
            datetime(2024, 1, 2, tzinfo=EAST),
            datetime(2024, 1, 2, tzinfo=EAST),
        ),
        (T.GUID, UUID(GUID), GUID),
        (T.SMALL_INTEGER, 5.0, 5),
        (T.DOUBLE, 1, 1.0),
        (T.STRING, "", ""),
    ],
)
def test_python_values_come_back_equal(kind: FieldType, value: object, back: object) -> None:
    again = to_python(kind, from_python(kind, value))

    assert again == back
    if isinstance(back, datetime) and isinstance(again, datetime):
        assert again.utcoffset() == back.utcoffset()


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (T.DATE, datetime(2024, 1, 1), "time zone"),
        (T.DATE, 0, "where a datetime"),
        (T.DATE, datetime(1, 1, 1, tzinfo=EAST), "years 1 and 9999"),
        (T.SMALL_INTEGER, 32768, "between -32768 and 32767"),
        (T.INTEGER, 2**31, "between"),
        (T.BIG_INTEGER, 2**63, "64 bits"),
        (T.DOUBLE, math.nan, "finite"),
        (T.DATE_ONLY, datetime(2024, 1, 1, tzinfo=UTC), "text is expected"),
        (T.TIMESTAMP_OFFSET, datetime(2024, 1, 1), "time zone"),
    ],
)
def test_python_values_that_do_not_fit_are_refused(
    kind: FieldType, value: object, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        from_python(kind, value)


def test_equality_is_by_value_not_by_spelling() -> None:
    assert same_value(T.DATE, "2024-01-02T03:04:05Z", "2024-01-02T05:04:05.000+02:00")
    assert same_value(T.DOUBLE, 3, 3.0)
    assert same_value(T.SINGLE, 0.1, 0.10000000149011612)
    assert not same_value(T.DOUBLE, 0.1, 0.10000000149011612)
    assert not same_value(T.STRING, "", None)
    assert same_value(T.TIMESTAMP_OFFSET, "2024-01-02T03:04:05Z", "2024-01-02T05:04:05+02:00")
    assert same_value(T.DATE, "rubbish", "rubbish")
    assert not same_value(T.DATE, "rubbish", "2024-01-02")
