"""HTTP with an ArcGIS server: requests with a deadline, answers that are checked, errors that say.

Only requests that may safely be repeated are retried. A time limit counts from the last byte that
moved, never the whole: on a thin link a transfer may take hours.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import aiohttp
from yarl import URL

from engine.atomic import disk_errors
from engine.clock import Clock, SystemClock
from engine.errors import (
    AuthenticationError,
    CaptivePortalError,
    EngineError,
    LinkError,
    ProtocolError,
    ServiceRefusedError,
    TransientError,
    UntrustedCertificateError,
    WebPageError,
)
from engine.layer_schema import JsonObject
from engine.service.answer import (
    check_status,
    http_date,
    json_object,
    place,
    raise_error_in,
)
from engine.service.backoff import pause_s
from engine.service.exchange import Exchange, Limit, Receiver, save
from engine.service.form_body import FormBody, UrlEncodedBody, plain_body
from engine.service.hosts import is_same_host
from engine.service.job_watch import JobWatch
from engine.service.link import link_error, redirect_target, request_url
from engine.service.service_time import ServiceTime
from engine.service.sign_in import (
    Credentials,
    SignIn,
    SignInRefusedError,
    headers,
)
from engine.service.trust import tls_context

T = TypeVar("T")
Form = Mapping[str, str]
Check = Callable[[JsonObject, str], None]

CONNECT_TIMEOUT_S = 30.0
STALL_TIMEOUT_S = 60.0  # no byte moved for so long
ANSWER_TIMEOUT_S = 600.0
"""Until an operation that may be long begins to answer: as long as ArcGIS Server lets one run."""
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # a resource or an edit answer; data goes to files instead
MAX_REDIRECTS = 5
ATTEMPTS = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LASTING = (CaptivePortalError, UntrustedCertificateError)
"""Trying again later may succeed, but not in some seconds."""


R = TypeVar("R", bound=Receiver)


class Session:
    """A connection to one server, used for one run. An async context manager.

    ``sent_bytes`` and ``received_bytes`` count bodies as they are on the wire, also of requests
    that failed, for reports and budgets. ``watch`` is told of jobs of the service. Requests to the
    hosts that ``credential`` is for carry its token; one that a service refuses is renewed, and the
    request is made once more: the service did not take it.
    """

    def __init__(
        self,
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        watch: JobWatch | None = None,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._random = rng or random.Random()
        self.watch = watch or JobWatch()
        self._http: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._sign_in = SignIn(credential, self)
        self.stall_timeout_s = stall_timeout_s
        self.answer_timeout_s = answer_timeout_s
        self.sent_bytes = 0
        self.received_bytes = 0
        self.service_time: ServiceTime | None = None
        """What the last answer said over TLS that was verified."""
        self.clock_skew: timedelta | None = None
        """How far the date of the last answer was ahead of our clock. Anybody on the way can write
        it over plain HTTP, so it tells whether both agree, and not what time it is."""

    @property
    def clock(self) -> Clock:
        return self._clock

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=2),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            # Inflated here: only so is it noticed that a compressed body was cut, and counted
            # what was received.
            auto_decompress=False,
            headers={"User-Agent": "fieldsync", "Accept-Encoding": "gzip"},
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
            self._http = self._tls = None

    async def get(
        self,
        url: str,
        parameters: Form | None = None,
        *,
        check: Check = raise_error_in,
        is_file: bool = False,
    ) -> JsonObject:
        """The JSON object at ``url`` (``f=json`` is added). Repeated on passing failures.

        ``check`` raises if the object, which came from the place it is told, is an error. With
        ``is_file`` the URL, which may be signed, stays as it is.
        """

        async def attempt() -> JsonObject:
            more = None if is_file else {**(parameters or {}), "f": "json"}
            target = request_url(url, more)
            async with self._get(target) as exchange:
                return await self._json(exchange, check)

        return await self._retry(url, attempt)

    async def post(
        self, url: str, form: Form, *, repeatable: bool = False, is_long: bool = False
    ) -> JsonObject:
        """Post a form and read a JSON object. Retried only if ``repeatable``.

        ``is_long``: the operation may take its time before it answers.
        """
        answer_s = self.answer_timeout_s if is_long else self.stall_timeout_s

        async def attempt() -> JsonObject:
            body = self._form(form)
            async with self._post(url, body, answer_s=answer_s) as exchange:
                return await self._json(exchange)

        return await (self._retry if repeatable else self._signed)(url, attempt)

    async def post_file(
        self,
        url: str,
        form: Form,
        field: str,
        content: Path,
        *,
        filename: str = "",
        span: tuple[int, int] | None = None,
    ) -> JsonObject:
        """Post a form one of whose fields is read from a file as it is sent. Never retried.

        ``filename`` makes it a file of that name to the server; ``span`` (offset, size) sends that
        part of it.
        """
        with disk_errors(content):
            stream = open(content, "rb")  # noqa: SIM115 (closed below, where errors differ)
            offset, size = span or (0, content.stat().st_size)

        async def attempt() -> JsonObject:
            stream.seek(offset)
            body = self._form(form, field=field, filename=filename, stream=stream, size=size)
            async with self._post(url, body, answer_s=self.answer_timeout_s) as exchange:
                return await self._json(exchange)

        with stream:
            return await self._signed(url, attempt)

    async def post_to_file(
        self, url: str, form: Form, target: Path, *, repeatable: bool = False
    ) -> None:
        """Post a form and keep the answer's body in ``target``. Retried only if ``repeatable``."""

        async def attempt() -> None:
            body = self._form(form)
            async with self._post(url, body, answer_s=self.answer_timeout_s) as exchange:
                await save(exchange, target)

        await (self._retry if repeatable else self._signed)(url, attempt)

    async def post_into(
        self, url: str, form: Form, make: Callable[[], R], *, repeatable: bool = False
    ) -> R:
        """Post a form and feed a receiver, a new one each time, with the answer's body."""

        async def attempt() -> R:
            receiver = make()
            body = self._form(form)
            async with self._post(url, body, answer_s=self.stall_timeout_s) as exchange:
                while chunk := await exchange.read():
                    if not await asyncio.to_thread(receiver.feed, chunk):
                        return receiver
            await asyncio.to_thread(receiver.finish)
            return receiver

        return await (self._retry if repeatable else self._signed)(url, attempt)

    def opened(self, url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Exchange]:
        """The answer to a GET, from wherever that redirects to; a context manager."""
        return self._get(request_url(url), wanted=headers)

    async def ask(self, url: str, form: Form | None = None) -> tuple[JsonObject, datetime | None]:
        """As :meth:`get` and :meth:`post`, without a token and not as multipart: for signing in.

        Also gives the time that the server has. Repeated on passing failures.
        """

        async def attempt() -> tuple[JsonObject, datetime | None]:
            if form is None:
                opened = self._get(request_url(url, {"f": "json"}), with_token=False)
            else:
                body = UrlEncodedBody({**form, "f": "json"})
                opened = self._post(url, body, answer_s=self.stall_timeout_s, with_token=False)
            async with opened as exchange:
                now = http_date(exchange.answer.headers.get("Date", ""))
                return await self._json(exchange), now

        return await self._repeat(attempt)

    async def pause(self, number: int, error: Exception) -> None:
        """Wait after failure ``number`` of something that is to be tried again; see ``backoff``."""
        await self._clock.sleep(pause_s(self._random, number, error, self._clock.now()))

    async def repeat(
        self, url: str, attempt: Callable[[], Awaitable[T]], progress: Callable[[], int]
    ) -> T:
        """Make an attempt again as long as it fails in passing and ``progress`` grows, or a few
        times while it does not."""
        return await self._repeat(lambda: self._signed(url, attempt), progress)

    def _compare_clocks(self, date: str) -> None:
        moment = http_date(date)
        if moment is not None:
            self.clock_skew = moment - self._clock.now()

    # --- inside --------------------------------------------------------------------------------

    @asynccontextmanager
    async def _get(
        self, url: URL, *, wanted: Mapping[str, str] | None = None, with_token: bool = True
    ) -> AsyncIterator[Exchange]:
        """Follow redirects by hand: result files may lie on another host, but never less safe.

        No other host than the one that was asked gets the token.
        """
        where, first = place(str(url)), str(url)
        for _ in range(MAX_REDIRECTS + 1):
            is_there = is_same_host(first, str(url))
            async with self._request(
                "GET", url, wanted=wanted, with_token=with_token and is_there
            ) as exchange:
                if exchange.answer.status not in _REDIRECTS:
                    exchange.asked, exchange.is_elsewhere = where, not is_there
                    yield exchange
                    return
                url = request_url(redirect_target(exchange.answer, url))
        raise ProtocolError(f"{where} redirects more than {MAX_REDIRECTS} times")

    @asynccontextmanager
    async def _post(
        self, url: str, body: FormBody, *, answer_s: float, with_token: bool = True
    ) -> AsyncIterator[Exchange]:
        target = request_url(url)
        async with self._request(
            "POST", target, body, answer_s=answer_s, with_token=with_token
        ) as exchange:
            if exchange.answer.status in _REDIRECTS:
                there = place(redirect_target(exchange.answer, target))
                raise ProtocolError(
                    f"{exchange.where} redirects a POST to {there}",
                    remedy="Give the URL that it redirects to, for a map with `fieldsync relocate`;"
                    " what was sent was not taken",
                )
            yield exchange

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: URL,
        body: FormBody | None = None,
        *,
        answer_s: float = 0,
        wanted: Mapping[str, str] | None = None,
        with_token: bool = True,
    ) -> AsyncIterator[Exchange]:
        assert self._http is not None, "the session is used outside its context"
        where = place(str(url))
        token = headers(await self._sign_in.grant(str(url)) if with_token else None)
        try:
            async with asyncio.timeout(self.stall_timeout_s) as timeout:
                limit = Limit(timeout)
                if body is not None:
                    body.on_sent = self._progress(limit, answer_s)
                async with self._http.request(
                    method,
                    url,
                    data=body,
                    headers={**(wanted or {}), **({} if body is None else body.headers), **token},
                    allow_redirects=False,
                    ssl=self._trust(url),
                ) as answer:
                    limit.put_off(None)
                    now = self._clock.monotonic()
                    told = ServiceTime.of(answer.url.scheme, answer.headers, now)
                    self.service_time = told or self.service_time
                    self._compare_clocks(answer.headers.get("Date", ""))
                    if answer.status not in _REDIRECTS:
                        check_status(
                            answer.status,
                            answer.headers,
                            where,
                            self._clock.now(),
                            is_operation=method == "POST",
                        )
                    try:
                        yield Exchange(answer, limit, where, self._count, self.stall_timeout_s)
                    finally:
                        limit.is_over = True
        except aiohttp.ServerTimeoutError as error:
            raise LinkError(f"cannot connect to {where}: it does not answer") from error
        except TimeoutError as error:
            raise LinkError(f"{where} stopped answering") from error
        except (aiohttp.ClientError, ConnectionError, UnicodeError) as error:
            if body is not None and body.error is not None:
                raise EngineError(f"cannot read what is to be sent: {body.error}") from error
            raise link_error(error, where) from error

    def _trust(self, url: URL) -> ssl.SSLContext | bool:
        """What vouches for the server; read at the first request over TLS. False: it is http."""
        if url.scheme == "http":
            return False
        self._tls = self._tls or tls_context()
        return self._tls

    def _progress(self, limit: Limit, answer_s: float) -> Callable[[int, bool], None]:
        """What to do for each piece of a body that was sent: count it, and put off the limit."""

        def sent(length: int, is_all: bool) -> None:
            self.sent_bytes += length
            limit.put_off(answer_s if is_all else self.stall_timeout_s)

        return sent

    def _count(self, length: int) -> None:
        self.received_bytes += length

    def _form(
        self,
        form: Form,
        *,
        field: str = "",
        filename: str = "",
        stream: BinaryIO | None = None,
        size: int = 0,
    ) -> FormBody:
        boundary = f"fieldsync-{self._random.getrandbits(128):032x}"
        whole = {**form, "f": "json"}
        if stream is None:
            return plain_body(whole, boundary)
        return FormBody(whole, boundary, field=field, filename=filename, stream=stream, size=size)

    async def _json(self, exchange: Exchange, check: Check = raise_error_in) -> JsonObject:
        body = bytearray()
        while chunk := await exchange.read():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ProtocolError(
                    f"{exchange.where} answered with more than {MAX_ANSWER_BYTES} bytes"
                )
        try:
            value = json_object(bytes(body), exchange.where)
        except WebPageError:
            if exchange.is_elsewhere:
                raise CaptivePortalError(
                    f"{exchange.asked} redirects to the web page {exchange.where}"
                ) from None
            raise
        check(value, exchange.where)
        return value

    async def _signed(self, url: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """One attempt, and once more with a new token if the service refuses the one it had."""
        refused = await self._sign_in.grant(str(request_url(url)))
        try:
            try:
                return await attempt()
            except SignInRefusedError:
                raise
            except AuthenticationError:
                if not self._sign_in.give_up(url, refused):
                    raise
            return await attempt()
        except AuthenticationError as error:
            raise self._sign_in.explained(url, refused, error) from None
        except ServiceRefusedError as error:
            self._sign_in.hide_secrets(error)
            raise

    async def _retry(self, url: str, attempt: Callable[[], Awaitable[T]]) -> T:
        return await self._repeat(lambda: self._signed(url, attempt))

    async def _repeat(
        self, attempt: Callable[[], Awaitable[T]], progress: Callable[[], int] = lambda: 0
    ) -> T:
        number, reached = 0, progress()
        while True:
            try:
                return await attempt()
            except _LASTING:
                raise
            except TransientError as error:
                if progress() > reached:
                    number, reached = 0, progress()
                number += 1
                if number == ATTEMPTS:
                    raise
                await self.pause(number, error)
