"""HTTP with an ArcGIS server: requests with a deadline, answers that are checked, errors that say.

Every application error of ArcGIS comes with HTTP status 200 and an ``error`` object in the body
(ArcGIS REST API, "Handling errors"), so an answer is only believed when it is a JSON object
without one. Only requests that may safely be repeated are retried.
"""

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import aiohttp

from engine.atomic import disk_errors
from engine.clock import Clock, SystemClock
from engine.errors import (
    AuthenticationError,
    LinkError,
    NotAFeatureServiceError,
    PermissionDeniedError,
    ProtocolError,
    ServiceBusyError,
    ServiceRefusedError,
    TransientError,
    service_error,
)
from engine.layer_schema import JsonObject

T = TypeVar("T")
Form = Mapping[str, str]

CONNECT_TIMEOUT_S = 30.0
STALL_TIMEOUT_S = 60.0  # no byte for so long; there is no limit on the whole of a slow transfer
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # a resource or an edit answer; data goes to files instead
ATTEMPTS = 5
BACKOFF_BASE_S = 0.5
BACKOFF_LIMIT_S = 30.0
CHUNK_BYTES = 64 * 1024

_BUSY = frozenset({429, 500, 502, 503, 504})


class Session:
    """A connection to one server, used for one run. An async context manager.

    ``sent_bytes`` and ``received_bytes`` count bodies, for reports and budgets.
    """

    def __init__(self, *, clock: Clock | None = None, rng: random.Random | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._random = rng or random.Random()
        self._http: aiohttp.ClientSession | None = None
        self.sent_bytes = 0
        self.received_bytes = 0

    @property
    def clock(self) -> Clock:
        return self._clock

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=2),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=STALL_TIMEOUT_S
            ),
            headers={"User-Agent": "fieldsync"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def get(self, url: str, parameters: Form | None = None) -> JsonObject:
        """The JSON object at ``url`` (``f=json`` is added). Repeated on passing failures."""

        async def attempt() -> JsonObject:
            async with self._request("GET", url, params={**(parameters or {}), "f": "json"}) as got:
                return _json_object(await self._body(got), url)

        return await self._retry(attempt)

    async def post(self, url: str, form: Form, *, repeatable: bool = False) -> JsonObject:
        """Post a form and read a JSON object. Retried only if ``repeatable``."""

        async def attempt() -> JsonObject:
            async with self._request("POST", url, data=_multipart(form)) as got:
                return _json_object(await self._body(got), url)

        return await (self._retry(attempt) if repeatable else attempt())

    async def post_file(self, url: str, form: Form, field: str, content: Path) -> JsonObject:
        """Post a form one of whose fields is read from a file as it is sent. Never retried."""
        with disk_errors(content), open(content, "rb") as stream:
            body = _multipart(form)
            part = body.append(stream)
            part.set_content_disposition("form-data", name=field)
            self.sent_bytes += content.stat().st_size
            async with self._request("POST", url, data=body) as got:
                return _json_object(await self._body(got), url)

    async def post_to_file(
        self, url: str, form: Form, target: Path, *, repeatable: bool = False
    ) -> None:
        """Post a form and keep the answer's body in ``target``. Retried only if ``repeatable``."""

        async def attempt() -> None:
            async with self._request("POST", url, data=_multipart(form)) as got:
                await self._save(got, target)

        await (self._retry(attempt) if repeatable else attempt())

    async def download(self, url: str, target: Path, parameters: Form | None = None) -> int:
        """Fetch ``url`` into ``target``; returns the size in bytes. Retried from the start."""

        async def attempt() -> int:
            async with self._request("GET", url, params=parameters or {}) as got:
                return await self._save(got, target)

        return await self._retry(attempt)

    # --- inside --------------------------------------------------------------------------------

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, **options: object
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._http is not None, "the session is used outside its context"
        where = place(url)
        data = options.get("data")
        if isinstance(data, aiohttp.MultipartWriter):
            self.sent_bytes += data.size or 0
        try:
            async with self._http.request(method, url, **options) as answer:  # type: ignore[arg-type]  # forwarded options
                _check_status(answer, where)
                yield answer
        except aiohttp.InvalidURL:
            raise NotAFeatureServiceError(f"{url!r} is not a URL") from None
        except aiohttp.ClientConnectorError as error:
            reason = error.os_error.strerror or str(error.os_error)
            raise LinkError(f"cannot connect to {where}: {reason}") from error
        except TimeoutError as error:
            raise LinkError(f"{where} stopped answering") from error
        except aiohttp.ClientError as error:
            text = str(error) or type(error).__name__
            raise LinkError(f"the connection to {where} broke: {text}") from error

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ProtocolError(
                    f"{place(str(answer.url))} answered with more than {MAX_ANSWER_BYTES} bytes"
                )
        self.received_bytes += len(body)
        return bytes(body)

    async def _save(self, answer: aiohttp.ClientResponse, target: Path) -> int:
        size = 0
        with disk_errors(target), open(target, "wb") as stream:
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                stream.write(chunk)
                size += len(chunk)
        self.received_bytes += size
        return size

    async def _retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for number in range(1, ATTEMPTS + 1):
            try:
                return await attempt()
            except TransientError as error:
                if number == ATTEMPTS:
                    raise
                # Full jitter keeps many devices from coming back in step after an outage.
                limit = min(BACKOFF_LIMIT_S, BACKOFF_BASE_S * 2**number)
                pause = self._random.uniform(0, limit)
                if isinstance(error, ServiceBusyError) and error.retry_after_s is not None:
                    pause = max(pause, error.retry_after_s)
                await self._clock.sleep(pause)
        raise AssertionError("unreachable")


def place(url: str) -> str:
    """``url`` for a message: without the query, where a token might stand."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _multipart(form: Form) -> aiohttp.MultipartWriter:
    """The form as ``multipart/form-data``: url-encoding makes JSON a third longer."""
    body = aiohttp.MultipartWriter("form-data")
    for name, value in {**form, "f": "json"}.items():
        part = body.append(value, {"Content-Type": "text/plain; charset=utf-8"})
        part.set_content_disposition("form-data", name=name)
    return body


def _check_status(answer: aiohttp.ClientResponse, where: str) -> None:
    status = answer.status
    if status in _BUSY:
        wait = answer.headers.get("Retry-After", "")
        raise ServiceBusyError(
            f"{where} is busy (HTTP {status})",
            retry_after_s=float(wait) if wait.isdigit() else None,
        )
    if status in (401, 407):
        raise AuthenticationError(f"{where} wants credentials (HTTP {status})", service_code=status)
    if status == 403:
        raise PermissionDeniedError(f"{where} refused (HTTP 403)", service_code=status)
    if status >= 400:
        raise ServiceRefusedError(f"{where} answered with HTTP {status}", service_code=status)


def _json_object(body: bytes, url: str) -> JsonObject:
    where = place(url)
    try:
        value = json.loads(body)
    except ValueError:
        kind = "a web page" if body.lstrip()[:1] == b"<" else "something that is not JSON"
        raise ProtocolError(f"{where} answered with {kind}") from None
    if isinstance(value, list):
        value = {"": value}  # the replicas resource and service-level edit answers are bare lists
    if not isinstance(value, dict):
        raise ProtocolError(f"{where} answered with a bare {type(value).__name__}")
    raise_error_in(value, where)
    return value


def raise_error_in(value: JsonObject, where: str) -> None:
    """Raise the service's own error if ``value`` carries one in any of its known shapes."""
    error = value.get("error")
    if isinstance(error, dict):
        raise service_error(error, where)
    if str(value.get("status", "")).casefold() in ("failure", "failed", "error") and (
        "message" in value or "statusMessage" in value
    ):
        raise service_error({"message": value.get("statusMessage"), **value}, where)
    if value.get("success") is False and "item" not in value:
        raise service_error({"message": "the operation did not succeed"}, where)
