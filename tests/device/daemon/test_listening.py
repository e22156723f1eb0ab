"""The socket: made here or handed over, and what is in its place."""

import grp
import os
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from device.config import SocketConfig
from device.listening import listening
from device.socket_file import SocketError

OWN_GROUP = grp.getgrgid(os.getgid()).gr_name


def config_at(path: Path, group: str = OWN_GROUP) -> SocketConfig:
    return SocketConfig(path=path, group=group)


def test_the_socket_is_for_its_group_and_goes_with_the_daemon(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with listening(config_at(path), {}):
        facts = path.stat()
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))

    assert stat.S_IMODE(facts.st_mode) == 0o660
    assert facts.st_gid == os.getgid()
    assert not path.exists()


def test_without_its_group_only_this_user_may_open_it(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with listening(config_at(path, "no-such-group"), {}):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


CHILD = """
import os, socket, sys
from pathlib import Path
from device.config import SocketConfig
from device.listening import listening
from device.socket_file import SocketError
kind = socket.SOCK_DGRAM if sys.argv[2] == "datagram" else socket.SOCK_STREAM
made = socket.socket(socket.AF_UNIX, kind)
made.bind(sys.argv[1])
if kind == socket.SOCK_STREAM:
    made.listen()
if made.fileno() != 3:
    os.dup2(made.fileno(), 3)
environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "api"}
with listening(SocketConfig(path=Path("/nowhere/api.sock")), environment) as handed:
    assert handed.getsockname() == sys.argv[1] and not environment
    assert not os.get_inheritable(3)
assert os.path.exists(sys.argv[1])
"""


@pytest.mark.parametrize("kind", ["stream", "datagram"])
def test_a_socket_that_is_handed_over_is_used_and_stays(tmp_path: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, tmp_path / "api.sock", kind],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    if kind == "stream":
        assert done.returncode == 0, done.stderr
    else:
        assert "of another kind" in done.stderr


def test_a_socket_that_was_handed_to_another_process_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with listening(config_at(path), {"LISTEN_PID": "1", "LISTEN_FDS": "1"}):
        assert path.exists()


def test_what_another_daemon_has_put_there_meanwhile_is_left(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with listening(config_at(path), {}):
        path.unlink()
        path.write_text("another's")

    assert path.exists()


def test_a_socket_that_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    with listening(config_at(path), {}), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


def test_a_daemon_that_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with listening(config_at(path), {}):
        with pytest.raises(SocketError, match="another daemon"), listening(config_at(path), {}):
            pass
        assert path.exists()


def test_a_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("mine")

    with pytest.raises(SocketError, match="no socket"), listening(config_at(path), {}):
        pass

    assert path.read_text() == "mine"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(SocketError, match="No such file"),
        listening(config_at(tmp_path / "no" / "api.sock"), {}),
    ):
        pass


def test_who_waits_at_the_socket_is_told_why_the_daemon_does_not_start(tmp_path: Path) -> None:
    """Else systemd starts it again for them, at once and for ever."""
    config = tmp_path / "config.toml"
    config.write_text("[devcie]\n")
    handed_over = (
        "bash",
        "-c",
        'n=$1; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&"$n"',
        "bash",
    )
    daemon = (sys.executable, "-m", "device.daemon", "--config", str(config))
    with socket.socket(socket.AF_UNIX) as handed, ExitStack() as callers:
        handed.bind(str(tmp_path / "api.sock"))
        handed.listen(8)
        waiting = []
        for said in (b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", b""):
            caller = callers.enter_context(socket.socket(socket.AF_UNIX))
            caller.connect(str(tmp_path / "api.sock"))
            caller.sendall(said)
            waiting.append(caller)
        done = subprocess.run(
            [*handed_over, str(handed.fileno()), *daemon],
            pass_fds=(handed.fileno(),),
            capture_output=True,
            timeout=60,
            check=False,
        )
        handed.setblocking(False)
        with pytest.raises(BlockingIOError):
            handed.accept()
        answer = waiting[0].recv(10_000).decode()

    assert done.returncode == 2
    assert " 503 " in answer
    assert "cannot start" in answer
    assert "is 'device' meant?" in answer
