"""Who may change things: the kernel says who is at the other end of the socket."""

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from device.api.appliance import Caller

_CREDENTIALS = struct.Struct("3i")  # struct ucred, unix(7)
_SO_PEERGROUPS = 59  # Linux 4.13; Python has no name for it
_MOST_BYTES = 1024  # what Python asks the kernel for at most: 256 groups

Peer = Callable[[socket.socket], Caller | None]
"""Who is at the other end; None if nobody can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Root, the daemon's own user and the members of one group may change things.

    Everybody who can open the socket may read: who can is a matter of its folder and its mode.
    """

    group: int | None = None
    user: int = field(default_factory=os.geteuid)

    def may_change(self, caller: Caller) -> bool:
        if caller.uid in (0, self.user):
            return True
        return self.group is not None and self.group in (caller.gid, *caller.groups)


def peer(connection: socket.socket) -> Caller | None:
    """The process at the other end, as it was when it connected; None unless it is AF_UNIX."""
    if connection.family != socket.AF_UNIX:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Caller(uid=uid, gid=gid, pid=pid, groups=_groups(connection))


def _groups(connection: socket.socket) -> tuple[int, ...]:
    """The supplementary groups; none if the kernel does not tell, or there are more than 256."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_BYTES)
    except OSError:
        return ()
    return struct.unpack(f"{len(raw) // 4}I", raw[: len(raw) // 4 * 4])
