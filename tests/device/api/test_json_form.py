"""Values become JSON, and their schema says the same of them."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum, IntEnum
from typing import Annotated

import pytest

from device.api.appliance import SyncRequest
from device.api.json_form import Json, as_json, json_object, schema
from device.api.status import JobRecord, Status
from device.model import Attention


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """An inner value."""

    size: Size
    counts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """An outer value."""

    name: Annotated[str, "What it is called."]
    at: datetime | None
    colour: Annotated[Colour, "How it looks."]
    inner: tuple[Inner, ...] = ()


def test_a_value_becomes_what_json_has() -> None:
    noon = datetime(2024, 5, 1, 14, 0, 0, 1500, tzinfo=timezone(timedelta(hours=2)))
    value = Outer(
        name="ü", at=noon, colour=Colour.RED, inner=(Inner(size=Size.LARGE, counts={"a": 1}),)
    )

    assert as_json(value) == {
        "name": "ü",
        "at": "2024-05-01T12:00:00.001Z",
        "colour": "red",
        "inner": [{"size": "large", "counts": {"a": 1}}],
    }


def test_an_enumeration_whose_values_are_numbers_tells_its_names() -> None:
    assert as_json(Attention.KEPT_FOR_A_PERSON) == "kept_for_a_person"


def test_a_value_without_a_form_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes has no JSON form"):
        as_json({"a": b"x"})


def test_the_schema_names_every_member() -> None:
    known: dict[str, Json] = {}

    assert schema(Outer, known) == {"$ref": "#/components/schemas/Outer"}
    assert set(known) == {"Outer", "Inner", "Colour", "Size"}
    assert known["Size"]["enum"] == ["large"]
    assert known["Outer"]["required"] == ["name", "at", "colour", "inner"]
    properties = known["Outer"]["properties"]
    assert isinstance(properties, dict)
    assert properties["name"] == {"type": "string", "description": "What it is called."}
    assert properties["at"]["anyOf"][0]["format"] == "date-time"


@pytest.mark.parametrize("kind", [Status, JobRecord, SyncRequest])
def test_every_value_of_the_socket_has_a_schema(kind: type) -> None:
    known: dict[str, Json] = {}

    schema(kind, known)

    assert set(known[kind.__name__]["properties"]) == {f.name for f in fields(kind)}  # type: ignore[call-overload]  # an object, as the schema says
    assert all(one.get("description") for one in known.values() if "properties" in one)


def test_a_request_may_leave_out_what_has_a_default() -> None:
    asked: dict[str, Json] = {}
    answered: dict[str, Json] = {}
    schema(SyncRequest, asked, is_request=True)
    schema(SyncRequest, answered)

    assert asked["SyncRequest"]["required"] == []
    assert answered["SyncRequest"]["required"] == ["maps", "is_expensive_allowed"]
    assert json_object(SyncRequest()) == {"maps": [], "is_expensive_allowed": False}


def test_moments_are_told_in_utc() -> None:
    assert as_json(datetime(2024, 1, 1, tzinfo=UTC)) == "2024-01-01T00:00:00.000Z"
