"""Reading JSON text of any size through a window: values one at a time, structure by hand."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import ProtocolError

WINDOW_BYTES = 64 * 1024
MAX_VALUE_CHARS = 64 * 1024 * 1024  # one feature; a longer one is hostile or broken

_SPACE = re.compile(r"[ \t\n\r]*")
# No token but a string goes on for longer than this behind the place where an error is seen, so an
# error farther from the window's edge is one of the text, and not of what is not read yet.
_TOKEN_CHARS = 16
# "1", "1.", "1e" and "1e+" are how a number ends that goes on behind the window's edge.
_NUMBER_TAIL = 3


class JsonWindow:
    """A cursor over the JSON text of a file, of which only a window is in memory.

    Everything that is wrong with the text is a :exc:`ProtocolError` that says where.
    """

    def __init__(
        self,
        path: Path,
        *,
        window_bytes: int = WINDOW_BYTES,
        max_value_chars: int = MAX_VALUE_CHARS,
    ) -> None:
        self._path = path
        self._window_bytes = window_bytes
        self._max_value_chars = max_value_chars
        self._stream = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by __exit__)
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("strict").decode
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._dropped = 0
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    @property
    def position(self) -> int:
        """How many characters were consumed."""
        return self._dropped + self._at

    def error(self, what: str, at: int | None = None) -> ProtocolError:
        """The error to raise for what is wrong at the cursor, or at ``at`` in the window."""
        where = self._dropped + (self._at if at is None else at)
        return ProtocolError(f"the result file {self._path.name}: {what} at character {where}")

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> str:
        """Step over the next character, which must be one of ``expected``."""
        character = self.peek()
        if not character or character not in expected:
            found = repr(character) if character else "the end of the file"
            raise self.error(f"{found} where one of {expected!r} must be")
        self._at += 1
        return character

    def value(self) -> object:
        """The next whole value."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated string") or (
                    error.pos + _TOKEN_CHARS >= len(self._text)
                )
                if self._ended or not is_cut:
                    raise self.error(f"no JSON value ({error.msg})", error.pos) from None
            except ValueError as error:  # a number of thousands of digits
                raise self.error(f"no JSON value ({error})") from None
            except RecursionError:
                raise self.error("a value is nested too deep") from None
            else:
                if self._ended or end + _NUMBER_TAIL < len(self._text):
                    self._at = end
                    return value
            if len(self._text) - self._at > self._max_value_chars:
                raise self.error("a value is too long")
            self._more()

    def members(self) -> Iterator[str]:
        """Names of the object that begins here; the caller consumes each value.

        A name that comes twice (in any letter case) is an error: what it means is anybody's guess.
        """
        seen: set[str] = set()
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            if self.peek() != '"':
                raise self.error("a member without a name")
            name = str(self.value())
            if name.casefold() in seen:
                raise self.error(f"the member {name[:60]!r} comes twice")
            seen.add(name.casefold())
            self.take(":")
            yield name
            if self.take(",}") == "}":
                return

    def items(self) -> Iterator[None]:
        """Once for each item of the array that begins here; the caller consumes it.

        ``null`` in place of an array is an empty one.
        """
        if self.peek() == "n":
            if self.value() is not None:
                raise self.error("no array")
            return
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield
            if self.take(",]") == "]":
                return

    def _more(self) -> bool:
        """Read on; what is before the cursor is forgotten. False at the end of the file."""
        if self._ended:
            return False
        rest = len(self._text) - self._at
        chunk = self._stream.read(max(self._window_bytes, rest))  # doubled for a long value
        try:
            text = self._decode(chunk, final=not chunk)
        except UnicodeDecodeError:
            raise self.error("text that is not UTF-8", len(self._text)) from None
        self._text = self._text[self._at :] + text
        self._dropped += self._at
        self._at = 0
        self._ended = not chunk
        return True
