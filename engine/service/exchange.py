"""One answer on its way: read piece by piece, against a limit that counts from the last byte."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import aiohttp

from engine.atomic import disk_errors, require_space
from engine.service.answer import Inflater
from engine.service.sign_in import check_not_refused

CHUNK_BYTES = 64 * 1024
WRITE_BYTES = 512 * 1024  # to the disk at once, in a thread


class Receiver(Protocol):
    """Takes the body of one answer, without its content coding, in a thread."""

    def feed(self, chunk: bytes) -> bool:
        """Take the next piece; False if no more is wanted."""

    def finish(self) -> None:
        """The body is complete."""


class Limit:
    """The moment at which a request counts as stalled; every byte that moves puts it off."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self.is_over = False

    def put_off(self, seconds: float | None) -> None:
        """Count again from now; None: do not count."""
        if not self.is_over and not self._timeout.expired():
            self._timeout.reschedule(None if seconds is None else self._loop.time() + seconds)


class Exchange:
    """One request whose answer has begun. ``received_bytes`` are those of its body, as they are
    on the wire; ``is_plain``: they have no content coding."""

    def __init__(
        self,
        answer: aiohttp.ClientResponse,
        limit: Limit,
        where: str,
        count: Callable[[int], None],
        stall_timeout_s: float,
    ) -> None:
        self.answer = answer
        self.where = where
        self.asked = where
        self.is_elsewhere = False
        """It is from another host than the one that was asked, which redirected there."""
        self.received_bytes = 0
        self._count = count
        self._limit = limit
        self._stall_timeout_s = stall_timeout_s
        self._inflater = Inflater(answer.headers.get("Content-Encoding", ""), where)
        self._plain: Iterator[bytes] = iter(())
        self.is_plain = self._inflater.is_plain

    async def read(self) -> bytes:
        """The next piece of the body without its content coding; empty at the end.

        Only the server's time is counted, not the caller's.
        """
        while True:
            for plain in self._plain:
                return plain
            self._limit.put_off(self._stall_timeout_s)
            chunk = await self.answer.content.read(CHUNK_BYTES)
            self._limit.put_off(None)
            if not chunk:
                self._inflater.finish()
                return b""
            self.received_bytes += len(chunk)
            self._count(len(chunk))
            self._plain = self._inflater.feed(chunk)


async def save(exchange: Exchange, target: Path) -> None:
    """Write the body to ``target``; if it does not come whole there is no file."""
    waiting = bytearray()
    require_space(target, exchange.answer.content_length or 0)
    with disk_errors(target):
        stream = open(target, "wb")  # noqa: SIM115 (closed below, where errors differ)
    try:
        with stream:
            while chunk := await exchange.read():
                waiting += chunk
                if len(waiting) >= WRITE_BYTES:
                    with disk_errors(target):
                        await asyncio.to_thread(stream.write, bytes(waiting))
                    waiting.clear()
            with disk_errors(target):
                await asyncio.to_thread(stream.write, bytes(waiting))
                await asyncio.to_thread(stream.flush)
        check_not_refused(target, exchange.where)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
