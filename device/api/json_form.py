"""The JSON form of the device's values, and its JSON Schema: both made from the same dataclass.

A member is a field under its own name. Beside its type in ``Annotated`` stand its description and
:class:`Bounds`. Times are UTC text; enumerations are their value
or, if that is a number, their name in lower case. So the document that describes the form cannot
tell anything else than the code does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Union, get_args, get_origin, get_type_hints

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Bounds:
    """From ``least`` to ``most``: of numbers the value, of texts the length, of lists the number of
    members."""

    least: int
    most: int


_KEYWORDS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
}

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
        return word(value)
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


def schema(kind: object, known: dict[str, Json], *, is_request: bool = False) -> Json:
    """The JSON Schema of a type; dataclasses and enumerations go into ``known`` under their name,
    and are referred to. A request may leave out what has a default, an answer never does."""

    def within(inner: object) -> Json:
        return schema(inner, known, is_request=is_request)

    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner = within(arguments[0])
        said: Json = {"allOf": [inner]} if "$ref" in inner else dict(inner)
        for extra in arguments[1:]:
            if isinstance(extra, Bounds):
                said = _bounded(said, extra)
            else:
                said["description"] = _one_line(extra)
        return said
    if origin in (Union, UnionType):
        return {"anyOf": [within(argument) for argument in arguments]}
    if origin is tuple:
        return {"type": "array", "items": within(arguments[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": within(arguments[1])}
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if not isinstance(kind, type):
        raise TypeError(f"{kind} has no schema")
    return {"$ref": f"#/components/schemas/{_named(kind, known, is_request)}"}


def _bounded(said: Json, bounds: Bounds) -> Json:
    choices = said.get("anyOf")
    if isinstance(choices, list):
        return said | {"anyOf": [_bounded(choice, bounds) for choice in choices]}
    keywords = _KEYWORDS.get(str(said.get("type")))
    return (
        said
        if keywords is None
        else said | dict(zip(keywords, (bounds.least, bounds.most), strict=True))
    )


def _named(kind: type, known: dict[str, Json], is_request: bool) -> str:
    if kind.__name__ in known:
        return kind.__name__
    if issubclass(kind, Enum):
        known[kind.__name__] = {"type": "string", "enum": [word(member) for member in kind]}
    elif is_dataclass(kind):
        known[kind.__name__] = {}  # a type may hold itself
        hints = get_type_hints(kind, include_extras=True)
        known[kind.__name__] = {
            "type": "object",
            "properties": {
                f.name: schema(hints[f.name], known, is_request=is_request) for f in fields(kind)
            },
            "required": [f.name for f in fields(kind) if not (is_request and _has_default(f))],
            "additionalProperties": False,
        }
    else:
        raise TypeError(f"{kind.__name__} has no schema")
    if told := description(kind):
        known[kind.__name__]["description"] = told
    return kind.__name__


def description(kind: type) -> str:
    """What its docstring says, in one line. Nothing if Python left docstrings out (``-OO``): what a
    dataclass has in its place is no sentence."""
    told = _one_line(kind.__doc__ or "")
    return "" if told.startswith(f"{kind.__name__}(") else told


def _has_default(field: Field[object]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def word(member: Enum) -> str:
    """What stands for a member of an enumeration."""
    return member.value if isinstance(member.value, str) else member.name.lower()
