"""What an ArcGIS server answers, checked: HTTP status, content coding, JSON, error objects.

Every application error of ArcGIS comes with HTTP status 200 and an ``error`` object in the body
(ArcGIS REST API, "Handling errors"), so an answer is only believed when it is JSON without one.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import (
    AuthenticationError,
    CaptivePortalError,
    LinkError,
    PermissionDeniedError,
    ProtocolError,
    ServiceBusyError,
    ServiceRefusedError,
    WebPageError,
    service_error,
)
from engine.layer_schema import JsonObject

SMALL_ERROR_BYTES = 4096
"""No error object is larger."""

INFLATED_CHUNK_BYTES = 64 * 1024  # a few bytes of gzip may hold gigabytes: never inflated at once

_BUSY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_NOT_THERE = frozenset({404, 405, 410, 501})
# A code of 500 inside an error object is the server's word for many a bad request.
_BUSY_CODES = frozenset({429, 502, 503, 504})
_FAILURES = frozenset({"failure", "failed", "error"})
_AUTO_WBITS = 32 + zlib.MAX_WBITS  # gzip or zlib, told by the first bytes


def place(url: str) -> str:
    """``url`` for a message: without user, query and fragment, where secrets might stand."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def check_status(
    status: int, headers: Mapping[str, str], where: str, now: datetime, *, is_operation: bool
) -> None:
    """Raise what an HTTP status of 400 and above means.

    An operation that is not there was not refused: what was sent to it has no part in that.
    """
    if status in _BUSY_STATUS:
        raise ServiceBusyError(
            f"{where} is busy (HTTP {status})",
            retry_after_s=_retry_after(headers, now),
            host=urlsplit(where).netloc,
        )
    if status == 511:
        raise CaptivePortalError(f"the network wants a sign-in before {where} (HTTP 511)")
    if status in (401, 407):
        raise AuthenticationError(f"{where} wants credentials (HTTP {status})", service_code=status)
    if status == 403:
        raise PermissionDeniedError(f"{where} refused (HTTP 403)", service_code=status)
    if is_operation and status in _NOT_THERE:
        raise ProtocolError(f"{where} is not there (HTTP {status})")
    if status >= 400:
        raise ServiceRefusedError(f"{where} answered with HTTP {status}", service_code=status)


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, from a number or a date (RFC 9110, 10.2.3).

    A date counts from the server's own ``Date``: the clock of the device may be wrong by years.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until = http_date(text)
    if until is None:
        return None
    return max(0.0, (until - (http_date(headers.get("Date", "")) or now)).total_seconds())


def http_date(text: str) -> datetime | None:
    """A date in a header (RFC 9110, 5.6.7); None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Inflater:
    """Takes the content coding off a body. ``coding`` is the header ``Content-Encoding``."""

    def __init__(self, coding: str, where: str) -> None:
        coding = coding.strip().casefold()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise ProtocolError(f"{where} answered in the unknown coding {coding!r}")
        self._where = where
        self._stream = None if coding in ("", "identity") else zlib.decompressobj(_AUTO_WBITS)
        self._is_fresh = True
        self.is_plain = self._stream is None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The plain bytes that ``chunk`` adds, in pieces of bounded size."""
        if self._stream is None:
            yield chunk
            return
        while chunk:
            if self._stream.eof:  # another gzip member follows
                self._stream = zlib.decompressobj(_AUTO_WBITS)
            self._is_fresh = False
            try:
                plain = self._stream.decompress(chunk, INFLATED_CHUNK_BYTES)
            except zlib.error as error:
                raise ProtocolError(f"{self._where} answered with broken gzip: {error}") from None
            chunk = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if plain:
                yield plain

    def finish(self) -> None:
        """:exc:`LinkError` if the compressed body was cut off."""
        if self._stream is not None and not self._is_fresh and not self._stream.eof:
            raise LinkError(f"the answer of {self._where} was cut off")


def json_object(body: bytes, url: str) -> JsonObject:
    """The object in a body; a bare list (replicas, edit results) becomes ``{"": list}``.

    Does not look for an error in it; see :func:`raise_error_in`.
    """
    where = place(url)
    try:
        value = json.loads(body)
    except RecursionError:
        raise ProtocolError(f"{where} answered with JSON that is nested too deep") from None
    except ValueError:
        if body.lstrip()[:1] == b"<":
            is_verified = where.startswith("https:")
            raise WebPageError(
                f"{where} answered with a web page", is_verified=is_verified
            ) from None
        kind = "something that is not JSON" if body.strip() else "nothing"
        raise ProtocolError(f"{where} answered with {kind}") from None
    if isinstance(value, list):
        return {"": value}
    if not isinstance(value, dict):
        raise ProtocolError(f"{where} answered with a bare {_JSON_NAMES[type(value)]}")
    return value


_JSON_NAMES: dict[type, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true or false",
    type(None): "null",
}


def raise_error_in(value: JsonObject, where: str) -> None:
    """Raise the service's own error if ``value`` carries one in any of its known shapes."""
    error = value.get("error")
    if isinstance(error, str) and error:
        error = {**value, "message": value.get("message") or error}
    if isinstance(error, dict):
        raise _refusal(error, where)
    if str(value.get("status", "")).casefold() in _FAILURES and (
        "message" in value or "statusMessage" in value
    ):
        raise _refusal(_status_message(value), where)
    if value.get("success") is False and "item" not in value:
        raise _refusal({"message": "the operation did not succeed"}, where)


def check_is_no_error(content: bytes, where: str) -> None:
    """Raise the service's own error if it came as the content of a file, with HTTP status 200."""
    if content.lstrip()[:1] == b"{":
        with suppress(ProtocolError):  # a file that only begins like one
            raise_error_in(json_object(content, where), where)


def check_file_is_no_error(path: Path, where: str) -> None:
    """The same of a file; what is larger than ``SMALL_ERROR_BYTES`` is no error."""
    if path.stat().st_size <= SMALL_ERROR_BYTES:
        check_is_no_error(path.read_bytes(), where)


def _status_message(value: JsonObject) -> JsonObject:
    """The error object of ``{"status": "failed", "statusMessage": …}``; that may hold JSON text."""
    text = value.get("statusMessage")
    try:
        inner = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        inner = None
    if isinstance(inner, dict):
        nested = inner.get("error")
        return nested if isinstance(nested, dict) else inner
    return {"message": text, **value}


def _refusal(error: JsonObject, where: str) -> Exception:
    """As :func:`service_error`; a throttled request was not decided against us."""
    refused = service_error(error, where)
    if refused.service_code in _BUSY_CODES:
        return ServiceBusyError(refused.message)
    return refused
