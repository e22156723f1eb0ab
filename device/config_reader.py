"""Reads a TOML file into frozen dataclasses; every mistake is named with its key.

A field's annotation says what its key may be: ``bool``, ``int``, ``float``, ``str``, ``Path``, an
enum (its values, with ``-`` for ``_``), a tuple or mapping of these, or a dataclass (a table).
:class:`Between` limits a number, :class:`Word` spells None, :class:`Key` gives another name.
"""

import dataclasses
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from engine import EngineError, ExitCode

MAX_BYTES = 1024 * 1024
ConfigT = TypeVar("ConfigT")

_SECRETS = ("password", "token", "secret", "api_key", "pin", "puk")


class ConfigError(EngineError):
    """The configuration cannot be used: which file, which key, and what is allowed there."""

    code = "config"
    exit_code = ExitCode.USAGE
    default_remedy = "docs/device.md explains every key"


@dataclass(frozen=True, slots=True)
class Between:
    """The least and the greatest number that is allowed."""

    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Word:
    """How None is written."""

    text: str


@dataclass(frozen=True, slots=True)
class Key:
    """The name of the key, where it is not that of the field."""

    name: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field's annotation says."""

    type: Any
    limits: Between | None = None
    word: str | None = None
    name: str | None = None


def fields_of(section: type) -> dict[str, tuple[dataclasses.Field[Any], Kind]]:
    """Key → the field of a dataclass that it fills, and what it may be."""
    hints = get_type_hints(section, include_extras=True)
    found = {}
    for field in dataclasses.fields(section):
        kind = _kind(hints[field.name])
        found[kind.name or field.name] = (field, kind)
    return found


def read_config(path: Path, into: type[ConfigT]) -> ConfigT:
    """The file as ``into``. :exc:`ConfigError` if it cannot be read or a key is wrong.

    A path that is not absolute counts from the folder of the file.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror}",
            remedy="Give a file that this user may read",
        ) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes")
    try:
        value = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # The parser's own words may quote what stands there.
        place = str(error).rpartition("(")[2].rstrip(")")
        raise ConfigError(f"{path} is no TOML: look {place or 'there'}") from None
    return _Reader(path).table(value, into, "")


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def table(
        self, value: object, into: type[ConfigT], where: str, base: ConfigT | None = None
    ) -> ConfigT:
        """A table as dataclass ``into``; what it leaves out is as in ``base``."""
        if not isinstance(value, dict):
            raise self._wrong(where, "a table", value)
        known = fields_of(into)
        given: dict[str, object] = {}
        for name, one in value.items():
            at = f"{where}.{name}" if where else name
            if name not in known:
                raise self._unknown(at, name, known)
            field, kind = known[name]
            default = getattr(base, field.name) if base is not None else _default(field)
            given[field.name] = self._value(one, kind, at, default)
        if base is not None:
            return dataclasses.replace(base, **given)  # type: ignore[type-var]  # a dataclass
        for name, (field, _) in known.items():
            if field.name not in given and _default(field) is dataclasses.MISSING:
                raise ConfigError(f"{self._path}: {where}.{name} is missing")
        return into(**given)

    def _value(self, value: object, kind: Kind, at: str, default: object) -> object:
        wanted, origin = kind.type, get_origin(kind.type)
        if kind.word is not None and value == kind.word:
            return None
        if dataclasses.is_dataclass(wanted):
            base = default if default is not dataclasses.MISSING else None
            return self.table(value, wanted, at, base)  # type: ignore[arg-type]
        if origin is tuple:
            item = _kind(get_args(wanted)[0])
            if not isinstance(value, list):
                raise self._wrong(at, "a list", value)
            return tuple(
                self._value(one, item, f"{at}[{number}]", dataclasses.MISSING)
                for number, one in enumerate(value, 1)
            )
        if origin is not None and issubclass(origin, Mapping):
            item = _kind(get_args(wanted)[1])
            if not isinstance(value, dict):
                raise self._wrong(at, "a table", value)
            return {
                name: self._value(one, item, f"{at}.{name}", dataclasses.MISSING)
                for name, one in value.items()
            }
        return self._plain(value, kind, at)

    def _plain(self, value: object, kind: Kind, at: str) -> object:
        wanted, also = kind.type, "" if kind.word is None else f' or "{kind.word}"'
        if issubclass(wanted, Enum):
            for member in wanted:
                if value == spelled(member):
                    return member
            allowed = ", ".join(f'"{spelled(member)}"' for member in wanted)
            raise self._wrong(at, f"one of {allowed}", value)
        if wanted is bool:
            if isinstance(value, bool):
                return value
            raise self._wrong(at, "true or false", value)
        if wanted in (int, float):
            return self._number(value, kind, at, also)
        if not isinstance(value, str) or not value.isprintable():
            raise self._wrong(at, f"text{also}", value)
        if wanted is not Path:
            return value
        if not value:
            raise self._wrong(at, f"a path{also}", value)
        return self._path.parent.absolute() / value

    def _number(self, value: object, kind: Kind, at: str, also: str) -> float:
        limits = kind.limits or Between(float("-inf"), float("inf"))
        sort = "a whole number" if kind.type is int else "a number"
        told = (
            ""
            if kind.limits is None
            else f" from {_short(limits.least)} to {_short(limits.greatest)}"
        )
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (kind.type is int and not isinstance(value, int)):
            raise self._wrong(at, f"{sort}{told}{also}", value)
        assert isinstance(value, int | float)
        if not limits.least <= value <= limits.greatest:  # NaN is nowhere
            raise self._wrong(at, f"{sort}{told}{also}", value)
        return value if kind.type is int else float(value)

    def _wrong(self, at: str, allowed: str, value: object) -> ConfigError:
        shown = repr(value) if isinstance(value, bool | int | float | str) else _sort(value)
        if len(shown) > 60 or any(word in at for word in _SECRETS):
            shown = f"that is {_sort(value)}"
        return ConfigError(f"{self._path}: {at or 'the file'} must be {allowed}, not {shown}")

    def _unknown(self, at: str, name: str, known: Mapping[str, object]) -> ConfigError:
        if any(word in name.casefold() for word in _SECRETS):
            return ConfigError(
                f"{self._path}: {at} would be a secret, and secrets do not belong in this file",
                remedy="docs/device.md says where credentials go",
            )
        import difflib  # for a mistake only

        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        meant = f"; is {near[0]!r} meant?" if near else f"; known are {', '.join(sorted(known))}"
        return ConfigError(f"{self._path}: {at} is not known{meant}")


def spelled(value: object) -> str:
    """A default or an enum's value as the file has it."""
    if isinstance(value, Enum):
        word = value.value if isinstance(value.value, str) else value.name
        return word.casefold().replace("_", "-")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _kind(hint: Any) -> Kind:
    limits = word = name = None
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        inner = _kind(hint)
        hint, limits, word, name = inner.type, inner.limits, inner.word, inner.name
        for mark in marks:
            limits = mark if isinstance(mark, Between) else limits
            word = mark.text if isinstance(mark, Word) else word
            name = mark.name if isinstance(mark, Key) else name
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (one for one in get_args(hint) if one is not type(None))
        word = word or "none"
    return Kind(hint, limits, word, name)


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _sort(value: object) -> str:
    names = {dict: "a table", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "a date")
