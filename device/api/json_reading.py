"""Reading JSON that others wrote into the values it is meant to be.

Requests are read strictly: a member that nobody knows is a mistake of the caller, who thinks it
does something. Answers are read with ``is_strict`` False, because a newer daemon may tell more.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, TypeVar, Union, get_args, get_origin, get_type_hints

from device.api.json_form import Bounds, Json, word
from engine import EngineError, ExitCode

ValueT = TypeVar("ValueT")


class BadRequestError(EngineError, ValueError):
    """A request that the socket does not understand."""

    code = "bad-request"
    exit_code = ExitCode.USAGE
    default_remedy = "See docs/socket.md, or /v1/openapi.json for programs"


def parse(text: bytes) -> object:
    """JSON as RFC 8259 has it: no ``NaN``, and no name twice in an object."""
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is no JSON: {error}") from None


def read(kind: type[ValueT], value: object, *, is_strict: bool = True) -> ValueT:
    """``value`` as a ``kind``, a dataclass. :exc:`BadRequestError` names the member at fault."""
    found = _read(kind, value, "", is_strict)
    assert isinstance(found, kind)
    return found


def _read(kind: object, value: object, where: str, is_strict: bool) -> object:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        for extra in arguments[1:]:
            if isinstance(extra, Bounds):
                _check(extra, value, where)
        return _read(arguments[0], value, where, is_strict)
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        (other,) = (a for a in arguments if a is not NoneType)
        return _read(other, value, where, is_strict)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(
            _read(arguments[0], one, f"{where}[{n}]", is_strict) for n, one in enumerate(value)
        )
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {n: _read(arguments[1], one, f"{where}.{n}", is_strict) for n, one in value.items()}
    if kind is object:
        return value
    if isinstance(kind, type):
        return _plain(kind, value, where, is_strict)
    raise TypeError(f"{kind} is not read from JSON")


def _plain(kind: type, value: object, where: str, is_strict: bool) -> object:
    if is_dataclass(kind):
        return _dataclass(kind, value, where, is_strict)
    if issubclass(kind, Enum):
        for member in kind:
            if word(member) == value:
                return member
        raise _wrong(where, "one of " + ", ".join(word(m) for m in kind), value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if kind is float:
            return _float(value, where)
        if isinstance(value, int) or value.is_integer():
            return int(value)
    if kind is datetime and isinstance(value, str):
        return _moment(value, where)
    names = {bool: "true or false", str: "a text", int: "a whole number", float: "a number"}
    raise _wrong(where, names.get(kind, "a time"), value)


def _dataclass(kind: type, value: object, where: str, is_strict: bool) -> object:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    known, hints = fields(kind), _hints(kind)
    names = {f.name for f in known}
    if is_strict and (unknown := [name for name in value if name not in names]):
        told = ", ".join(f.name for f in known) or "nothing"
        raise BadRequestError(f"{_at(where, unknown[0])} is unknown; what is known is {told}")
    given = {}
    for field in known:
        place = f"{where}.{field.name}" if where else field.name
        if field.name in value:
            given[field.name] = _read(hints[field.name], value[field.name], place, is_strict)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise BadRequestError(f"{place} is missing")
    return kind(**given)


@cache
def _hints(kind: type) -> dict[str, object]:
    return get_type_hints(kind, include_extras=True)


def _check(bounds: Bounds, value: object, where: str) -> None:
    """What is neither a number nor has a length is judged by its type alone."""
    told = f"{where or 'the body'} is {value}"
    if isinstance(value, str | list):
        told = f"{where or 'the body'} has the length {len(value)}"
        value = len(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if not bounds.least <= value <= bounds.most:
        raise BadRequestError(told, remedy=f"It may be {bounds.least} to {bounds.most}")


def _float(value: int | float, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise BadRequestError(f"{where} is too large") from None


def _moment(value: str, where: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise BadRequestError(f"{where} is no time: {value!r}") from None


def _wrong(where: str, wanted: str, value: object) -> BadRequestError:
    shown = json.dumps(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return BadRequestError(f"{where or 'the body'} must be {wanted}, not {shown}")


def _at(where: str, name: str) -> str:
    shown = name if len(name) <= 60 else f"{name[:57]}..."
    return f"{where}.{shown}" if where else f"the member {shown!r}"


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


def _once(pairs: list[tuple[str, object]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands there twice")
    return found
