"""Work with a service that may be stopped anywhere and run again.

The service runs inside the process that is stopped, and keeps what it has committed; afterwards it
is started again at the same address.
"""

import asyncio
import shutil
import socket
from contextlib import closing
from pathlib import Path


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


class ServedStory:
    """A story for :mod:`tests.killing` and :mod:`tests.disk_faults`, with its service at ``port``.
    The state before the work is made once and copied."""

    def __init__(self) -> None:
        self.port = free_port()
        self._template: Path | None = None

    def prepare(self, folder: Path) -> None:
        if self._template is None:
            self._template = folder.with_name("template")
            self._template.mkdir()
            asyncio.run(self._make(self._template))
        shutil.copytree(self._template, folder, dirs_exist_ok=True)

    def act(self, folder: Path) -> None:
        asyncio.run(self._act(folder))

    def check(self, folder: Path, *, finished: bool) -> None:
        asyncio.run(self._check(folder, finished))

    async def _make(self, folder: Path) -> None:
        """Make the state before the work."""
        raise NotImplementedError

    async def _act(self, folder: Path) -> None:
        """The work."""
        raise NotImplementedError

    async def _check(self, folder: Path, finished: bool) -> None:
        """Assert what must hold: at any time, and when the work has run to its end."""
        raise NotImplementedError
