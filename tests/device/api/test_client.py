"""Asking the daemon with the standard library: what it says, and what is wrong if it is mute."""

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device.api.answers import Jobs
from device.api.appliance import SyncRequest
from device.api.client import ApiClient, DaemonNotRunningError, NoAnswerError, ProblemError
from device.api.limits import Limits
from device.api.status import JobRecord, State, Status
from device.cli_errors import NoPermissionError
from engine import ExitCode, JobStatus
from tests.fakes.daemon import DaemonThread, bound


@pytest.fixture
def daemon(socket_path: Path) -> Iterator[DaemonThread]:
    with DaemonThread(socket_path) as running:
        yield running


def test_answers_are_values(daemon: DaemonThread) -> None:
    client = ApiClient(daemon.path)

    job = client.post(JobRecord, "sync", body=SyncRequest(is_expensive_allowed=True))

    assert client.get(Status, "status").state is State.IDLE
    assert client.get(Jobs, "jobs").jobs == (job,)
    assert client.delete(JobRecord, "jobs", job.id).status is JobStatus.CANCELLED
    assert client.text("metrics").endswith("# EOF\n")


def test_a_refusal_is_told_in_the_daemons_words(daemon: DaemonThread) -> None:
    client = ApiClient(daemon.path)

    with pytest.raises(ProblemError, match="there is no map 'ü/木'") as refused:
        client.json("GET", "maps", "ü/木")

    assert refused.value.code == "unknown-map"
    assert refused.value.exit_code is ExitCode.USAGE
    assert refused.value.remedy


def test_events_come_until_the_job_is_over(daemon: DaemonThread) -> None:
    client = ApiClient(daemon.path)
    job = client.post(JobRecord, "sync")

    with client.events("jobs", job.id, "events") as events:
        first = next(events)
        daemon.do(lambda appliance: appliance.say(job.id, "on its way"))
        daemon.do(lambda appliance: appliance.move(job.id, JobStatus.SUCCEEDED))
        rest = [event["event"] for event in events]

    assert first["event"] == "job"
    assert rest == ["message", "job"]


def test_events_end_when_the_daemon_stops(socket_path: Path) -> None:
    with DaemonThread(socket_path) as daemon, ApiClient(daemon.path).events("events") as events:
        next(events)
        daemon.stop()
        assert list(events) == []


def test_nobody_is_there(socket_path: Path) -> None:
    with pytest.raises(DaemonNotRunningError, match="nobody answers at") as missing:
        ApiClient(socket_path).json("GET", "status")

    assert missing.value.exit_code is ExitCode.DAEMON_NOT_RUNNING
    assert "--socket" in missing.value.remedy


def test_a_socket_that_was_left_behind_is_nobody(socket_path: Path) -> None:
    bound(socket_path).close()

    assert stat.S_ISSOCK(socket_path.stat().st_mode)
    with pytest.raises(DaemonNotRunningError):
        ApiClient(socket_path).json("GET", "status")


def test_a_file_that_is_no_socket_is_nobody(socket_path: Path) -> None:
    socket_path.write_text("x")

    with pytest.raises(DaemonNotRunningError):
        ApiClient(socket_path).json("GET", "status")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_who_may_not_open_the_socket_is_told(daemon: DaemonThread) -> None:
    daemon.path.chmod(0o600)
    daemon.path.parent.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from device.api.client import ApiClient\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n    ApiClient(Path(sys.argv[1])).json('GET', 'status')\n"
        "except Exception as error:\n    print(type(error).__name__, int(error.exit_code))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(daemon.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == f"{NoPermissionError.__name__} {int(ExitCode.NO_PERMISSION)}\n"


@contextmanager
def strange_server(path: Path, answer: Callable[[socket.socket], object]) -> Iterator[None]:
    """Answers one connection in its own way."""
    listening = bound(path)
    listening.setblocking(True)

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        listening.close()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "hung up"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "hung up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "hung up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "no fieldsync daemon"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "hung up"),
    ],
)
def test_a_strange_answer_is_one_clear_error(socket_path: Path, said: bytes, told: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(said)

    with (
        strange_server(socket_path, answer),
        pytest.raises(NoAnswerError, match=told) as strange,
    ):
        ApiClient(socket_path).json("GET", "status")
    assert strange.value.exit_code is ExitCode.TEMPORARY


def test_a_daemon_that_does_not_answer_is_not_waited_for_for_ever(socket_path: Path) -> None:
    with (
        strange_server(socket_path, lambda connection: connection.recv(10_000)) as _,
        pytest.raises(NoAnswerError),
    ):
        ApiClient(socket_path, answer_within_s=0.05).json("GET", "status")


def test_an_answer_to_who_writes_too_much_is_read(socket_path: Path) -> None:
    """The daemon hangs up while we write; what it said before is not lost."""
    with (
        DaemonThread(socket_path, limits=Limits(linger_s=0.01)),
        pytest.raises(ProblemError, match="too large"),
    ):
        ApiClient(socket_path).json("POST", "sync", body={"maps": ["x" * 10_000_000]})
