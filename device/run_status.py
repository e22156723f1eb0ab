"""How the last run ended, kept over restarts: a technician may come after a power cut only."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from device.api.status import Failure, JobRecord, RunStatus
from device.indication import SUCCESS_S
from device.log import event
from device.model import FailureClass
from device.runs import RunEnd
from device.state import State
from engine import Clock


class LastRun:
    """The last run, for the lamps and for whoever asks. ``at``: when it ended, on the monotonic
    clock; None for one before the start."""

    def __init__(self, clock: Clock, stored: State) -> None:
        self._clock = clock
        self._stored = stored
        self._status: RunStatus | None = None
        self._success_at: float | None = None
        self.at: float | None = None

    @property
    def has_failed(self) -> bool:
        return self._status is not None and not self._status.is_success

    @property
    def failure(self) -> FailureClass | None:
        """Why it did not end well."""
        return None if self._status is None else self._status.failure_class

    @property
    def success_until(self) -> float | None:
        """The lamps tell of a success so long."""
        return None if self._success_at is None else self._success_at + SUCCESS_S

    def begun(self) -> None:
        """Another one begins."""
        self._success_at = None

    def ended(self, end: RunEnd, record: JobRecord) -> None:
        """It has ended, and its job with it."""
        now, outcome = self._clock.monotonic(), end.outcome
        is_success, failure = end.error is None, outcome.failure
        self.at = now
        self._success_at = now if is_success else None
        self._status = RunStatus(
            job=record.id,
            ended_at=record.ended_at or self._clock.now(),
            ended_ago_s=0.0,
            is_success=is_success,
            failure_class=failure,
            failure=record.failure,
        )
        self._stored.put("last_run", run_as_json(self._status))
        totals = [one.totals for one in end.results]
        event(
            "run.ended",
            logging.INFO if is_success else logging.WARNING,
            job=record.id,
            status=end.status.name.lower(),
            acknowledged=outcome.acknowledged,
            sent_bytes=sum(one.sent_bytes for one in totals),
            received_bytes=sum(one.received_bytes for one in totals),
            seconds=now - outcome.started_at,
            failure=None if failure is None else failure.value,
            error=None if end.error is None else end.error.message,
        )

    def status(self) -> RunStatus | None:
        """How long ago by the clock that does not jump; by the other for a run before the start."""
        if self._status is None:
            return None
        ago = (self._clock.now() - self._status.ended_at).total_seconds()
        if self.at is not None:
            ago = self._clock.monotonic() - self.at
        return replace(self._status, ended_ago_s=max(0.0, ago))

    def restore(self) -> None:
        """Go on with what was kept."""
        self._status = run_from_json(self._stored.get("last_run"))


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
