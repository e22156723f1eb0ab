"""One column of a layer: its type, its rules, and how its values are kept and shown."""

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from .guid import canonical
from .problem import EditError

Kind = Literal["number", "text", "guid", "date", "date-only", "time-only", "timestamp-offset"]

_KINDS: dict[str, Kind] = {
    "esriFieldTypeOID": "number",
    "esriFieldTypeGlobalID": "guid",
    "esriFieldTypeGUID": "guid",
    "esriFieldTypeSmallInteger": "number",
    "esriFieldTypeInteger": "number",
    "esriFieldTypeBigInteger": "number",
    "esriFieldTypeSingle": "number",
    "esriFieldTypeDouble": "number",
    "esriFieldTypeString": "text",
    "esriFieldTypeXML": "text",
    "esriFieldTypeDate": "date",
    "esriFieldTypeDateOnly": "date-only",
    "esriFieldTypeTimeOnly": "time-only",
    "esriFieldTypeTimestampOffset": "timestamp-offset",
}
_INTEGER_BITS = {
    "esriFieldTypeSmallInteger": 16,
    "esriFieldTypeInteger": 32,
    "esriFieldTypeBigInteger": 54,  # the REST documents limit big integers to 2^53 either side
}
_OFFSET = re.compile(r"(?:Z|[+-]\d{2}:\d{2})$")

_CANNOT_SET = 1016
_NULL = 1001

Value = int | float | str | None
"""What SQLite keeps for an attribute."""


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware moment, exact also before 1970."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


@dataclass(frozen=True, slots=True)
class Field:
    """A field as the layer resource describes it.

    Source: ArcGIS REST API, "Layer (Feature Service)", `fields`.
    """

    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def type(self) -> str:
        return str(self.document["type"])

    @property
    def kind(self) -> Kind:
        return _KINDS[self.type]

    @property
    def is_nullable(self) -> bool:
        return self.document.get("nullable", True) is not False

    @property
    def is_editable(self) -> bool:
        return self.document.get("editable", True) is not False

    @property
    def is_new_type(self) -> bool:
        """Whether the type came with 11.3 and syncs only from 11.5 on."""
        newer = self.kind in ("date-only", "time-only", "timestamp-offset")
        return newer or self.type == "esriFieldTypeBigInteger"

    @property
    def is_geometry(self) -> bool:
        return self.type == "esriFieldTypeGeometry"

    @property
    def default(self) -> Any:
        return self.document.get("defaultValue")

    def stored(self, value: Any, *, checks_domain: bool = True) -> Value:
        """The value as SQLite keeps it; EditError when the field cannot hold it."""
        if value is None:
            if not self.is_nullable:
                raise EditError(_NULL, f"Field {self.name} is not nullable.")
            return None
        try:
            kept = self._convert(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise EditError(
                _CANNOT_SET, f"Setting of Value for {self.name} failed: {error}."
            ) from None
        if checks_domain:
            self._check_domain(kept)
        return kept

    def _convert(self, value: Any) -> Value:
        match self.kind:
            case "number":
                return self._number(value)
            case "guid":
                guid = canonical(value)
                if guid is None:
                    raise ValueError(f"'{value}' is not a GUID")
                return guid
            case "text":
                return self._text(value)
            case "date":
                return self._date(value)
            case "date-only":
                return date.fromisoformat(value).isoformat()
            case "time-only":
                return time.fromisoformat(value).isoformat()
            case "timestamp-offset":
                return self._timestamp(value)

    def _number(self, value: Any) -> int | float:
        if isinstance(value, bool):
            value = int(value)
        if isinstance(value, str):
            value = float(value) if any(mark in value for mark in ".eEnN") else int(value)
        if not isinstance(value, (int, float)):
            raise TypeError(f"{value!r} is not a number")
        bits = _INTEGER_BITS.get(self.type)
        if bits is None:
            number = float(value)
            if not math.isfinite(number):
                raise ValueError(f"{value} is not a finite number")
            if self.type == "esriFieldTypeSingle":
                return float(struct.unpack("<f", struct.pack("<f", number))[0])
            return number
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(f"{value} is not an integer")
        whole = int(value)
        if not -(1 << (bits - 1)) <= whole < (1 << (bits - 1)):
            raise ValueError(f"{whole} does not fit in {bits} bits")
        return whole

    def _text(self, value: Any) -> str:
        if isinstance(value, (dict, list)):
            raise TypeError("the value is not text")
        text = value if isinstance(value, str) else str(value)
        length = self.document.get("length")
        if isinstance(length, int) and 0 < length < len(text):
            raise ValueError(f"{len(text)} characters, the field holds {length}")
        return text

    def _date(self, value: Any) -> int:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{value!r} is not a date")
        if abs(value) > 253_402_300_799_999:
            raise ValueError(f"{value} is past the year 9999")
        return int(value)

    def _timestamp(self, value: Any) -> str:
        if not isinstance(value, str) or not _OFFSET.search(value):
            raise ValueError(f"'{value}' is not a timestamp with an offset")
        return datetime.fromisoformat(value).isoformat()

    def _check_domain(self, value: Value) -> None:
        domain = self.document.get("domain")
        if not isinstance(domain, dict) or value is None:
            return
        if domain.get("type") == "codedValue":
            codes = [entry.get("code") for entry in domain.get("codedValues", [])]
            if value not in codes:
                raise EditError(
                    _CANNOT_SET,
                    f"Setting of Value for {self.name} failed: {value!r} is not a code of "
                    f"domain {domain.get('name')}.",
                )
        elif domain.get("type") == "range" and not isinstance(value, str):
            low, high = domain["range"]
            if not low <= value <= high:
                raise EditError(
                    _CANNOT_SET,
                    f"Setting of Value for {self.name} failed: {value} is outside "
                    f"{low}..{high} of domain {domain.get('name')}.",
                )


def is_known_type(name: object) -> bool:
    """Whether values of this Esri field type have a JSON form here."""
    return name in _KINDS or name == "esriFieldTypeGeometry"
