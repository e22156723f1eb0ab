"""The file of the socket: made so that nobody can open it who should not, and so that what a daemon
left behind that was killed does not keep the next one from starting."""

import errno
import os
import socket
import stat
from pathlib import Path

from engine import EngineError

BACKLOG = 32
LONGEST_SOCKET_PATH = 107 - len(".new")  # sun_path, unix(7)


class SocketError(EngineError):
    """The socket cannot be made."""

    code = "socket"


def listen(path: Path, *, mode: int = 0o660, group: int | None = None) -> socket.socket:
    """A listening socket at ``path``. A stale one is replaced; :exc:`SocketError` if somebody still
    answers there, or something else is there.

    The file gets its mode and group under another name and is then renamed, so that it is never
    open to more people than it should be, and never missing.
    """
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise SocketError(f"{path}: the path of a socket has at most {LONGEST_SOCKET_PATH} bytes")
    _require_free(path)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(fresh))
        os.chmod(fresh, mode)
        if group is not None:
            os.chown(fresh, -1, group)
        listening.listen(BACKLOG)
        listening.setblocking(False)
        fresh.rename(path)
    except BaseException as error:
        listening.close()
        fresh.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise SocketError(
                f"{path}: {error.strerror}",
                remedy="Make the folder, and let the daemon's user write there",
            ) from error
        raise
    return listening


def _require_free(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketError(f"{path}: {error.strerror}") from error
    if not stat.S_ISSOCK(kind):
        raise SocketError(f"{path} is there and no socket", remedy="Remove it, or choose another")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                return  # nobody listens: what a killed daemon left
            if error.errno != errno.EAGAIN:  # its queue is full, so somebody does
                raise SocketError(f"{path}: {error.strerror}") from error
    raise SocketError(
        f"another daemon answers at {path}", remedy="Stop it, or give this one another socket"
    )
