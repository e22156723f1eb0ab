"""The HTTP server that holds the services of one data folder."""

import asyncio
import random
import ssl
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from . import mishap
from .access import Access, Security
from .answer import Answer
from .call import Call, UnreadableBody, read_call
from .clock import Clock, SystemClock
from .control import control
from .fault import Fault, Faults
from .guid import Mint, random_guid
from .hosted import Hosted
from .loader import open_service
from .map_area import JsonPacker, MapAreas, Packer
from .portal import Portal
from .problem import DataError, ServiceError
from .profile import Profile
from .ranges import in_part
from .site import Site, operation_of, refusal
from .storage import StorageOrigin
from .wire import clear_away, damaged, hang_up, refuse, send

_LARGEST_BODY = 1 << 31
_LOG_LENGTH = 10_000


def seeded_mint(seed: int) -> Mint:
    """GlobalIDs that are the same in every run with this seed."""
    draw = random.Random(seed)
    return lambda: f"{{{str(uuid.UUID(int=draw.getrandbits(128), version=4)).upper()}}}"


class FeatureServer:
    """Serves every `<name>/service.json` of a data folder on a loopback port.

    An async context manager; the base urls are in `services` while it is open. With `tls` it
    speaks HTTPS. `faults` may
    be added to at any time; `log` names the operations called, in order, and `traffic` the bytes
    of the bodies sent in answer to each path. Stopped and started again, it has the same port.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        profile: Profile | None = None,
        clock: Clock | None = None,
        mint: Mint | None = None,
        security: Security | None = None,
        packer: Packer | None = None,
        faults: Faults | None = None,
        allows_control: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.profile = profile or Profile()
        self.clock: Clock = clock or SystemClock()
        self.faults = faults if faults is not None else Faults()
        self.log: list[str] = []
        self.traffic: Counter[str] = Counter()
        self.origin = ""
        self._data_dir = data_dir
        self._mint = mint or random_guid
        self._allows_control = allows_control
        self._host = host
        self._port = port
        self._tls = tls
        self._hosted: dict[str, Hosted] = {}
        self._access = Access(security or Security(), self.clock, self._mint)
        self._portal = Portal(data_dir / "portal", self.clock)
        self._areas = MapAreas(self._portal, self._hosted, packer or JsonPacker())
        self._site = Site(
            self._hosted,
            self._access,
            self._portal,
            tells_bare_errors=self.profile.error_shape == "bare",
        )
        self._storage = StorageOrigin(self._hosted, self._mint)
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Load the services and listen; DataError when the data folder cannot be served."""
        self._stopping.clear()
        try:
            self._open()
            app = web.Application(client_max_size=_LARGEST_BODY)
            app.router.add_route("*", "/{path:.*}", self._handle)
            self._runner = web.AppRunner(
                app, access_log=None, auto_decompress=not self.profile.ignores_request_gzip
            )
            await self._runner.setup()
            sites = [(self._host, self._port)]
            if self.profile.results_on_other_origin:
                sites.append((self._host, 0))
            for host, port in sites:
                await web.TCPSite(self._runner, host, port, ssl_context=self._tls).start()
        except BaseException:
            await self.stop()
            raise
        scheme = "http" if self._tls is None else "https"
        origins = [f"{scheme}://{address[0]}:{address[1]}" for address in self._runner.addresses]
        self.origin = origins[0]
        self._port = self._runner.addresses[0][1]
        self._storage.origin = origins[-1] if len(origins) > 1 else ""
        try:
            self._areas.prepare(self.origin)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening, let go of stalled clients, and close the state files."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for hosted in self._hosted.values():
            hosted.store.close()
        self._hosted.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def services(self) -> dict[str, str]:
        """Service name -> its FeatureServer url."""
        return {name: self.url(name) for name in self._hosted}

    @property
    def portal(self) -> str | None:
        """The portal's url, None when the data folder has none."""
        return f"{self.origin}/portal" if self._portal.is_there else None

    def refresh_map_area(self, area_id: str) -> dict[str, str]:
        """Refresh the packages of a map area: package id -> `changed` or `unchanged`."""
        return self._areas.refresh(area_id, self.origin)

    def url(self, name: str) -> str:
        """The FeatureServer url of one service."""
        return f"{self.origin}/arcgis/rest/services/{name}/FeatureServer"

    def hosted(self, name: str) -> Hosted:
        """The inside of one service, for a test that looks behind the wire."""
        return self._hosted[name]

    def expire_tokens(self) -> None:
        """Make every token given out so far an expired one."""
        self._access.expire_all()

    def _open(self) -> None:
        self._portal.check()
        if not self._data_dir.is_dir():
            raise DataError(f"{self._data_dir}: is not a folder")
        folders = sorted(
            folder for folder in self._data_dir.iterdir() if (folder / "service.json").exists()
        )
        if not folders:
            raise DataError(f"{self._data_dir}: holds no <name>/service.json")
        for folder in folders:
            service, store = open_service(folder, self._mint)
            self._hosted[folder.name] = Hosted(
                service=service,
                store=store,
                folder=folder,
                profile=self.profile,
                clock=self.clock,
                mint=self._mint,
            )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        segments = tuple(part for part in request.rel_url.path.split("/") if part)
        operation, service = operation_of(segments)
        faults: list[Fault] = []
        if segments[:1] != ("control",):
            self.log.append(operation)
            del self.log[:-_LOG_LENGTH]
            faults = self.faults.strike(operation, service)
        kinds = {fault.kind for fault in faults}
        if "cut-upload" in kinds:
            await _read_some(request, faults)
            return hang_up(request)
        try:
            async with read_call(request) as call:
                return await self._serve(request, call, service, faults)
        except UnreadableBody as unreadable:
            error = ServiceError(400, "Unable to parse the request.", str(unreadable))
            return await send(request, refusal(unreadable.call, error), (), self._until_stopped)

    async def _serve(
        self, request: web.Request, call: Call, service: str, faults: list[Fault]
    ) -> web.StreamResponse:
        kinds = {fault.kind for fault in faults}
        if "drop-before-commit" in kinds:
            return hang_up(request)
        if "stall-before-commit" in kinds:
            return await self._stall(request)
        answer = self._answer(request, call, service, faults)
        try:
            if "drop-after-commit" in kinds:
                return hang_up(request)
            if "stall-after-commit" in kinds:
                return await self._stall(request)
            given = damaged(answer, faults)
            if self.profile.serves_ranges and given is answer:
                given = in_part(answer, request.headers)
            return await send(request, given, faults, self._until_stopped, self._counter(request))
        finally:
            clear_away(answer)

    def _counter(self, request: web.Request) -> Callable[[int], None]:
        return lambda size: self.traffic.update({request.rel_url.path: size})

    async def _until_stopped(self, delay_s: float) -> None:
        """Sleep on the server's clock; ConnectionResetError when the server stops first."""
        waits = [
            asyncio.ensure_future(self.clock.sleep(delay_s)),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._stopping.is_set():
            raise ConnectionResetError("the server stops")

    async def _stall(self, request: web.Request) -> web.Response:
        await self._stopping.wait()
        return hang_up(request)

    def _answer(
        self, request: web.Request, call: Call, service: str, faults: list[Fault]
    ) -> Answer:
        if self._allows_control and call.segments[:1] == ("control",):
            return control(self, call)
        if call.method == "OPTIONS":
            return Answer(content=b"", content_type="text/plain")
        if self._storage.is_for(request):
            return self._storage.answer(call)
        struck = [self._hosted[service]] if service in self._hosted else self._hosted.values()
        for fault in faults:
            if fault.kind == "status":
                return refuse(fault)
            if fault.kind == "token-expired":
                self._access.expire_all()
            for hosted in struck:
                mishap.strike(hosted, fault)
        kinds = {fault.kind for fault in faults}
        if "expired-result" in kinds:
            return Answer(content=b"Not Found", content_type="text/plain", status=404)
        answer = self._site.answer(call)
        if "duplicate" in kinds:
            clear_away(answer)
            answer = self._site.answer(call)
        for hosted in struck:
            hosted.failure, hosted.tells = None, "all"
        return self._storage.redirected(call, answer)


async def _read_some(request: web.Request, faults: list[Fault]) -> None:
    """Take the first bytes of a body, as a connection that breaks in mid-upload does."""
    left = next(fault.at_byte for fault in faults if fault.kind == "cut-upload")
    while left > 0:
        chunk = await request.content.read(min(left, 1 << 16))
        if not chunk:
            return
        left -= len(chunk)
