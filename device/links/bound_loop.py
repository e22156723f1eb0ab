"""An event loop whose connections can be kept to one interface, and that remembers addresses.

For a run over a link that the kernel does not prefer, because the one it prefers leads nowhere: the
socket is bound to the interface (``SO_BINDTODEVICE``, socket(7)), which since Linux 5.7 needs no
privilege, and the kernel routes by that interface's routes alone.

The names of hosts are still looked up as the system is set up to do it. If that fails, the last
addresses of a host are used: TLS verifies that it is the same one.
"""

import asyncio
import socket
from typing import Any

_INTERNET = (socket.AF_INET, socket.AF_INET6)
REMEMBERED = 64


def may_bind() -> bool:
    """Whether this process may bind a socket to an interface."""
    with socket.socket() as tried:
        try:
            _bind(tried, "lo")
        except OSError:
            return False
    return True


class BoundLoop(asyncio.SelectorEventLoop):
    """``interface``: connections to other hosts go over that one, or, if it is None, as the kernel
    routes them. Those that are open stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.interface: str | None = None
        self._known: dict[tuple[Any, ...], list[Any]] = {}

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """As the base class; every connection of asyncio and of the HTTP client is made by it."""
        if self.interface is not None and sock.family in _INTERNET:
            _bind(sock, self.interface)
        await super().sock_connect(sock, address)

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> list[Any]:
        """As the base class, and from memory where that fails."""
        key = (host, port, *sorted(more.items()))
        try:
            found = await super().getaddrinfo(host, port, **more)
        except OSError:
            if key not in self._known:
                raise
            return self._known[key]
        self._known.pop(key, None)
        while len(self._known) >= REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[key] = found
        return found


def _bind(sock: socket.socket, interface: str) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
