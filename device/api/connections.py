"""The connections of the socket: how many there may be, and how long one may take to ask.

Each carries one request. On a local socket a new connection costs nothing, and so no idle one has
to be kept, timed and woken for.
"""

import asyncio
import json
from collections.abc import Callable
from weakref import WeakSet

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from device.api.json_form import json_object
from device.api.limits import Limits
from device.api.problems import PROBLEM, BusyError, HttpError, problem
from engine import EngineError, TransientError

REFUSE_WITHIN_S = 0.2


class Connection(RequestHandler):
    """One connection. ``is_gone``: the caller has hung up; ``on_gone`` is called when it does.

    It is closed unless a whole request head comes within ``Limits.request_s``.
    """

    def __init__(self, gate: "Gate", limits: Limits) -> None:
        super().__init__(
            gate.server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # it may be: nothing is logged then
            tcp_keepalive=False,
            lingering_time=limits.linger_s,
            max_line_size=limits.line_bytes,
            max_field_size=limits.line_bytes,
            auto_decompress=False,  # small bodies only; none may grow
        )
        self.is_gone = False
        self.on_gone: Callable[[], None] | None = None
        self._gate = gate
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._deadline = asyncio.get_running_loop().call_later(
            self._limits.request_s, self.force_close
        )

    def connection_lost(self, exc: BaseException | None) -> None:
        self.request_came()
        self._gate.open.discard(self)
        self.is_gone = True
        if self.on_gone is not None:
            self.on_gone()
        super().connection_lost(exc)

    def request_came(self) -> None:
        """The head of the request is here: from now on its handler watches the time."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP."""
        if isinstance(exc, LineTooLong):
            error = HttpError(431, "the request line or a header is too long")
        elif status >= 500:
            error = HttpError(500, "the request could not be handled")
        else:
            error = HttpError(400, "this is no HTTP/1.1 request")
        response = problem_response(error, "")
        response.force_close()
        return response


def refusal(error: TransientError) -> bytes:
    """A whole answer, for whoever is not let in."""
    body = json.dumps(json_object(problem(error, ""))).encode()
    return (
        b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
        b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (PROBLEM.encode(), len(body)) + body
    )


class Refusal(asyncio.Protocol):
    """Says that there are too many connections already, and hangs up.

    It waits a moment for the request: many a client that finds the line closed while it writes does
    not read what was answered.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._deadline = asyncio.get_running_loop().call_later(self._wait_s, self._refuse)

    def data_received(self, _: bytes) -> None:
        self._refuse()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _refuse(self) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._transport.write(refusal(BusyError("too many connections are open already")))
        self._transport.close()


class Gate:
    """Lets in as many connections as there may be; called for each new one."""

    def __init__(self, server: web.Server, limits: Limits) -> None:
        self.server = server
        self.open: WeakSet[Connection] = WeakSet()
        self._refused: WeakSet[Refusal] = WeakSet()
        self._limits = limits

    def __call__(self) -> asyncio.Protocol:
        if len(self.open) >= self._limits.connections:
            is_flood = len(self._refused) >= self._limits.connections
            refusal = Refusal(0 if is_flood else REFUSE_WITHIN_S)
            self._refused.add(refusal)
            return refusal
        connection = Connection(self, self._limits)
        self.open.add(connection)
        return connection


def problem_response(error: EngineError, path: str) -> web.Response:
    """The error as an answer."""
    told = problem(error, path)
    return web.Response(
        status=told.status, body=json.dumps(json_object(told)).encode(), content_type=PROBLEM
    )
