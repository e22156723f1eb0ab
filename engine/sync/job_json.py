"""Jobs and their parameters as JSON objects, so that a job can be made again after a restart.

What is in the object is told by the dataclasses of the parameters: each field by its name, enums by
the names of their members. It holds no secrets and no state: how far a job is stands in the journal
of its geodatabase.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from engine.errors import BadParameterError, ProtocolError
from engine.model import Envelope, SpatialReference

FORMAT = 1
"""Raised when a member changes its meaning; what is newer is refused."""

P = TypeVar("P")
_OF_ESRI = (Envelope, SpatialReference)


def job_json(kind: str, parameters: object, **members: object) -> dict[str, object]:
    """The object of a job of that kind."""
    return {"format": FORMAT, "kind": kind, **members, "parameters": parameters_json(parameters)}


def check_kind(value: Mapping[str, object], kind: str) -> None:
    """:exc:`BadParameterError` if the object is not one of a job of that kind."""
    if not isinstance(value, Mapping) or value.get("kind") != kind:
        raise BadParameterError(f"this is not the JSON object of a job of the kind {kind}")
    if value.get("format") != FORMAT:
        raise BadParameterError(
            f"this {kind} was written in another format", remedy="Make a new job from its task"
        )


def text_in(value: Mapping[str, object], name: str) -> str:
    """A member that must be text."""
    text = value.get(name)
    if not isinstance(text, str) or not text:
        raise BadParameterError(f"the JSON object of a job has no {name}")
    return text


def texts_in(value: Mapping[str, object], name: str) -> list[str]:
    """A member that must be a list of texts."""
    texts = value.get(name)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadParameterError(f"the JSON object of a job has no list of {name}")
    return texts


def parameters_in(value: Mapping[str, object], kind: type[P], name: str = "parameters") -> P:
    """Parameters of the class ``kind``. Members that are missing have their defaults; one that is
    not known is refused, because the job would do something else than was asked for."""
    made: P = _made(kind, value.get(name), name)
    return made


def parameters_json(parameters: object) -> object:
    """Parameters as an object of plain values."""
    return _plain(parameters)


def _plain(value: object) -> Any:  # JSON
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, _OF_ESRI):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return value


def _made(kind: Any, value: Any, where: str) -> Any:  # kind is a type as get_type_hints has it
    origin, arguments = get_origin(kind), get_args(kind)
    try:
        if origin in (Union, UnionType):
            (kind,) = (argument for argument in arguments if argument is not type(None))
            return None if value is None else _made(kind, value, where)
        if origin is list and isinstance(value, list):
            return [_made(arguments[0], item, where) for item in value]
        if origin is dict and isinstance(value, dict):
            return {n: _made(arguments[1], item, f"{where}.{n}") for n, item in value.items()}
        if kind in _OF_ESRI and isinstance(value, dict):
            return kind.from_json(value)
        if is_dataclass(kind) and isinstance(value, dict):
            return _filled(kind, value, where)
        if isinstance(kind, type) and issubclass(kind, Enum) and isinstance(value, str):
            return kind[value]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(kind, type) and type(value) is kind:
            return value
    except BadParameterError:
        raise
    except (KeyError, TypeError, ValueError, ProtocolError):
        pass
    raise BadParameterError(f"{where} of a job cannot be {value!r}")


def _filled(kind: Any, value: Mapping[str, object], where: str) -> Any:
    hints = get_type_hints(kind)
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(value) - known):
        raise BadParameterError(
            f"{where} of a job has the unknown member {unknown[0]}",
            remedy="It may have been written by a newer fieldsync; install that",
        )
    return kind(**{n: _made(hints[n], item, f"{where}.{n}") for n, item in value.items()})
