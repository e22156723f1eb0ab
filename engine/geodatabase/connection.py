"""The one connection that the engine keeps open to a geodatabase file.

Every piece of work is a synchronous function over the ``sqlite3`` connection, run whole in one
thread hop. A transaction therefore begins and ends inside the hop: a task that is cancelled
meanwhile can neither leave it open nor split it. The file itself is never opened by other means:
closing any of its descriptors would drop SQLite's own locks (sqlite.org/howtocorrupt.html, 2.2).
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple
from urllib.parse import quote as url_quote

import aiosqlite

from engine.errors import (
    GeodatabaseBusyError,
    GeodatabaseError,
    NotAGeodatabaseError,
    TransactionNotStartedError,
    TransactionOpenError,
)
from engine.geodatabase.sqlite_errors import SQLITE_ERRORS, engine_error
from engine.geodatabase.transaction import (
    commit,
    reading,
    rollback,
    savepoint,
    staging,
    transaction,
)
from native import geometry

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BUSY_TIMEOUT_S = 5.0
"""How long we wait for another program's write lock before we say that the file is busy."""

WAL_WARNING_BYTES = 64 * 1024 * 1024

_CHECKPOINT_BUSY_MS = 200  # while it waits for readers, a TRUNCATE checkpoint keeps writers out
_PRAGMAS = (
    "foreign_keys=ON",  # the change log's latch is a deferred foreign key
    "recursive_triggers=ON",  # so that REPLACE fires the delete triggers of spatial indexes
    "synchronous=FULL",
    "temp_store=FILE",
    "cache_size=-1500",
    "temp.cache_size=-500",
)


class Database:
    """An open geodatabase file; one piece of work runs at a time, the others wait.

    The engine's own work sees committed rows only, and waits while the caller's transaction is
    open. Work that is ``joining`` is the caller's own: it runs inside that transaction.
    """

    def __init__(
        self,
        path: Path,
        connection: aiosqlite.Connection,
        raw: sqlite3.Connection,
        busy_timeout_s: float,
    ) -> None:
        self.path = path
        self._connection = connection
        self._raw = raw
        self._busy_timeout_s = busy_timeout_s
        # One thread, so that what one piece of work has freed the next has again: the allocator
        # keeps memory by thread.
        self._thread = ThreadPoolExecutor(1, "geodatabase")
        self._lock = asyncio.Lock()
        self._no_transaction = asyncio.Event()
        self._no_transaction.set()
        self._is_open = True

    @classmethod
    async def open(
        cls, path: Path, *, create: bool = False, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> Self:
        """Open the file; with ``create`` it must not exist yet.

        :exc:`NotAGeodatabaseError` if it is no SQLite file. A fresh file keeps a rollback journal,
        which stays empty while there are no old pages to save, until :meth:`use_wal`.
        """
        if create and path.exists():
            raise GeodatabaseError(f"{path} already exists", remedy="Choose another place")
        if not create and not path.is_file():
            raise NotAGeodatabaseError(f"there is no geodatabase {path}")
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(None, _connect, path, create, busy_timeout_s)
        try:
            raw = await _to_the_end(opening)
        except asyncio.CancelledError:
            if opening.exception() is None:
                opening.result().close()
            raise
        except SQLITE_ERRORS as error:
            raise engine_error(error, path) or error from error
        # A connector that fails would leave aiosqlite's thread to outlive the loop, so it gets a
        # connection that is open already.
        connection = aiosqlite.Connection(lambda: raw, 64)
        try:
            await _to_the_end(asyncio.ensure_future(_opened(connection)))
        except asyncio.CancelledError:
            await _to_the_end(asyncio.ensure_future(connection.close()))
            raise
        return cls(path, connection, raw, busy_timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the file and roll back a transaction that is still open. May be repeated."""
        # To the end even if it still waits for its turn: the connection's thread would keep the
        # process alive.
        await _to_the_end(asyncio.ensure_future(self._close()))

    async def _close(self) -> None:
        async with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._no_transaction.set()
            try:
                await self._hop(self._raw.close)
            finally:
                await _to_the_end(asyncio.ensure_future(self._connection.close()))
                self._thread.shutdown(wait=False)

    async def read(
        self,
        function: Callable[[sqlite3.Connection, *Ts], T],
        *args: *Ts,
        joining: bool = False,
    ) -> T:
        """Run ``function(connection, *args)`` on one state of the file, and return its values.

        Cancelling interrupts it. Nothing that needs the connection may leave it (no cursors).
        """
        async with self._turn(joining):
            return await self._hop(reading, self._raw, function, args, interruptible=True)

    async def stage(self, function: Callable[[sqlite3.Connection, *Ts], T], *args: *Ts) -> T:
        """Run a function that fills temporary tables and only reads the others.

        It does not take the file's write lock, so other programs go on writing meanwhile.
        Cancelling interrupts it, and what it filled is empty again.
        """
        async with self._turn(False):
            return await self._hop(staging, self._raw, function, args, interruptible=True)

    async def write(
        self,
        function: Callable[[sqlite3.Connection, *Ts], T],
        *args: *Ts,
        applying: bool = False,
        joining: bool = False,
    ) -> T:
        """Run ``function(connection, *args)`` in a transaction: all of it happens or nothing.

        Cancelling waits for its end, and the transaction may have been committed. With
        ``applying`` the changes are the engine's own, not edits of a person.
        """
        async with self._turn(joining):
            inside = self.is_in_transaction
            run = savepoint if inside else transaction
            try:
                return await self._hop(run, self._raw, function, args, applying)
            finally:
                if inside and not self._raw.in_transaction:
                    self._no_transaction.set()  # SQLite rolled it back: disk full, I/O error

    # --- the caller's own transaction ---------------------------------------------------------

    @property
    def is_in_transaction(self) -> bool:
        """True while the caller's own transaction is open."""
        return not self._no_transaction.is_set()

    async def begin(self) -> None:
        """Begin the caller's transaction, which may span awaits; nobody else writes meanwhile."""
        async with self._lock:
            self._require_open()
            if self.is_in_transaction:
                raise TransactionOpenError(f"a transaction is already open on {self.path}")
            try:
                await self._hop(self._raw.execute, "BEGIN IMMEDIATE")
            except asyncio.CancelledError:
                # The caller never learns that it began, so nobody would end it.
                await self._hop(rollback, self._raw)
                raise
            self._no_transaction.clear()

    async def commit(self) -> None:
        """Commit the caller's transaction; if that fails it is rolled back."""
        await self._end(commit)

    async def rollback(self) -> None:
        """Undo the caller's transaction."""
        await self._end(rollback)

    async def _end(self, how: Callable[[sqlite3.Connection], None]) -> None:
        async def end() -> None:
            async with self._lock:
                self._require_open()
                if not self.is_in_transaction:
                    raise TransactionNotStartedError(f"no transaction is open on {self.path}")
                try:
                    await self._hop(how, self._raw)
                finally:
                    self._no_transaction.set()

        # Also while it waits for its turn: a caller cancelled there would leave it open.
        await _to_the_end(asyncio.ensure_future(end()))

    # --- the write-ahead log --------------------------------------------------------------------

    async def use_wal(self) -> None:
        """Keep a write-ahead log from now on: readers and one writer do not disturb each other."""
        async with self._turn(joining=False):
            await self._hop(_use_wal, self._raw)

    async def checkpoint(self) -> list[str]:
        """Move the write-ahead log into the file and empty it; what a person should know of it."""
        async with self._turn(joining=False):
            milliseconds = round(self._busy_timeout_s * 1000)
            done, size_bytes = await self._hop(_checkpoint, self._raw, self.path, milliseconds)
        name, found = self.path.name, []
        if not done:
            found.append(
                f"{name}: another program keeps the write-ahead log from being emptied; close it"
            )
        if size_bytes > WAL_WARNING_BYTES:
            found.append(f"{name}: the write-ahead log has {size_bytes >> 20} MB")
        return found

    @property
    def wal_bytes(self) -> int:
        """The size of the write-ahead log."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        return wal.stat().st_size if wal.exists() else 0

    # --- turns and hops ---------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn(self, joining: bool) -> AsyncIterator[None]:
        while True:
            async with self._lock:
                self._require_open()
                if joining or not self.is_in_transaction:
                    yield
                    return
            try:
                async with asyncio.timeout(self._busy_timeout_s):
                    await self._no_transaction.wait()
            except TimeoutError:
                raise GeodatabaseBusyError(
                    f"a transaction of this program is still open on {self.path}",
                    remedy=TransactionOpenError.default_remedy,
                ) from None

    def _require_open(self) -> None:
        if not self._is_open:
            raise GeodatabaseError(f"{self.path} is closed")

    async def _hop(
        self, function: Callable[[*Ts], T], *args: *Ts, interruptible: bool = False
    ) -> T:
        # An executor future, not a task: the end of the loop cannot cancel it away from under the
        # thread.
        work = partial(_ended, function, *args)
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await _to_the_end(future, self._raw.interrupt if interruptible else None)
        except SQLITE_ERRORS as error:
            raise engine_error(error, self.path) or error from error


def _ended(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """A future takes no :exc:`StopIteration`: who waits for it would wait for ever."""
    try:
        return function(*args)
    except StopIteration as error:
        raise RuntimeError("an iterator had ended") from error


async def _opened(connection: aiosqlite.Connection) -> None:
    await connection


async def _to_the_end(future: asyncio.Future[T], interrupt: Callable[[], None] | None = None) -> T:
    """The result of ``future``; a cancellation is passed on only when it is done.

    A thread cannot be stopped: whoever let go of it early would run beside it.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            if interrupt is not None:
                interrupt()
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        if not future.cancelled():
            future.exception()  # seen: the cancellation is what the caller hears of
        raise


def _connect(path: Path, create: bool, busy_timeout_s: float) -> sqlite3.Connection:
    uri = f"file:{url_quote(str(path.absolute()))}?mode={'rwc' if create else 'rw'}"
    raw = sqlite3.connect(
        uri, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
    )
    try:
        raw.text_factory = _decoded
        for pragma in _PRAGMAS:
            raw.execute(f"PRAGMA {pragma}")
        geometry.register_functions(raw)
    except BaseException:
        raw.close()
        raise
    return raw


def _decoded(text: bytes) -> str:
    """Text that is no UTF-8 must not hide its row; ``engine.values`` refuses it by name."""
    return text.decode("utf-8", "surrogateescape")


def _use_wal(raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA journal_mode=WAL")


def _checkpoint(raw: sqlite3.Connection, path: Path, busy_ms: int) -> tuple[bool, int]:
    raw.execute(f"PRAGMA busy_timeout={_CHECKPOINT_BUSY_MS}")
    try:
        busy, _, _ = raw.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        raw.execute(f"PRAGMA busy_timeout={busy_ms}")
    wal = path.with_name(path.name + "-wal")
    return not busy, wal.stat().st_size if wal.exists() else 0
