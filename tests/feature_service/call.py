"""One HTTP request as the service reads it."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import BodyPartReader, web

from .parameters import Parameters, SentFile

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request: where it went, what it carried, and under which name the client sees us."""

    method: str
    segments: tuple[str, ...]
    parameters: Parameters
    origin: str
    headers: dict[str, str]

    @property
    def format(self) -> str:
        """The `f` parameter; `html` when it is absent, as ArcGIS has it."""
        return self.parameters.text("f", "html").lower()


class UnreadableBody(Exception):
    """The body of a request cannot be read; `call` is the request without it."""

    def __init__(self, call: Call, why: str) -> None:
        super().__init__(why)
        self.call = call


@asynccontextmanager
async def read_call(request: web.Request) -> AsyncIterator[Call]:
    """Read a request; its file parts are on disk as long as the context is open."""
    fields = [(name, value) for name, value in request.query.items()]
    files: list[tuple[str, SentFile]] = []
    with ExitStack() as stack:
        try:
            if request.content_type.startswith("multipart/"):
                folder = stack.enter_context(TemporaryDirectory(prefix="feature-service-"))
                await _read_parts(request, Path(folder), fields, files)
            elif request.method in ("POST", "PUT"):
                form = await request.post()
                fields += [(name, text) for name, text in form.items() if isinstance(text, str)]
        except ValueError as error:
            raise UnreadableBody(_call(request, Parameters(fields)), str(error)) from error
        yield _call(request, Parameters(fields, files))


def _call(request: web.Request, parameters: Parameters) -> Call:
    return Call(
        method=request.method,
        segments=tuple(part for part in request.rel_url.path.split("/") if part),
        parameters=parameters,
        origin=f"{request.scheme}://{request.host}",
        headers={name.lower(): value for name, value in request.headers.items()},
    )


async def _read_parts(
    request: web.Request,
    folder: Path,
    fields: list[tuple[str, str]],
    files: list[tuple[str, SentFile]],
) -> None:
    reader = await request.multipart()
    async for part in reader:
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        if part.filename is None:
            fields.append((part.name, await part.text()))
            continue
        path = folder / f"part{len(files)}"
        with path.open("wb") as out:
            while chunk := await part.read_chunk(_CHUNK):
                out.write(chunk)
        kind = part.headers.get("Content-Type", "")
        files.append((part.name, SentFile(filename=part.filename, content_type=kind, path=path)))
