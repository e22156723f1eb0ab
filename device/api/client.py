"""Asking the daemon from another program: HTTP on a Unix socket, with the standard library alone.

It costs some 25 ms to load where an HTTP library costs ten times that, which on a small board is
the difference between an answer and a wait.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

from device.api.json_form import Json, as_json
from device.api.json_reading import read
from device.api.status import Failure
from device.cli_errors import NoPermissionError
from engine import EngineError, ExitCode, TransientError

AnswerT = TypeVar("AnswerT")

ANSWER_WITHIN_S = 70.0
"""A little more than the daemon gives itself."""
HEARD_WITHIN_S = 45.0
"""Three heartbeats."""
LARGEST_ANSWER = 64 * 1024 * 1024


class DaemonNotRunningError(EngineError):
    """Nobody answers at the socket."""

    code = "daemon-not-running"
    exit_code = ExitCode.DAEMON_NOT_RUNNING
    default_remedy = "Start it (systemctl start fieldsync), or name its socket with --socket"


class NoAnswerError(TransientError):
    """The daemon hung up, or took too long."""

    code = "no-answer"


class ProblemError(EngineError):
    """The daemon refused, in its own words."""

    def __init__(self, problem: Mapping[str, object]) -> None:
        super().__init__(str(problem.get("detail")), remedy=str(problem.get("remedy") or ""))
        self.code = str(problem.get("code") or "error")
        self.status = problem.get("status")
        self.exit_code = exit_code_of(problem.get("exit_code"))


class ReportedError(EngineError):
    """Something that the daemon has met and tells of, in its own words."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, remedy=failure.remedy)
        self.code = failure.code
        self.exit_code = exit_code_of(failure.exit_code)


class ApiClient:
    """Asks at the socket ``path``. Each request is a connection of its own."""

    def __init__(self, path: Path, *, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self.path = path
        self._answer_within_s = answer_within_s

    def get(self, kind: type[AnswerT], *steps: str, **query: object) -> AnswerT:
        """What is at the path of those steps, as a ``kind``."""
        return read(kind, self.json("GET", *steps, **query), is_strict=False)

    def post(self, kind: type[AnswerT], *steps: str, body: object = None) -> AnswerT:
        """The answer to a request with that body, a dataclass."""
        return read(kind, self.json("POST", *steps, body=body), is_strict=False)

    def delete(self, kind: type[AnswerT], *steps: str) -> AnswerT:
        """The answer to a request that removes something."""
        return read(kind, self.json("DELETE", *steps), is_strict=False)

    def json(self, method: str, *steps: str, body: object = None, **query: object) -> object:
        """An answer of JSON. :exc:`ProblemError` if it is a problem."""
        with self._asked(method, steps, body, query, self._answer_within_s) as answer:
            return _json(self._text(answer), self.path)

    def text(self, *steps: str) -> str:
        """An answer that is no JSON."""
        with self._asked("GET", steps, None, {}, self._answer_within_s) as answer:
            return self._text(answer).decode()

    @contextmanager
    def events(self, *steps: str) -> Iterator[Iterator[Json]]:
        """The events of a stream as they come, heartbeats left out; it ends with the daemon's last
        word. :exc:`NoAnswerError` if it ends without one."""
        with self._asked("GET", steps, None, {}, HEARD_WITHIN_S) as answer:
            yield self._lines(answer)

    def _lines(self, answer: HTTPResponse) -> Iterator[Json]:
        while True:
            with _failures(self.path):
                text = answer.readline(LARGEST_ANSWER)
            if not text.endswith(b"\n"):
                raise NoAnswerError(f"the daemon at {self.path} hung up in the middle")
            line = _json(text, self.path)
            assert isinstance(line, dict)
            if line.get("event") == "end":
                return
            if line.get("event") != "heartbeat":
                yield line

    @contextmanager
    def _asked(
        self,
        method: str,
        steps: tuple[str, ...],
        body: object,
        query: Mapping[str, object],
        timeout_s: float,
    ) -> Iterator[HTTPResponse]:
        target = "/v1/" + "/".join(quote(step, safe="") for step in steps)
        given = {name: as_json(value) for name, value in query.items() if value is not None}
        if given:
            target += "?" + urlencode({n: _query_text(value) for n, value in given.items()})
        text = None if body is None else json.dumps(as_json(body)).encode()
        connection = _Connection(self.path, timeout_s)
        try:
            with _failures(self.path):
                # One that has hung up already may have left an answer.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, target, text, {"Accept": "*/*"})
                answer = connection.getresponse()
            if answer.status >= 400 and answer.getheader("Content-Type", "").startswith(
                "application/problem+json"
            ):
                problem = _json(self._text(answer), self.path)
                assert isinstance(problem, dict)
                raise ProblemError(problem)
            yield answer
        finally:
            connection.close()

    def _text(self, answer: HTTPResponse) -> bytes:
        if answer.length is None or answer.length > LARGEST_ANSWER:
            raise NoAnswerError(f"what answers at {self.path} is no fieldsync daemon")
        with _failures(self.path):
            return answer.read()


class _Connection(HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("fieldsync", timeout=timeout_s)
        self._path = path
        self._patience_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._patience_s)
        self.sock.connect(str(self._path))


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Whatever the system says, in words of ours."""
    try:
        yield
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise DaemonNotRunningError(
            f"the daemon is not running: nobody answers at {path}"
        ) from error
    except PermissionError as error:
        raise NoPermissionError(
            f"{path}: this user may not open the daemon's socket",
            remedy="Do it as root, or as a member of the group that the socket belongs to",
        ) from error
    except BlockingIOError as error:  # even the kernel's queue is full (unix(7), EAGAIN)
        raise NoAnswerError(f"too many ask the daemon at {path} at once") from error
    except TimeoutError as error:
        raise NoAnswerError(f"the daemon at {path} does not answer") from error
    except (OSError, HTTPException) as error:
        raise NoAnswerError(f"the daemon at {path} hung up: {error}") from error


def exit_code_of(number: object) -> ExitCode:
    """The exit code of that number; ``ERROR`` if there is none."""
    return next((code for code in ExitCode if code == number), ExitCode.ERROR)


def _json(text: bytes, path: Path) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        raise NoAnswerError(f"what answers at {path} is no fieldsync daemon") from None
    return value


def _query_text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)
