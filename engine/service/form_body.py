"""A form as ``multipart/form-data`` (RFC 7578), made as it is sent, however large its file is.

Url-encoding would make JSON a third longer, but costs a small form less than the boundaries of its
parts. The length is known beforehand, because not every server in front of ArcGIS takes a chunked
request.
"""

from collections.abc import Callable, Mapping
from typing import BinaryIO, Self
from urllib.parse import urlencode

CHUNK_BYTES = 64 * 1024
_LITERAL = ",'()*:/"  # every decoder takes these as they are, and lists are full of them
_LINE_END = "\r\n"
_TEXT = "\r\nContent-Type: text/plain; charset=utf-8"


class FormBody:
    """An asynchronous iterator over the bytes of one body; it can be sent once.

    ``stream`` is read as the part named ``field``, ``size`` bytes from where it stands; with a
    ``filename`` it counts as a file.
    ``on_sent(length, is_all)``, if set, is called for each piece that the connection has taken.
    """

    def __init__(
        self,
        form: Mapping[str, str],
        boundary: str,
        *,
        field: str = "",
        filename: str = "",
        stream: BinaryIO | None = None,
        size: int = 0,
    ) -> None:
        mark = f"--{boundary}\r\n"
        head = "".join(
            f"{mark}{_head(name, value.isascii())}{value}\r\n" for name, value in form.items()
        )
        if stream is not None:
            head += f"{mark}{_file_head(field, filename) if filename else _head(field, False)}"
        self._head = head.encode()
        self._stream = stream
        self._left = size
        self._tail = f"{_LINE_END if stream else ''}--{boundary}--{_LINE_END}".encode()
        self.on_sent: Callable[[int, bool], None] = lambda length, is_all: None
        self._handed = 0
        self.length = len(self._head) + size + len(self._tail)
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(self.length),
        }
        self.error: OSError | None = None
        """Why the file could not be read; the connection only says that it broke."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        is_all = not (self._head or self._left or self._tail)
        if self._handed:  # asked for more, the connection has taken the piece before
            self.on_sent(self._handed, is_all)
        piece, self._head = self._head, b""
        if not piece and self._stream is not None and self._left:
            piece = self._read(self._stream)
        if not piece:
            piece, self._tail = self._tail, b""
        self._handed = len(piece)
        if not piece:
            raise StopAsyncIteration
        return piece

    def _read(self, stream: BinaryIO) -> bytes:
        try:
            piece = stream.read(min(CHUNK_BYTES, self._left))
            if not piece:
                raise OSError("the file became shorter while it was sent")
        except OSError as error:
            self.error = error
            raise
        self._left -= len(piece)
        return piece


class UrlEncodedBody(FormBody):
    """A small form as ``application/x-www-form-urlencoded``, which OAuth 2.0 (RFC 6749) wants."""

    def __init__(self, form: Mapping[str, str]) -> None:
        super().__init__({}, "")
        self._head, self._tail = urlencode(form, safe=_LITERAL).encode(), b""
        self.length = len(self._head)
        self.headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(self.length),
        }


def plain_body(form: Mapping[str, str], boundary: str) -> FormBody:
    """A form without a file, in the encoding in which it is shorter."""
    return min(FormBody(form, boundary), UrlEncodedBody(form), key=lambda body: body.length)


def _file_head(name: str, filename: str) -> str:
    where = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
    return f"{where}\r\nContent-Type: application/octet-stream\r\n\r\n"


def _head(name: str, is_plain: bool) -> str:
    return f'Content-Disposition: form-data; name="{name}"{"" if is_plain else _TEXT}\r\n\r\n'
