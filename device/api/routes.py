"""The one table of what the socket answers: routes, parameters, bodies, answers.

The server is made from it, the OpenAPI document is made from it, and a test compares it with
docs/socket.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from device.api.answers import (
    ConflictPage,
    DecidedConflicts,
    DecidedRows,
    EditPage,
    Jobs,
    Links,
    Maps,
    QuarantinePage,
)
from device.api.json_form import Json, description
from device.api.requests import PauseRequest, QuarantineRequest, ResolveRequest, SyncRequest
from device.api.status import Health, JobRecord, MapStatus, Status

JSON = "application/json"
NDJSON = "application/x-ndjson"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PAGE, LARGEST_PAGE = 100, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the query, as the JSON Schema of its value; it may always be left out."""

    name: str
    schema: Json
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A good answer: its type, or for what is no object of ours its media type alone."""

    text: str
    kind: type | None = None
    media_type: str = JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation: the name of its handler, and all that a caller has to know.

    ``changes``: only for those who may change things. ``body`` may be left out unless it
    ``needs_body``. ``refusals``: HTTP status → when, beside those that every route may give.
    """

    method: str
    path: str
    operation: str
    summary: str
    answers: Mapping[int, Answer]
    query: tuple[Parameter, ...] = ()
    body: type | None = None
    needs_body: bool = False
    changes: bool = False
    refusals: Mapping[int, str] = field(default_factory=dict)


LIMIT = Parameter(
    name="limit",
    schema={"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE},
    text="How many at most.",
)
AFTER = Parameter(
    name="after",
    schema={"type": "string", "maxLength": 400, "pattern": "^[A-Za-z0-9_-]*$"},
    text="Where to go on: `next` of the page before.",
)
RESOLVED = Parameter(
    name="resolved",
    schema={"type": "boolean", "default": False},
    text="Also what has been decided; it is kept for 90 days.",
)
GEODATABASE = Parameter(
    name="geodatabase",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
    text="Only those of this file.",
)
NO_MAP = {
    404: "There is no such map, or nothing of that name or number in it.",
    503: "The map is busy, or its disk is in trouble.",
}
WHICH = {409: "The map has several geodatabases, and none is named."}
NO_JOB = {404: "There is no such job, or it is forgotten."}
EVENTS = Answer(
    text="Events, one JSON object a line, for as long as the caller listens.", media_type=NDJSON
)


def _ok(kind: type, text: str = "") -> dict[int, Answer]:
    return {200: Answer(kind=kind, text=text or description(kind))}


ROUTES = (
    Route(
        method="GET",
        path="/v1/status",
        operation="status",
        summary="Tell all there is to say of the device.",
        answers=_ok(Status),
    ),
    Route(
        method="POST",
        path="/v1/sync",
        operation="sync",
        summary="Ask for a sync, as a press of the button does.",
        body=SyncRequest,
        changes=True,
        answers={202: Answer(kind=JobRecord, text="The job; `Location` is its path.")},
        refusals={404: "One of the maps is unknown."},
    ),
    Route(
        method="POST",
        path="/v1/pause",
        operation="pause",
        summary="Sync nothing for a while; a running sync stops in good order.",
        body=PauseRequest,
        changes=True,
        answers=_ok(Status),
    ),
    Route(
        method="POST",
        path="/v1/resume",
        operation="resume",
        summary="End a pause.",
        changes=True,
        answers=_ok(Status),
    ),
    Route(
        method="GET",
        path="/v1/jobs",
        operation="jobs",
        summary="List the jobs that are waiting, running, or over not long ago.",
        answers=_ok(Jobs),
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}",
        operation="job",
        summary="Tell of one job.",
        answers=_ok(JobRecord),
        refusals=NO_JOB,
    ),
    Route(
        method="DELETE",
        path="/v1/jobs/{job}",
        operation="cancel_job",
        summary="Cancel a job in good order, and wait for its end; what is over stays as it is.",
        changes=True,
        answers=_ok(JobRecord),
        refusals=NO_JOB,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/events",
        operation="job_events",
        summary="Follow one job until its end.",
        answers={200: EVENTS},
        refusals=NO_JOB | {503: "Too many are listening."},
    ),
    Route(
        method="GET",
        path="/v1/events",
        operation="events",
        summary="Follow everything.",
        answers={200: EVENTS},
        refusals={503: "Too many are listening."},
    ),
    Route(
        method="GET",
        path="/v1/maps",
        operation="maps",
        summary="List the maps.",
        answers=_ok(Maps),
    ),
    Route(
        method="GET",
        path="/v1/maps/{map}",
        operation="map",
        summary="Tell of one map.",
        answers=_ok(MapStatus),
        refusals={404: NO_MAP[404]},
    ),
    Route(
        method="GET",
        path="/v1/maps/{map}/edits",
        operation="edits",
        summary="List the edits that the services do not have yet.",
        query=(LIMIT, AFTER),
        answers=_ok(EditPage),
        refusals=NO_MAP,
    ),
    Route(
        method="GET",
        path="/v1/maps/{map}/conflicts",
        operation="conflicts",
        summary="List the rows that were edited on both sides.",
        query=(RESOLVED, GEODATABASE, LIMIT, AFTER),
        answers=_ok(ConflictPage),
        refusals=NO_MAP,
    ),
    Route(
        method="POST",
        path="/v1/maps/{map}/conflicts/resolve",
        operation="resolve_conflicts",
        summary="Take a side of conflicts, one after the other; the first that fails ends it.",
        body=ResolveRequest,
        needs_body=True,
        changes=True,
        answers=_ok(DecidedConflicts),
        refusals=NO_MAP | {409: f"A side cannot be taken; or: {WHICH[409]}"},
    ),
    Route(
        method="GET",
        path="/v1/maps/{map}/quarantine",
        operation="quarantine",
        summary="List what was refused, and what could not be stored.",
        query=(RESOLVED, GEODATABASE, LIMIT, AFTER),
        answers=_ok(QuarantinePage),
        refusals=NO_MAP,
    ),
    Route(
        method="POST",
        path="/v1/maps/{map}/quarantine/retry",
        operation="retry_quarantined",
        summary="Send refused edits again, and fetch unstored rows again, with the next sync.",
        body=QuarantineRequest,
        needs_body=True,
        changes=True,
        answers=_ok(DecidedRows),
        refusals=NO_MAP | WHICH,
    ),
    Route(
        method="POST",
        path="/v1/maps/{map}/quarantine/discard",
        operation="discard_quarantined",
        summary="Give refused edits up: the rows become as the service has them.",
        body=QuarantineRequest,
        needs_body=True,
        changes=True,
        answers=_ok(DecidedRows),
        refusals=NO_MAP | WHICH,
    ),
    Route(
        method="GET",
        path="/v1/links",
        operation="links",
        summary="List the links, and how much may still go over them today.",
        answers=_ok(Links),
    ),
    Route(
        method="GET",
        path="/v1/config",
        operation="config",
        summary="Show the configuration that is in force; secrets are hidden.",
        answers={200: Answer(text="The configuration.")},
    ),
    Route(
        method="GET",
        path="/v1/metrics",
        operation="metrics",
        summary="Tell numbers for a monitoring system.",
        answers={200: Answer(text="OpenMetrics 1.0.0.", media_type=OPENMETRICS)},
    ),
    Route(
        method="GET",
        path="/v1/health",
        operation="health",
        summary="Tell whether the daemon's parts live.",
        answers=_ok(Health, "They do.") | {503: Answer(kind=Health, text="One does not.")},
    ),
    Route(
        method="GET",
        path="/v1/openapi.json",
        operation="openapi",
        summary="Give this description.",
        answers={200: Answer(text="An OpenAPI 3.1 document.")},
    ),
)
