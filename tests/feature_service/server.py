"""The HTTP server that holds the services of one data folder."""

import random
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from .answer import Answer, document
from .call import Call, read_call
from .clock import Clock, SystemClock
from .guid import Mint, random_guid
from .hosted import Actor, Hosted
from .loader import open_service
from .operations import perform, replica_file
from .problem import DataError, ServiceError, invalid_url
from .profile import Profile

_LARGEST_BODY = 1 << 31


def seeded_mint(seed: int) -> Mint:
    """GlobalIDs that are the same in every run with this seed."""
    draw = random.Random(seed)
    return lambda: f"{{{str(uuid.UUID(int=draw.getrandbits(128), version=4)).upper()}}}"


class FeatureServer:
    """Serves every `<name>/service.json` of a data folder on a loopback port.

    An async context manager; the base urls are in `services` while it is open.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        profile: Profile | None = None,
        clock: Clock | None = None,
        mint: Mint | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.profile = profile or Profile()
        self.clock: Clock = clock or SystemClock()
        self._data_dir = data_dir
        self._mint = mint or random_guid
        self._host = host
        self._port = port
        self._hosted: dict[str, Hosted] = {}
        self._runner: web.AppRunner | None = None
        self.origin = ""

    async def start(self) -> None:
        """Load the services and listen; DataError when the data folder cannot be served."""
        try:
            self._open()
            app = web.Application(client_max_size=_LARGEST_BODY)
            app.router.add_route("*", "/{path:.*}", self._handle)
            self._runner = web.AppRunner(app, access_log=None)
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:
            await self.stop()
            raise
        address = self._runner.addresses[0]
        self.origin = f"http://{address[0]}:{address[1]}"

    async def stop(self) -> None:
        """Stop listening and close the state files."""
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

    def url(self, name: str) -> str:
        """The FeatureServer url of one service."""
        return f"{self.origin}/arcgis/rest/services/{name}/FeatureServer"

    def hosted(self, name: str) -> Hosted:
        """The inside of one service, for a test that looks behind the wire."""
        return self._hosted[name]

    def _open(self) -> None:
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
        async with read_call(request) as call:
            answer = self._answer(call)
            return await self._send(request, answer)

    def _answer(self, call: Call) -> Answer:
        try:
            return self._route(call)
        except ServiceError as error:
            form = call.format if call.format in ("json", "pjson") else "html"
            if call.parameters.has("f") and form == "html" and call.format != "html":
                form = "json"
            return document(error.document(), form, title="Error")

    def _route(self, call: Call) -> Answer:
        path = call.segments
        if [part.lower() for part in path[:2]] != ["arcgis", "rest"]:
            return Answer(content=b"Not Found", content_type="text/plain", status=404)
        match path[2:]:
            case ("info",):
                return document(_server_info(), call.format)
            case ("services",):
                return document(self._directory(), call.format)
            case ("services", name, kind, *rest) if name in self._hosted:
                hosted = self._hosted[name]
                if kind.lower() == "featureserver":
                    return perform(hosted, Actor(), call, tuple(rest))
                if kind.lower() == "replicafiles" and len(rest) == 1:
                    answer = replica_file(hosted, rest[0])
                    if answer is None:
                        return Answer(content=b"Not Found", content_type="text/plain", status=404)
                    return answer
        raise invalid_url()

    def _directory(self) -> dict[str, object]:
        listed = [{"name": name, "type": "FeatureServer"} for name in sorted(self._hosted)]
        return {"currentVersion": 11.3, "folders": [], "services": listed}

    async def _send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        packed = answer.is_packed_for(request.headers.get("Accept-Encoding", ""))
        headers = {
            "Content-Type": answer.content_type,
            "Cache-Control": "no-store",
            "Vary": "Accept-Encoding",
            **answer.headers,
        }
        if packed:
            headers["Content-Encoding"] = "gzip"
        else:
            headers["Content-Length"] = str(answer.size_bytes)
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        try:
            for chunk in answer.chunks(packed=packed):
                await response.write(chunk)
            await response.write_eof()
        finally:
            if answer.is_passing and isinstance(answer.content, Path):
                answer.content.unlink(missing_ok=True)
        return response


def _server_info() -> dict[str, object]:
    return {
        "currentVersion": 11.3,
        "fullVersion": "11.3.0",
        "authInfo": {"isTokenBasedSecurity": False},
    }
