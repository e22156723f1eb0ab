"""The parameters of one request, read as leniently as ArcGIS Server reads them.

Names match in any case, an empty value is an absent one, JSON may be written with single
quotes, lists may come as JSON, as comma text or as repeated fields, booleans as `True` or `1`.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .guid import canonical
from .problem import invalid_parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """A file part of a multipart request, kept on disk until the request is answered."""

    filename: str
    content_type: str
    path: Path


_WORDS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\b(true|false|null)\b")
_PYTHON = {"true": "True", "false": "False", "null": "None"}


def _python_word(found: re.Match[str]) -> str:
    word = found.group(1)
    return _PYTHON[word] if word else found.group(0)


def lenient_json(text: str) -> Any:
    """JSON, or the same with single quotes; ValueError when it is neither."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(_WORDS.sub(_python_word, text.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError("neither JSON nor single-quoted JSON") from error


class Parameters:
    """Case-blind access to the fields of a query string and a form."""

    def __init__(
        self,
        fields: Iterable[tuple[str, str]],
        files: Sequence[tuple[str, SentFile]] = (),
    ) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            if value.strip():
                self._values.setdefault(name.strip().lower(), []).append(value)
        self._files = {name.strip().lower(): sent for name, sent in files}

    def with_fields(self, fields: Mapping[str, str]) -> "Parameters":
        """The same parameters with some values replaced."""
        changed = Parameters(())
        changed._values = {**self._values, **{name.lower(): [v] for name, v in fields.items()}}
        changed._files = self._files
        return changed

    def has(self, *names: str) -> bool:
        """Whether any of these parameters was given a value."""
        return any(name.lower() in self._values for name in names)

    def text(self, name: str, default: str = "") -> str:
        """The value as text, without the blanks around it."""
        values = self._values.get(name.lower())
        return values[0].strip() if values else default

    def any_text(self, *names: str) -> str:
        """The value of the first of these names that has one."""
        return next((self.text(name) for name in names if self.has(name)), "")

    def flag(self, name: str, default: bool = False) -> bool:
        """The value as a boolean."""
        word = self.text(name).lower()
        return word in ("true", "1", "yes", "on") if word else default

    def integer(self, name: str) -> int | None:
        """The value as an integer, None when absent."""
        text = self.text(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise invalid_parameter(name, f"'{text}' is not an integer") from None

    def word(self, name: str, allowed: Sequence[str], default: str) -> str:
        """The value as one of the allowed words, matched in any case."""
        text = self.text(name)
        if not text:
            return default
        for word in allowed:
            if word.lower() == text.lower():
                return word
        raise invalid_parameter(name, f"'{text}' is none of {', '.join(allowed)}")

    def json(self, name: str) -> Any:
        """The value parsed as JSON, None when absent."""
        text = self.text(name)
        if not text:
            return None
        try:
            return lenient_json(text)
        except ValueError:
            raise invalid_parameter(name, "the value is not JSON") from None

    def json_or_text(self, name: str) -> Any:
        """The value parsed when it looks like JSON, else as text; None when absent."""
        text = self.text(name)
        return self.json(name) if text.startswith(("{", "[")) else text or None

    def json_list(self, name: str) -> list[Any]:
        """The value parsed as a JSON list; a single object counts as a list of one."""
        value = self.json(name)
        if value is None:
            return []
        if isinstance(value, dict):
            return [value]
        if not isinstance(value, list):
            raise invalid_parameter(name, "the value is not a JSON list")
        return value

    def items(self, name: str) -> list[str]:
        """A list given as JSON, as comma text or as repeated fields, as texts."""
        found: list[str] = []
        for value in self._values.get(name.lower(), []):
            value = value.strip()
            if value.startswith("["):
                try:
                    parts = lenient_json(value)
                except ValueError:
                    raise invalid_parameter(name, "the value is not a JSON list") from None
                found += [str(part).strip() for part in parts]
            else:
                found += [part.strip().strip("'\"") for part in value.split(",")]
        return [part for part in found if part]

    def integers(self, name: str) -> list[int]:
        """A list of integers in any of the accepted forms."""
        items = self.items(name)
        try:
            return [int(item) for item in items]
        except ValueError:
            raise invalid_parameter(name, f"'{','.join(items)}' holds a non-integer") from None

    def guids(self, name: str) -> list[str]:
        """A list of GUIDs in any of the accepted forms and spellings."""
        found = []
        for item in self.items(name):
            guid = canonical(item)
            if guid is None:
                raise invalid_parameter(name, f"'{item}' is not a GlobalID")
            found.append(guid)
        return found

    def file(self, name: str) -> SentFile | None:
        """The file part of that name."""
        return self._files.get(name.lower())

    def files(self) -> list[SentFile]:
        """Every file part of the request."""
        return list(self._files.values())
