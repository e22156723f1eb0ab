"""The JSON form of the device's values, and its JSON Schema: both made from the same dataclass.

A member is a field under its own name; what stands beside its type in ``Annotated`` is its
description. Times are UTC text, enumerations their value or, if that is a number, their name in
lower case. So the document that describes the form cannot tell anything else than the code does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Union, get_args, get_origin, get_type_hints

Json = dict[str, object]

_PLAIN: dict[object, Json] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    NoneType: {"type": "null"},
    object: {},
}


def as_json(value: object) -> object:
    """``value`` made of what JSON has."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Enum):
        return _word(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): as_json(member) for name, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [as_json(member) for member in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def json_object(value: object) -> Json:
    """The JSON form of a dataclass."""
    form = as_json(value)
    assert isinstance(form, dict)
    return form


def schema(kind: object, known: dict[str, Json]) -> Json:
    """The JSON Schema of a type; dataclasses and enumerations go into ``known`` under their name,
    and are referred to."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner = schema(arguments[0], known)
        described: Json = {"description": " ".join(str(arguments[1]).split())}
        return {"allOf": [inner]} | described if "$ref" in inner else inner | described
    if origin in (Union, UnionType):
        return {"anyOf": [schema(argument, known) for argument in arguments]}
    if origin is tuple:
        return {"type": "array", "items": schema(arguments[0], known)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema(arguments[1], known)}
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if not isinstance(kind, type):
        raise TypeError(f"{kind} has no schema")
    return {"$ref": f"#/components/schemas/{_named(kind, known)}"}


def _named(kind: type, known: dict[str, Json]) -> str:
    if kind.__name__ in known:
        return kind.__name__
    if issubclass(kind, Enum):
        known[kind.__name__] = {"type": "string", "enum": [_word(member) for member in kind]}
    elif is_dataclass(kind):
        known[kind.__name__] = {}  # a type may hold itself
        hints = get_type_hints(kind, include_extras=True)
        known[kind.__name__] = {
            "type": "object",
            "properties": {f.name: schema(hints[f.name], known) for f in fields(kind)},
            "required": [f.name for f in fields(kind)],
            "additionalProperties": False,
        }
    else:
        raise TypeError(f"{kind.__name__} has no schema")
    if kind.__doc__:
        known[kind.__name__]["description"] = " ".join(kind.__doc__.split())
    return kind.__name__


def optional_members(kind: type) -> list[str]:
    """The fields of a dataclass that have a default: what a request may leave out."""
    assert is_dataclass(kind)
    return [
        f.name for f in fields(kind) if f.default is not MISSING or f.default_factory is not MISSING
    ]


def _word(member: Enum) -> str:
    return member.value if isinstance(member.value, str) else member.name.lower()
