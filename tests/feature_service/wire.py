"""Putting an answer on the wire, whole or broken as a fault wants it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from .answer import Answer
from .fault import Fault

Sleep = Callable[[float], Awaitable[None]]


def hang_up(request: web.Request) -> web.Response:
    """Break the connection; the response is for aiohttp, nobody reads it."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def refuse(fault: Fault) -> Answer:
    """The answer of a server that is too busy or broken."""
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    return Answer(
        content=b"<html><body>Service unavailable</body></html>",
        content_type="text/html",
        status=fault.status,
        headers=headers,
    )


def damaged(answer: Answer, faults: Sequence[Fault]) -> Answer:
    """The answer with what the faults do to its bytes."""
    for fault in faults:
        if fault.kind not in ("truncated-result", "corrupt-result"):
            continue
        data = answer.content if isinstance(answer.content, bytes) else answer.content.read_bytes()
        place = fault.at_byte or len(data) // 2
        if fault.kind == "truncated-result":
            answer = replace(answer, content=data[:place], is_passing=False)
        else:
            broken = data[:place] + b"\x00{" + data[place + 2 :]
            answer = replace(answer, content=broken, is_passing=False)
    return answer


def _cross_origin(request: web.Request) -> dict[str, str]:
    """What lets a page of another origin read an answer, as ArcGIS Server allows to all."""
    origin = request.headers.get("Origin")
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "*"),
    }


async def send(
    request: web.Request,
    answer: Answer,
    faults: Sequence[Fault],
    sleep: Sleep,
    count: Callable[[int], None] = lambda _: None,
) -> web.StreamResponse:
    """Send an answer; a cut or a trickle among the faults is done to it on the way.

    `count` is told the bytes of the body, piece by piece.
    """
    packed = answer.is_packed_for(request.headers.get("Accept-Encoding", ""))
    headers = {
        "Content-Type": answer.content_type,
        "Cache-Control": "no-store",
        "Vary": "Accept-Encoding",
        **_cross_origin(request),
        **answer.headers,
    }
    if packed:
        headers["Content-Encoding"] = "gzip"
    else:
        headers["Content-Length"] = str(answer.size_bytes)
    response = web.StreamResponse(status=answer.status, headers=headers)
    chunks = _counted(answer.chunks(packed=packed), count)
    cut = next((fault for fault in faults if fault.kind == "cut-response"), None)
    slow = next((fault for fault in faults if fault.kind == "trickle"), None)
    with contextlib.closing(chunks):
        await response.prepare(request)
        if cut is not None:
            await _write_until(response, chunks, cut.at_byte)
            if request.transport is not None:
                request.transport.close()
            return response
        if slow is not None:
            await _write_slowly(response, chunks, slow.bytes_per_s, sleep)
        else:
            for chunk in chunks:
                await response.write(chunk)
        await response.write_eof()
    return response


def _counted(
    chunks: Generator[bytes, None, None], count: Callable[[int], None]
) -> Generator[bytes, None, None]:
    with contextlib.closing(chunks):
        for chunk in chunks:
            count(len(chunk))
            yield chunk


async def _write_until(response: web.StreamResponse, chunks: Iterator[bytes], end: int) -> None:
    for chunk in chunks:
        await response.write(chunk[:end])
        end -= len(chunk)
        if end <= 0:
            break
    await asyncio.sleep(0)  # lets the transport pass on what was written before it is aborted


async def _write_slowly(
    response: web.StreamResponse, chunks: Iterator[bytes], bytes_per_s: int, sleep: Sleep
) -> None:
    for chunk in chunks:
        for start in range(0, len(chunk), bytes_per_s):
            await response.write(chunk[start : start + bytes_per_s])
            await sleep(1)


def clear_away(answer: Answer) -> None:
    """Remove the file of an answer that is only passing."""
    if answer.is_passing and isinstance(answer.content, Path):
        answer.content.unlink(missing_ok=True)
