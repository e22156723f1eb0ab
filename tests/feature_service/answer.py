"""Answers: JSON, HTML or bytes, and how they are put on the wire."""

import html
import json
import zlib
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CHUNK = 1 << 16
_WORTH_PACKING = 200
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back; a file is read while it is sent, and removed after if it is passing.

    What has an ``etag`` may be asked for in part; then ``first_byte`` is where the part begins, and
    ``part_bytes`` how much it has if it does not go to the end.
    """

    content: bytes | Path
    content_type: str
    status: int = 200
    is_passing: bool = False
    etag: str = ""
    first_byte: int = 0
    part_bytes: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        if isinstance(self.content, bytes):
            rest = len(self.content) - self.first_byte
        else:
            rest = self.content.stat().st_size - self.first_byte
        return rest if self.part_bytes is None else min(rest, self.part_bytes)

    def is_packed_for(self, accept_encoding: str) -> bool:
        """Whether it goes out as gzip to a client that accepts this."""
        return "gzip" in accept_encoding.lower() and self.size_bytes > _WORTH_PACKING

    def chunks(self, *, packed: bool) -> Generator[bytes, None, None]:
        """The bytes of the body, piece by piece."""
        if not packed:
            yield from self._plain()
            return
        packer = zlib.compressobj(wbits=_GZIP)
        for chunk in self._plain():
            piece = packer.compress(chunk)
            if piece:
                yield piece
        yield packer.flush()

    def _plain(self) -> Generator[bytes, None, None]:
        end = self.first_byte + self.size_bytes
        if isinstance(self.content, bytes):
            for start in range(self.first_byte, end, _CHUNK):
                yield self.content[start : min(start + _CHUNK, end)]
            return
        with self.content.open("rb") as file:
            file.seek(self.first_byte)
            left = end - self.first_byte
            while chunk := file.read(min(_CHUNK, left)):
                left -= len(chunk)
                yield chunk


def document(value: Any, form: str, *, title: str = "ArcGIS REST Services Directory") -> Answer:
    """A JSON answer, or the page a browser sees when `f` is html."""
    if form in ("json", "geojson"):
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return Answer(content=text.encode(), content_type="application/json; charset=utf-8")
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if form == "pjson":
        return Answer(content=text.encode(), content_type="application/json; charset=utf-8")
    page = (
        f"<!DOCTYPE html><html><head><title>{html.escape(title)}</title></head>"
        f"<body><h2>{html.escape(title)}</h2><pre>{html.escape(text)}</pre></body></html>"
    )
    return Answer(content=page.encode(), content_type="text/html; charset=utf-8")
