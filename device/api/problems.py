"""Errors as answers: an HTTP status and a problem object (RFC 9457) for each."""

from http import HTTPStatus

from device.api.answers import Problem
from engine import EngineError, ExitCode, TransientError

PROBLEM = "application/problem+json"

STATUS_OF = {
    "bad-request": 400,
    "bad-parameter": 400,
    "not-found": 404,
    "unknown-geodatabase": 404,
    "unknown-job": 404,
    "unknown-map": 404,
    "no-permission": 403,
    "usage": 409,
    "edit-refused": 409,
    "transaction-open": 409,
    "storage-full": 507,
}
"""Error code → HTTP status; for other codes the class says whether trying again may help."""


class NotAllowedError(EngineError):
    """The caller may only read."""

    code = "no-permission"
    exit_code = ExitCode.NO_PERMISSION


class BusyError(TransientError):
    """The socket serves as many as it can, or the daemon is stopping."""

    code = "busy"


class NotStartedError(TransientError):
    """The daemon cannot start; somebody has to do something first."""

    code = "daemon-not-running"
    exit_code = ExitCode.DAEMON_NOT_RUNNING


class HttpError(EngineError):
    """A request that is wrong as HTTP, whatever it was meant to do."""

    code = "bad-request"
    exit_code = ExitCode.USAGE
    default_remedy = "See docs/socket.md"

    def __init__(self, status: int, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


def problem(error: EngineError, path: str) -> Problem:
    """What to answer to whoever asked for ``path``."""
    status = _status(error)
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=error.message,
        instance=path,
        code=error.code,
        remedy=error.remedy,
        exit_code=int(error.exit_code),
    )


def _status(error: EngineError) -> int:
    if isinstance(error, HttpError):
        return error.status
    if error.code in STATUS_OF:
        return STATUS_OF[error.code]
    return 503 if isinstance(error, TransientError) else 500
