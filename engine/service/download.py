"""Files that are fetched piece by piece, and go on where they broke off, also in another process.

What has come so far lies beside the target in ``<name>.part``, and what it is a part of in
``<name>.part.json``. It is gone on with by ``Range`` and ``If-Range``, and only if the server gave
a strong validator, so that two states of a file are never mixed; without one, or if the server
sends something else than was asked for, it is fetched from its beginning. Source: RFC 9110, 8.8,
13.1.5, 14 and 15.3.7.
"""

import asyncio
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine import atomic, faults
from engine.atomic import disk_errors, require_space
from engine.errors import (
    AuthenticationError,
    LinkError,
    ProtocolError,
    ServiceError,
    ServiceRefusedError,
    TransientError,
)
from engine.layer_schema import JsonObject
from engine.service.answer import SMALL_ERROR_BYTES, http_date, place
from engine.service.exchange import Exchange
from engine.service.session import Session
from engine.service.sign_in import check_no_refusal, check_not_refused

CHUNK_BYTES = 256 * 1024
"""What is written to the disk at once, and may be lost with the power."""

IDLE_RUNS = 3
"""Runs that may go on with a file in vain before it is asked for anew."""

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A download that an earlier run did not come to use. ``memo`` is what that run noted of it."""

    url: str
    memo: JsonObject


async def download(
    session: Session,
    url: str,
    target: Path,
    *,
    memo: JsonObject | None = None,
    is_packable: bool = True,
    limit_bytes: int | None = None,
) -> int:
    """Fetch ``url`` into ``target``, however often the connection breaks; returns the size.

    Tried again as long as something comes. With a ``memo`` what has come outlives the process: the
    next call for the same URL and target goes on with it, and :func:`kept` tells of it until
    :func:`discard`. Without, nothing is left of a download that fails. ``is_packable``: the content
    is worth compressing on its way. :exc:`ProtocolError` as soon as there is more than
    ``limit_bytes``, if these are given.
    """
    part = await asyncio.to_thread(_Part.of, url, target, memo)
    part.limit_bytes = limit_bytes
    if part.is_done:
        return target.stat().st_size
    fetching = _Fetching(session, url, part, is_packable)
    try:
        await session.repeat(url, fetching.attempt, lambda: part.most_bytes)
        return await asyncio.to_thread(part.finish)
    finally:
        await asyncio.shield(asyncio.to_thread(part.close))


def kept(target: Path) -> Kept | None:
    """The download into ``target`` that was begun or ended earlier, if it may be gone on with."""
    note = _read_note(target)
    if note is None or note.idle_runs >= IDLE_RUNS:
        return None
    return Kept(url=note.url, memo=note.memo)


def is_coming(target: Path) -> bool:
    """Whether the last run got on with the download into ``target``, but not to its end."""
    note = _read_note(target)
    return note is not None and note.idle_runs == 0


def is_kept(path: Path) -> bool:
    """Whether a file belongs to a download that may be gone on with."""
    name = path.name.removesuffix(".json").removesuffix(".part")
    is_part = path.name.endswith((".part", ".part.json"))
    return kept(path.with_name(name) if is_part else path) is not None


def discard(target: Path) -> None:
    """Remove a download, whole or in part."""
    for path in (target, _part_path(target), _note_path(target)):
        path.unlink(missing_ok=True)


@contextmanager
def using(target: Path) -> Iterator[None]:
    """Make use of a download into ``target`` in the block; afterwards it is gone.

    It stays, to be gone on with, if the block fails for another reason than what was fetched.
    """
    try:
        yield
    except BaseException as error:
        is_spoiled = isinstance(error, ServiceError) and not isinstance(error, TransientError)
        if is_spoiled or _read_note(target) is None:
            discard(target)
        raise
    discard(target)


class _Fetching:
    """One file on its way: what is asked for next depends on what came of the last try."""

    def __init__(self, session: Session, url: str, part: "_Part", is_packable: bool) -> None:
        self._session = session
        self._url = url
        self._part = part
        self._is_packable = is_packable
        self._is_packed = is_packable and not part.size
        self._has_broken = False

    async def attempt(self) -> None:
        part = self._part
        if self._is_packed or not part.validator:
            part.restart()
        asked = part.size
        headers = {"Accept-Encoding": "gzip" if self._is_packed else "identity"}
        if asked:
            headers |= {"Range": f"bytes={asked}-", "If-Range": part.validator}
        try:
            async with self._session.opened(self._url, headers) as exchange:
                first = b""
                if asked and exchange.answer.status == 200:
                    first = await _first_bytes(exchange)
                self._begin(exchange, asked)
                try:
                    await part.take(first)
                    while chunk := await exchange.read():
                        await part.take(chunk)
                except BaseException:  # a stall comes as a cancellation
                    self._choose(exchange)
                    raise
                finally:
                    await asyncio.to_thread(part.flush)
        except ServiceRefusedError as error:
            if error.service_code != 416 or not asked:
                raise
            part.restart()
            raise LinkError(f"{error.message}: the file has become shorter") from None
        await asyncio.to_thread(part.check_not_refused, exchange.where)
        if part.total is not None and part.size != part.total:
            raise LinkError(f"{part.size} bytes of {exchange.where} came instead of {part.total}")

    def _begin(self, exchange: Exchange, asked: int) -> None:
        """Make the part ready for what the answer holds: its rest, or all of it.

        Without a pause: the connection forgets what it holds when it breaks meanwhile.
        """
        part, headers = self._part, exchange.answer.headers
        if exchange.answer.status == 206:
            if part.is_continued_by(headers, asked):
                return
            part.restart()
            raise LinkError(f"{exchange.where} answered with another part than was asked for")
        if asked:  # it knows no ranges, or the file has changed
            self._is_packed = self._is_packable
        part.restart()
        part.validator = _validator(headers)
        part.total = None
        if exchange.is_plain:
            part.total = _number(headers.get("Content-Length", ""))
            part.check_size(part.total or 0)
            require_space(part.target, part.total or 0)

    def _choose(self, exchange: Exchange) -> None:
        """Packed again from the start, or plain from where it broke?

        Plain, if the rest is then no more than all of it packed; and at the second break, because
        all of it at once may never come through.
        """
        if not self._is_packed:
            return
        all_packed = _number(exchange.answer.headers.get("Content-Length", "")) or 0
        rest = all_packed - exchange.received_bytes
        is_cheap = rest * self._part.size <= all_packed * exchange.received_bytes
        can_resume = exchange.answer.headers.get("Accept-Ranges", "").casefold() == "bytes"
        if can_resume and self._part.validator and (is_cheap or self._has_broken):
            self._is_packed = False
        self._has_broken = True


async def _first_bytes(exchange: Exchange) -> bytes:
    """The beginning of an answer that takes the place of what has come, if it is a file at all: the
    refusal of a token comes with the status 200, too, and that is no reason to begin anew."""
    first = bytearray()
    while len(first) <= SMALL_ERROR_BYTES:
        chunk = await exchange.read()
        if not chunk:
            check_no_refusal(bytes(first), exchange.where)
            break
        first += chunk
    return bytes(first)


@dataclass(slots=True, kw_only=True)
class _Note:
    """What a part is a part of."""

    url: str
    validator: str
    total: int | None
    memo: JsonObject
    idle_runs: int
    safe_bytes: int


class _Part:
    """The bytes of a file that have come so far."""

    def __init__(self, url: str, target: Path, memo: JsonObject | None) -> None:
        self.size = 0
        self.most_bytes = 0
        self.validator = ""
        self.total: int | None = None
        self.limit_bytes: int | None = None
        self.is_done = False
        self._url = url
        self.target = target
        self._memo = memo
        self._path = _part_path(target)
        self._waiting = bytearray()
        self._lock = threading.RLock()  # a thread whose task was cancelled goes on to its end
        self._is_noted = False
        self._idle_runs = 0
        self._first_bytes = 0
        self._stream: BinaryIO | None = None
        self._is_closed = False

    @classmethod
    def of(cls, url: str, target: Path, memo: JsonObject | None) -> "_Part":
        """The part that an earlier run left, or an empty one."""
        part = cls(url, target, memo)
        note = None if memo is None else _read_note(target)
        if note is None or note.url != url:
            discard(target)
            return part
        part.validator, part.total = note.validator, note.total
        part.is_done = target.exists() and not part._path.exists()
        if part.is_done:
            part._write_note(note.idle_runs + 1)
        else:
            part._go_on(note)
        return part

    def _go_on(self, note: _Note) -> None:
        target = self.target
        target.unlink(missing_ok=True)
        there = self._path.stat().st_size if self._path.exists() else 0
        # Each chunk was flushed to the disk before the next was begun, so only the last one may be
        # damaged by a loss of power.
        self.size = min(there, max(note.safe_bytes, there - CHUNK_BYTES))
        self.most_bytes = self._first_bytes = self.size
        with disk_errors(self._path):
            self._stream = open(self._path, "r+b" if there else "w+b")  # noqa: SIM115
            self._stream.truncate(self.size)
            self._stream.seek(self.size)
        self._idle_runs = 0 if self.size > note.safe_bytes else note.idle_runs
        self._write_note(self._idle_runs + 1)

    async def take(self, chunk: bytes) -> None:
        """Add bytes; the disk gets them chunk by chunk."""
        self._waiting += chunk
        self.size += len(chunk)
        self.check_size(self.size)
        self.most_bytes = max(self.most_bytes, self.size)
        if len(self._waiting) >= CHUNK_BYTES:
            await asyncio.to_thread(self._write_chunks)

    def check_size(self, size: int) -> None:
        """:exc:`ProtocolError` if that is more than may come."""
        if self.limit_bytes is not None and size > self.limit_bytes:
            raise ProtocolError(
                f"{place(self._url)} is larger than the {self.limit_bytes} bytes that were told"
            )

    def _write_chunks(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            if self._memo is not None and self.validator and not self._is_noted:
                self._write_note(0)
            while len(self._waiting) >= CHUNK_BYTES:
                self._write(CHUNK_BYTES)
                if self._is_noted:
                    with disk_errors(self._path):
                        os.fsync(self._opened().fileno())
                    faults.point("part.written")

    def flush(self) -> None:
        """Write what waits, so that the next try can go on behind it."""
        with self._lock:
            if self._waiting and not self._is_closed:
                self._write(len(self._waiting))

    def _write(self, size: int) -> None:
        with disk_errors(self._path):
            stream = self._opened()
            with memoryview(self._waiting) as waiting, waiting[:size] as chunk:
                stream.write(chunk)
            stream.flush()
        del self._waiting[:size]

    def _opened(self) -> BinaryIO:
        if self._stream is None:
            self._stream = open(self._path, "wb")  # noqa: SIM115 (closed in close)
        return self._stream

    def restart(self) -> None:
        """Forget what has come."""
        self.size, self.validator, self.total = 0, "", None
        self._waiting.clear()
        if self._is_noted:
            _note_path(self.target).unlink(missing_ok=True)
            self._is_noted = False
        if self._stream is not None:
            with disk_errors(self._path):
                self._stream.seek(0)
                self._stream.truncate()

    def is_continued_by(self, headers: Mapping[str, str], asked: int) -> bool:
        """Whether a partial answer is the rest of this file, from ``asked`` on."""
        match = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if not asked or match is None or int(match[1]) != asked:
            return False
        total = None if match[3] == "*" else int(match[3])
        if None not in (total, self.total) and total != self.total:
            return False
        if headers.get("ETag", self.validator) != self.validator and self.validator[:1] == '"':
            return False
        self.total = self.total if total is None else total
        return headers.get("Content-Encoding", "identity").casefold() in ("", "identity")

    def check_not_refused(self, where: str) -> None:
        """:exc:`AuthenticationError` if what came is the refusal of a token."""
        try:
            self._opened()
            check_not_refused(self._path, where)
        except AuthenticationError:
            self.restart()
            raise

    def finish(self) -> int:
        """The file is complete: it gets its name."""
        with self._lock:
            if not self._is_closed:
                self._finish()
        return self.size

    def _finish(self) -> None:
        self.flush()
        with disk_errors(self.target):
            stream = self._opened()
            if self._is_noted:
                os.fsync(stream.fileno())
            os.replace(self._path, self.target)
            if self._is_noted:
                atomic.sync_folder(self.target.parent)
        self.is_done = True
        faults.point("part.renamed")

    def close(self) -> None:
        """Let go of the file, once for all. What has come stays, if it can be gone on with."""
        with self._lock:
            self._is_closed = True
            self._close()

    def _close(self) -> None:
        try:
            if self._is_noted and not self.is_done and self._stream is not None:
                with disk_errors(self._path):
                    os.fsync(self._stream.fileno())
                is_idle = self.size <= self._first_bytes
                self._write_note(self._idle_runs + 1 if is_idle else 0)
        finally:
            if self._stream is not None:
                with suppress(OSError):
                    self._stream.close()
            if not self._is_noted and not self.is_done:
                discard(self.target)

    def _write_note(self, idle_runs: int) -> None:
        assert self._memo is not None
        note = {
            "url": self._url,
            "validator": self.validator,
            "total": self.total,
            "memo": self._memo,
            "idle_runs": idle_runs,
            "safe_bytes": self.size - len(self._waiting),
        }
        atomic.write_json(_note_path(self.target), note)
        self._is_noted = True


def _part_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _note_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.json")


def _read_note(target: Path) -> _Note | None:
    try:
        return _Note(**json.loads(_note_path(target).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _validator(headers: Mapping[str, str]) -> str:
    """A strong validator for ``If-Range``; empty if the server gives none.

    A date is strong if the answer was made at least a second later (RFC 9110, 8.8.2.2).
    """
    tag = headers.get("ETag", "").strip()
    if tag:
        return tag if tag.startswith('"') else ""
    changed, now = http_date(headers.get("Last-Modified", "")), http_date(headers.get("Date", ""))
    is_strong = changed is not None and now is not None and (now - changed).total_seconds() >= 1
    return headers["Last-Modified"].strip() if is_strong else ""


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
