"""A file as a web server gives it: whole, packed or in part, over connections that break.

Ranges are served as RFC 9110, 14, has them; what a careless server does instead is a switch.
"""

import asyncio
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.fakes.http_server import HttpServer, Request

DATE = "Wed, 01 May 2024 12:00:00 GMT"


@dataclass(slots=True, kw_only=True)
class FakeFile:
    """``content`` under a validator. ``cuts``: bytes of each body after which the connection
    breaks, one for each answer; then they come whole. ``packs``: compressed for who takes it.
    ``then``: content and tag after the first answer.
    """

    content: bytes
    etag: str = '"1"'
    last_modified: str = ""
    cuts: Sequence[int] = ()
    packs: bool = False
    knows_ranges: bool = True
    shifts_ranges: bool = False
    then: tuple[bytes, str] | None = None
    part_bytes: int = 0  # no more of a range than this is given at once
    asked: list[Request] = field(default_factory=list)

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.asked.append(request)
        cut = self.cuts[len(self.asked) - 1] if len(self.asked) <= len(self.cuts) else None
        status, headers, body = self._answer(request)
        if self.then is not None:
            self.content, self.etag = self.then
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + body[:cut])
        await writer.drain()

    def _answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        body, headers = self.content, {"ETag": self.etag, "Last-Modified": self.last_modified}
        headers |= {"Date": DATE, "Accept-Ranges": "bytes" if self.knows_ranges else ""}
        start = self._start(request)
        status = 200
        if start >= len(body) > 0 and start:
            status, headers["Content-Range"], body = 416, f"bytes */{len(body)}", b""
        elif start:
            end = min(len(body), start + self.part_bytes) if self.part_bytes else len(body)
            start += self.shifts_ranges
            status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{len(body)}"
            body = body[start:end]
        elif self.packs and "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, mtime=0), "gzip"
        return status, {**headers, "Content-Length": str(len(body))}, body

    def _start(self, request: Request) -> int:
        wanted = request.headers.get("range", "")
        if not self.knows_ranges or not wanted.startswith("bytes="):
            return 0
        if request.headers.get("if-range") not in (None, self.etag or self.last_modified):
            return 0
        return int(wanted[6:].split("-")[0])

    @property
    def ranges(self) -> list[int]:
        """Where each request wanted the file to begin."""
        return [int(r.headers.get("range", "bytes=0-")[6:].split("-")[0]) for r in self.asked]

    def server(self) -> HttpServer:
        return HttpServer(self)
