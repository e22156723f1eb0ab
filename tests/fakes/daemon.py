"""A daemon on a thread of its own: the real socket, and a fake appliance behind it.

What calls it blocks, as the command does, and so does not run on its loop.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from device.api.access import Access, peer
from device.api.appliance import Caller
from device.api.limits import Limits
from device.api.server import ApiServer
from engine import SystemClock
from tests.fakes.appliance import FakeAppliance

ValueT = TypeVar("ValueT")
WITHIN_S = 30


def bound(path: Path) -> socket.socket:
    """A listening socket at ``path``."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen(32)
    listening.setblocking(False)
    return listening


class DaemonThread:
    """Serves ``appliance`` at ``path`` while the block lasts; without a path at ``url``, where
    everybody counts as root."""

    def __init__(
        self,
        path: Path | None,
        maps: Mapping[str, Path] | None = None,
        *,
        config: Mapping[str, object] | None = None,
        access: Access | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.url = ""
        self._path = path
        self.appliance = FakeAppliance(SystemClock(), maps, config=config)
        self._access = access or Access(user=os.geteuid())
        self._limits = limits or Limits(stop_s=0.2)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop, self._ready = asyncio.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def path(self) -> Path:
        assert self._path is not None
        return self._path

    def __enter__(self) -> "DaemonThread":
        self._thread.start()
        assert self._ready.wait(WITHIN_S), "the daemon did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop now; nothing if it has stopped, or another thread has it stop at this moment."""
        if self._thread.is_alive():
            assert self._loop is not None
            with suppress(RuntimeError):  # its loop is closed already
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(WITHIN_S)

    def do(self, act: Callable[[FakeAppliance], ValueT]) -> ValueT:
        """Let the appliance do something, on its own thread; gives what it gave."""
        assert self._loop is not None

        async def acting() -> ValueT:
            return act(self.appliance)

        return asyncio.run_coroutine_threadsafe(acting(), self._loop).result(WITHIN_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        with bound(self._path) if self._path else socket.create_server(("127.0.0.1", 0)) as at:
            at.setblocking(False)
            if not self._path:
                self.url = f"http://127.0.0.1:{at.getsockname()[1]}"
            who = peer if self._path else lambda _: Caller(uid=0, gid=0, pid=1)
            server = ApiServer(
                self.appliance, at, access=self._access, limits=self._limits, peer=who
            )
            async with server:
                self._ready.set()
                await self._stop.wait()
        if self._path:
            self._path.unlink()
