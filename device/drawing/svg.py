"""Writing SVG 1.1 as a stream: elements, numbers, and text that is safe wherever it comes from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

MAGIC = "<!-- drawn by fieldsync -->"
"""Stands in the second line of each drawing, so that one knows which files may be replaced."""

_PROLOGUE = f'<?xml version="1.0" encoding="UTF-8"?>\n{MAGIC}\n'
_ENOUGH = 64 * 1024

Attributes = Mapping[str, object]
"""Text, or numbers of pixels."""


def number(value: float) -> str:
    """A length in pixels, to a hundredth, as short as it can be written."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def escaped(text: str) -> str:
    """``text`` for XML content and attributes; what XML 1.0 cannot hold becomes U+FFFD."""
    if text.isascii() and text.isprintable():
        kept = text
    else:
        kept = "".join(c if _is_xml(c) else "\N{REPLACEMENT CHARACTER}" for c in text)
    for special, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        kept = kept.replace(special, entity)
    return kept


def tag(name: str, attributes: Attributes | None = None, content: str | None = None) -> str:
    """An element. ``content`` is XML already; members with ``_`` are written with ``-``."""
    listed = "".join(
        f' {key.replace("_", "-")}="{_value(value)}"' for key, value in (attributes or {}).items()
    )
    return f"<{name}{listed}/>" if content is None else f"<{name}{listed}>{content}</{name}>"


class Svg:
    """A stream of elements. Little is held: what was written is gone to ``stream``."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held: list[str] = [_PROLOGUE]
        self._size = 0

    def write(self, xml: str) -> None:
        """Write elements that are XML already."""
        self._held.append(xml)
        self._size += len(xml)
        if self._size >= _ENOUGH:
            self.flush()

    def line(self, xml: str) -> None:
        """The same, with a line of its own."""
        self.write(f"{xml}\n")

    @contextmanager
    def inside(self, name: str, attributes: Attributes | None = None) -> Iterator[None]:
        """What is written in the block stands inside of that element."""
        self.line(tag(name, attributes, "").removesuffix(f"</{name}>"))
        yield
        self.line(f"</{name}>")

    def flush(self) -> None:
        """Hand on what is held."""
        self._stream.write("".join(self._held).encode())
        self._held.clear()
        self._size = 0


def _value(value: object) -> str:
    return number(value) if isinstance(value, int | float) else escaped(str(value))


def _is_xml(character: str) -> bool:
    """Whether XML 1.0 has it (section 2.2) and it is something to see.

    Marks that turn the direction of writing would turn what follows the text, too.
    """
    code = ord(character)
    is_control = code < 0x20 or 0x7F <= code <= 0x9F
    is_half = 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF)
    is_turn = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return not (is_control or is_half or is_turn)
