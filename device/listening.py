"""The socket that programs ask on: handed over by the service manager, or made here."""

import grp
import logging
import os
import socket
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path

from device.api.connections import refusal
from device.api.problems import NotStartedError
from device.config import SocketConfig
from device.log import event
from device.socket_file import SocketError, listen
from engine import EngineError

FIRST_HANDED = 3  # sd_listen_fds(3)
MOST_REFUSED, REFUSE_WITHIN_S, READ_BYTES = 256, 0.2, 64 * 1024


@contextmanager
def listening(
    config: SocketConfig, environment: MutableMapping[str, str]
) -> Iterator[socket.socket]:
    """The listening socket; one that was made here is removed at the end. :exc:`SocketError`.

    The readers' group may open it. Where there is no such group, or we may not give it away, only
    this user and root can.
    """
    handed = _handed_over(environment)
    if handed is not None:
        with handed:
            yield handed
        return
    with _made(config) as made:
        inode = config.path.stat().st_ino
        try:
            yield made
        finally:
            _remove(config.path, inode)


def refuse_waiting(environment: MutableMapping[str, str], error: EngineError) -> None:
    """Tell all who wait at a socket that was handed over why the daemon does not start.

    Else the service manager would start it again for them, at once and for ever.
    """
    try:
        handed = _handed_over(environment)
    except (SocketError, OSError):
        return
    if handed is None:
        return
    answer = refusal(
        NotStartedError(f"the daemon cannot start: {error.message}", remedy=error.remedy)
    )
    with handed:
        for _ in range(MOST_REFUSED):
            try:
                caller, _ = handed.accept()
            except OSError:
                return
            with caller, suppress(OSError):
                caller.settimeout(REFUSE_WITHIN_S)
                caller.recv(READ_BYTES)
                caller.sendall(answer)


def group_id(name: str) -> int | None:
    """The number of a group; None if there is none of that name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _made(config: SocketConfig) -> socket.socket:
    name = config.read_group or config.group
    number = group_id(name)
    if number is not None and os.geteuid() != 0 and number not in (os.getegid(), *os.getgroups()):
        number = None
    if number is None:
        event("socket.private", logging.WARNING, path=config.path, group=name)
    return listen(config.path, mode=0o600 if number is None else 0o660, group=number)


def _handed_over(environment: MutableMapping[str, str]) -> socket.socket | None:
    """What sd_listen_fds(3) says; it is taken away, because what we start is not the service."""
    process, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal() or not int(count):
        return None
    for number in range(FIRST_HANDED, FIRST_HANDED + int(count)):
        os.set_inheritable(number, False)
    handed = socket.socket(fileno=FIRST_HANDED)
    if handed.family != socket.AF_UNIX or handed.type != socket.SOCK_STREAM:
        handed.detach()
        raise SocketError(
            "the service manager handed over a socket of another kind",
            remedy="Use the socket unit as it was installed: ListenStream= with a path",
        )
    handed.setblocking(False)
    return handed


def _remove(path: Path, inode: int) -> None:
    """Unless somebody else's is there by now."""
    with suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()
