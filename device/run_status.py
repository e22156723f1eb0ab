"""How the last run ended, kept over restarts: a technician may come after a power cut only."""

from collections.abc import Mapping
from datetime import datetime

from device.api.status import Failure, RunStatus
from device.model import FailureClass


def run_as_json(run: RunStatus) -> dict[str, object]:
    """Plain values, for the state file."""
    failure = run.failure
    return {
        "job": run.job,
        "ended_at": run.ended_at.isoformat(),
        "is_success": run.is_success,
        "failure_class": None if run.failure_class is None else run.failure_class.value,
        "failure": None
        if failure is None
        else {"code": failure.code, "message": failure.message, "remedy": failure.remedy},
    }


def run_from_json(value: Mapping[str, object]) -> RunStatus | None:
    """What :func:`run_as_json` gave; None if there is nothing, or it is not understood."""
    try:
        failure, kind = value.get("failure"), value.get("failure_class")
        return RunStatus(
            job=str(value["job"]),
            ended_at=datetime.fromisoformat(str(value["ended_at"])),
            ended_ago_s=0.0,
            is_success=value["is_success"] is True,
            failure_class=None if kind is None else FailureClass(kind),
            failure=Failure(
                code=str(failure["code"]),
                message=str(failure["message"]),
                remedy=str(failure["remedy"]),
            )
            if isinstance(failure, dict)
            else None,
        )
    except (KeyError, ValueError):
        return None
