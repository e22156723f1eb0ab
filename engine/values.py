"""Attribute values in their three forms: on the wire, in a column, in Python.

*Wire* is the Esri JSON attribute (ArcGIS REST API, "Feature object"): dates are epoch milliseconds.
*Column* is what GeoPackage wants (OGC 12-128r18, table 1): dates are ISO 8601 text in UTC. *Python*
is what the API speaks: an aware ``datetime`` for a date, ``date`` and ``time`` for their fields.

What comes from the wire or from Python is checked strictly. What lies in a column may have been
left there by any program, so every spelling with one plain meaning is read. All functions raise
:exc:`ValueError` with a reason a person understands; null is null in all three forms.
"""

import math
import re
import struct
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone

from engine.layer_schema import FieldType
from engine.model import normalise_guid

ColumnValue = int | float | str | bytes | None
"""What SQLite can hold."""

WireValue = int | float | str | None
"""What a JSON attribute can be."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_INT64 = range(-(2**63), 2**63)
_RANGES = {
    FieldType.SMALL_INTEGER: range(-(2**15), 2**15),
    FieldType.INTEGER: range(-(2**31), 2**31),
}
_GUIDS = (FieldType.GUID, FieldType.GLOBAL_ID)
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")
_REAL = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
_CLOCK = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
_TIME = re.compile(_CLOCK)
_OFFSET = r"Z|[+-][0-9]{2}(?::?[0-9]{2})?"
_MOMENT = re.compile(rf"([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})(?:[T ]{_CLOCK}\s*({_OFFSET})?)?")


def from_wire(kind: FieldType, value: object) -> ColumnValue:
    """The column value for a JSON attribute of type ``kind``."""
    if value is None:
        return None
    if kind is FieldType.STRING:
        return _text(value)
    if kind.is_integer or kind is FieldType.OID:
        return _whole(value)
    if kind.is_real:
        return _finite(value)
    if kind is FieldType.DATE:
        return _column_date(_moment_of(_whole(value)))
    if kind in _GUIDS:
        return _guid(value)
    return _iso(kind, _text(value))


def to_wire(kind: FieldType, value: ColumnValue) -> WireValue:
    """The JSON attribute for what a column of type ``kind`` holds, whoever wrote it there.

    Infinities, bytes and text that has no one meaning are refused.
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        raise ValueError(f"{len(value)} bytes of binary data where {_noun(kind)} is expected")
    if kind is FieldType.STRING:
        return _text(value if isinstance(value, str) else str(value))
    if kind.is_integer or kind is FieldType.OID:
        return _whole(_parsed_integer(value) if isinstance(value, str) else value)
    if kind.is_real:
        return _finite(_parsed_real(value) if isinstance(value, str) else value)
    if not isinstance(value, str):
        raise ValueError(f"the number {value!r} where {_noun(kind)} is expected")
    if kind in _GUIDS:
        return _guid(value)
    if kind is FieldType.DATE:
        return (_parsed_moment(value) - _EPOCH) // _MILLISECOND
    return _iso(kind, value)


def from_python(kind: FieldType, value: object) -> ColumnValue:
    """The column value for a value given to the API.

    A date is an aware ``datetime``, kept to the millisecond; integers must fit the field's 16, 32
    or 64 bits.
    """
    if value is None:
        return None
    if kind is FieldType.DATE:
        return _column_date(_aware(value))
    if kind in _RANGES:
        number = _whole(value)
        if number not in _RANGES[kind]:
            limits = _RANGES[kind]
            raise ValueError(f"{number} is not between {limits[0]} and {limits[-1]}")
        return number
    if kind in _GUIDS:
        return _guid(str(value) if isinstance(value, uuid.UUID) else value)
    if kind is FieldType.DATE_ONLY and isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if kind is FieldType.TIME_ONLY and isinstance(value, time) and value.tzinfo is None:
        return _clock_text(value)
    if kind is FieldType.TIMESTAMP_OFFSET and isinstance(value, datetime):
        return _offset_text(_aware(value))
    return from_wire(kind, value)


def to_python(kind: FieldType, value: ColumnValue) -> object:
    """The API's value for what a column of type ``kind`` holds; refuses what ``to_wire`` refuses.

    A date comes back as an aware ``datetime`` in UTC, a timestamp with the offset it was given.
    """
    wire = to_wire(kind, value)
    if wire is None:
        return None
    if kind is FieldType.DATE and isinstance(wire, int):
        return _moment_of(wire)
    if isinstance(wire, str):
        if kind is FieldType.DATE_ONLY:
            return date.fromisoformat(wire)
        if kind is FieldType.TIME_ONLY:
            return time.fromisoformat(wire)
        if kind is FieldType.TIMESTAMP_OFFSET:
            return _parsed_moment(wire)
    return wire


def same_value(kind: FieldType, one: ColumnValue, other: ColumnValue) -> bool:
    """True if two column values mean the same on the wire, however each is spelled.

    Single-precision fields compare as the service stores them. Values without a meaning are equal
    only if they are identical.
    """
    try:
        first, second = to_wire(kind, one), to_wire(kind, other)
        if kind is FieldType.SINGLE and first is not None and second is not None:
            return struct.pack("<f", first) == struct.pack("<f", second)
        if kind is FieldType.TIMESTAMP_OFFSET and first is not None and second is not None:
            return _parsed_moment(str(first)) == _parsed_moment(str(second))
    except (ValueError, OverflowError):
        return type(one) is type(other) and one == other
    return first == second


def _whole(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON does not tell 5.0 from 5
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{_shown(value)} where a whole number is expected")
    if value not in _INT64:
        raise ValueError(f"{value} does not fit into 64 bits")
    return value


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_shown(value)} where a number is expected")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("the number is too large for a double") from None
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} where text is expected")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("the text is not valid Unicode") from None
    return value


def _guid(value: object) -> str | None:
    if value == "":
        return None
    guid = normalise_guid(value)
    if guid is None:
        raise ValueError(f"{_shown(value)} where a GUID is expected")
    return guid


def _parsed_integer(text: str) -> int | float:
    return int(text) if _INTEGER.fullmatch(text) else _parsed_real(text)


def _parsed_real(text: str) -> float:
    if not _REAL.fullmatch(text):
        raise ValueError(f"{_shown(text)} where a number is expected")
    return float(text)


def _moment_of(milliseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise ValueError(f"the date {milliseconds} ms is outside the years 1 to 9999") from None


def _column_date(moment: datetime) -> str:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment} is no date between the years 1 and 9999") from None
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _aware(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise ValueError(f"{_shown(value)} where a datetime is expected")
    if value.utcoffset() is None:
        raise ValueError("a datetime without a time zone; give it one, for example UTC")
    return value


def _parsed_moment(text: str) -> datetime:
    """The moment that ISO text tells, with its offset; text without an offset is UTC."""
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{_shown(text)} where a date is expected")
    *numbers, fraction, offset = match.groups()
    try:
        year, month, day, hour, minute, second = (int(n or 0) for n in numbers)
        moment = datetime(
            year, month, day, hour, minute, second, _microseconds(fraction), _zone(offset)
        )
        moment.astimezone(UTC)  # fails where UTC lies outside the years 1 to 9999
    except (ValueError, OverflowError):
        raise ValueError(f"{_shown(text)} is no date between the years 1 and 9999") from None
    return moment


def _microseconds(fraction: str | None) -> int:
    return int((fraction or "0").ljust(6, "0")[:6])


def _zone(offset: str | None) -> timezone:
    if offset in (None, "Z"):
        return UTC
    assert offset is not None
    digits = offset[1:].replace(":", "").ljust(4, "0")
    shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(shift if offset[0] == "+" else -shift)


def _iso(kind: FieldType, text: str) -> str:
    """ISO text of one spelling, so that equal values are equal text."""
    if kind is FieldType.TIMESTAMP_OFFSET:
        return _offset_text(_parsed_moment(text))
    if kind is FieldType.DATE_ONLY:
        moment = _parsed_moment(text)
        if moment.time() != time(0):
            raise ValueError(f"{_shown(text)} has a time of day where a date alone is expected")
        return moment.date().isoformat()
    if kind is FieldType.TIME_ONLY:
        match = _TIME.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError
            hour, minute, second = (int(n or 0) for n in match.groups()[:3])
            return _clock_text(time(hour, minute, second, _microseconds(match[4])))
        except ValueError:
            raise ValueError(f"{_shown(text)} where a time of day is expected") from None
    raise ValueError(f"values of type {kind.value} have no form as an attribute")


def _offset_text(moment: datetime) -> str:
    return moment.isoformat(timespec=_precision(moment))


def _clock_text(moment: time) -> str:
    return moment.isoformat(timespec=_precision(moment) if moment.microsecond else "seconds")


def _precision(moment: datetime | time) -> str:
    return "microseconds" if moment.microsecond % 1000 else "milliseconds"


def _noun(kind: FieldType) -> str:
    if kind in _GUIDS:
        return "a GUID"
    if kind is FieldType.STRING:
        return "text"
    if kind.is_integer or kind.is_real or kind is FieldType.OID:
        return "a number"
    return "a time of day" if kind is FieldType.TIME_ONLY else "a date"


def _shown(value: object) -> str:
    """``value`` for a message: short, and told apart from other types."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
