"""The HTTP server on the daemon's socket, made of the table of routes.

What a request has to pass on its way: a limited number of connections; a limited head and body; who
it comes from; parameters and a body that are understood to the last member. Then its handler runs,
and whatever goes wrong becomes one problem object.
"""

import asyncio
import json
import logging
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from device.api.access import Access, Peer, peer as peer_of
from device.api.appliance import Appliance, Caller
from device.api.connections import Connection, Gate, problem_response
from device.api.handlers import Call, Handlers
from device.api.json_form import as_json
from device.api.json_reading import BadRequestError, parse, read
from device.api.limits import Limits
from device.api.problems import BusyError, HttpError, NotAllowedError
from device.api.routes import ROUTES, Parameter, Route
from device.api.streams import Streams
from device.version import VERSION
from engine import Clock, EngineError, SystemClock

log = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[object]]
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(
    appliance: Appliance,
    *,
    clock: Clock | None = None,
    access: Access | None = None,
    limits: Limits | None = None,
    peer: Peer = peer_of,
) -> web.Application:
    """The application; :class:`ApiServer` serves it."""
    limits, access = limits or Limits(), access or Access()
    streams = Streams(appliance, clock or SystemClock(), limits)

    async def stop_streams(_: web.Application) -> None:
        streams.stop()

    app = web.Application(
        client_max_size=limits.body_bytes, middlewares=[_problems_told(limits.headers)]
    )
    app.on_shutdown.append(stop_streams)
    app.on_response_prepare.append(_say_who_answers)
    handlers = Handlers(appliance, streams, limits, VERSION)
    for route in ROUTES:
        handler: Handler = getattr(handlers, route.operation)
        door = _Door(route, handler, access, limits, peer)
        app.router.add_route(route.method, route.path, door.enter)
    return app


class ApiServer:
    """Serves the socket ``listening`` while the block lasts; an async context manager.

    The socket is closed at the end, its file is left to whoever made it. Streams are ended with a
    last line; other answers have ``Limits.stop_s``.
    """

    def __init__(
        self,
        appliance: Appliance,
        listening: socket.socket,
        *,
        clock: Clock | None = None,
        access: Access | None = None,
        limits: Limits | None = None,
        peer: Peer = peer_of,
    ) -> None:
        self._limits = limits or Limits()
        self._app = make_app(appliance, clock=clock, access=access, limits=self._limits, peer=peer)
        self._runner = web.AppRunner(self._app)
        self._listening = listening
        self._gate: Gate | None = None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        assert self._runner.server is not None
        self._gate = Gate(self._runner.server, self._limits)
        loop = asyncio.get_running_loop()
        if self._listening.family == socket.AF_UNIX:
            # Since Python 3.13 asyncio would remove the file, which may be systemd's.
            more: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
            self._server = await loop.create_unix_server(self._gate, sock=self._listening, **more)
        else:
            self._server = await loop.create_server(self._gate, sock=self._listening)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        assert self._runner.server is not None
        assert self._gate is not None
        self._server.close()
        try:
            await self._app.shutdown()
            await self._runner.server.shutdown(self._limits.stop_s)
            await self._runner.cleanup()
        finally:
            for connection in list(self._gate.open):  # if even this was cancelled
                connection.force_close()


class _Door:
    """What a request of one route has to pass before its handler runs."""

    def __init__(
        self, route: Route, handler: Handler, access: Access, limits: Limits, peer: Peer
    ) -> None:
        self._route = route
        self._handler = handler
        self._access = access
        self._limits = limits
        self._peer = peer

    async def enter(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        query = {p.name: _parameter(p, request) for p in self._route.query}
        call = Call(
            request=request,
            path=request.match_info,
            query={name: value for name, value in query.items() if value is not None},
            body=await self._body(request),
            caller=caller,
        )
        _refuse_unknown(self._route, request)
        if "events" in self._route.operation:  # as long as the caller listens
            return self._answer(await self._handler(call))
        try:
            async with asyncio.timeout(self._limits.answer_s):
                return self._answer(await self._handler(call))
        except TimeoutError:
            raise BusyError("the answer took too long to be made") from None

    def _caller(self, request: web.Request) -> Caller | None:
        """Who asks. :exc:`NotAllowedError` if they may not."""
        transport = request.transport
        connection = None if transport is None else transport.get_extra_info("socket")
        caller = None if connection is None else self._peer(connection)
        if self._route.changes and (caller is None or not self._access.may_change(caller)):
            who = "somebody" if caller is None else f"user {caller.uid} (process {caller.pid})"
            log.info("%s may not %s", who, self._route.operation)
            raise NotAllowedError(
                f"{who} may only read here",
                remedy="Do it as root, as the daemon's user, or as a member of the group that "
                "socket.group names in the configuration",
            )
        return caller

    async def _body(self, request: web.Request) -> object:
        """The body, read and checked; None if the route has none."""
        if self._route.body is None:
            if request.can_read_body:
                raise BadRequestError(f"{self._route.method} {request.path} takes no body")
            return None
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise HttpError(415, "the body is encoded", remedy="Send it as plain JSON")
        try:
            async with asyncio.timeout(self._limits.request_s):
                text = await request.read()
        except TimeoutError:
            raise HttpError(408, "the body did not come in time") from None
        if not text and not self._route.needs_body:
            return read(self._route.body, {})
        return read(self._route.body, parse(text))

    def _answer(self, result: object) -> web.StreamResponse:
        if isinstance(result, web.StreamResponse):
            return result
        body = json.dumps(as_json(result)).encode()
        return web.Response(body=body, content_type="application/json")


def _parameter(parameter: Parameter, request: web.Request) -> int | str | bool | None:
    """The parameter's value; its default if it is not given. :exc:`BadRequestError`."""
    name, schema = parameter.name, parameter.schema
    given = request.query.getall(name, [])
    if not given:
        default = schema.get("default")
        assert default is None or isinstance(default, int | str)
        return default
    if len(given) > 1:
        raise BadRequestError(f"{name} is given {len(given)} times")
    (text,) = given
    if schema["type"] == "boolean":
        if text not in ("true", "false"):
            raise BadRequestError(f"{name} must be true or false")
        return text == "true"
    if schema["type"] == "integer":
        low, high = schema["minimum"], schema["maximum"]
        assert isinstance(low, int)
        assert isinstance(high, int)
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise BadRequestError(f"{name} must be a whole number from {low} to {high}")
        return int(text)
    least, longest = schema.get("minLength", 0), schema["maxLength"]
    assert isinstance(least, int)
    assert isinstance(longest, int)
    if not least <= len(text) <= longest:
        raise BadRequestError(f"{name} must have {least} to {longest} characters")
    return text


def _refuse_unknown(route: Route, request: web.Request) -> None:
    known = {parameter.name for parameter in route.query}
    unknown = [name for name in request.query if name not in known]
    if unknown:
        told = ", ".join(sorted(known)) or "none"
        raise BadRequestError(
            f"the parameter {unknown[0][:60]!r} is unknown; those that are known: {told}"
        )


def _problems_told(most_headers: int) -> Any:
    """A middleware: whatever goes wrong becomes a problem object, and each connection is closed
    after its answer."""

    @web.middleware
    async def told(request: web.Request, handler: Next) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.request_came()
        try:
            if len(request.raw_headers) > most_headers:
                raise HttpError(431, f"there are more than {most_headers} headers")
            response = await handler(request)
        except web.HTTPException as refused:
            response = problem_response(_http_error(refused, request), request.path)
            if "Allow" in refused.headers:
                response.headers["Allow"] = refused.headers["Allow"]
        except EngineError as error:
            response = problem_response(error, request.path)
        except Exception as error:
            if not (connection.is_gone and isinstance(error, ConnectionError)):
                log.exception("%s %s failed", request.method, request.path)
            fault = HttpError(500, "a fault of the daemon", remedy="Please report it with the log")
            response = problem_response(fault, request.path)
        response.force_close()
        return response

    return told


async def _say_who_answers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "fieldsync"  # and not which libraries of which versions


def _http_error(refused: web.HTTPException, request: web.Request) -> HttpError:
    told = {
        404: f"there is no {request.path}",
        405: f"{request.path} takes no {request.method}",
        413: "the body is too large",
    }
    return HttpError(refused.status, told.get(refused.status, refused.reason))
