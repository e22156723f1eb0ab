"""Asynchronous operations: what a client sees while it polls.

Source: ArcGIS REST API, "Asynchronous operations". The work itself is done when the job is
submitted; the statuses in between are told one per poll, so that they do not depend on time.
"""

import json
from typing import Any

from .guid import bare
from .hosted import Hosted
from .problem import ServiceError

_WALKS = {
    "createReplica": ("Pending", "ProvisioningReplica", "ExportingSnapshot", "ExportingData"),
    "synchronizeReplica": ("Pending", "InProgress", "ImportChanges", "ExportChanges"),
    "applyEdits": ("PENDING", "INPROGRESS"),
    "extractChanges": ("Pending", "InProgress", "ExportChanges"),
}


def submit(hosted: Hosted, operation: str, document: dict[str, Any], result: str | None) -> str:
    """Store the outcome of a job; its id. `result` names its result file."""
    head = "sf_" if operation == "applyEdits" else "j"
    job_id = head + bare(hosted.mint()).replace("-", "")
    now_ms = hosted.clock.now_ms()
    stored = {
        **document,
        "operation": operation,
        "result": result,
        "submissionTime": now_ms,
        "lastUpdatedTime": now_ms,
    }
    with hosted.store.transaction():
        hosted.store.run("INSERT INTO job VALUES (?, 0, ?)", job_id, json.dumps(stored))
    return job_id


def poll(hosted: Hosted, job_id: str, files_url: str) -> dict[str, Any]:
    """The status resource of a job; each call is one step of its walk."""
    found = hosted.store.one("SELECT polls, document FROM job WHERE id = ?", job_id)
    if found is None:
        raise ServiceError(404, "Job not found.", f"there is no job {job_id}")
    polls, document = int(found[0]), json.loads(found[1])
    with hosted.store.transaction():
        hosted.store.run("UPDATE job SET polls = polls + 1 WHERE id = ?", job_id)
    operation, result = document.pop("operation"), document.pop("result")
    walk = _WALKS[operation][: hosted.profile.job_polls]
    if polls < len(walk):
        unfinished = ("transportType", "responseType", "replicaName", "submissionTime")
        shown = {name: document[name] for name in unfinished if name in document}
        shown["lastUpdatedTime"] = hosted.clock.now_ms()
        shown["resultUrl"] = ""
        shown["status"] = _cased(hosted, walk[polls])
        return shown
    early = hosted.profile.completes_before_url and polls == len(walk)
    document["resultUrl"] = f"{files_url}/{result}" if result and not early else ""
    document["status"] = _cased(hosted, document["status"])
    return dict(document)


def _cased(hosted: Hosted, status: str) -> str:
    match hosted.profile.status_case:
        case "upper":
            return status.upper()
        case "lower":
            return status.lower()
        case "spaced":
            return "".join(f" {c}" if c.isupper() and at else c for at, c in enumerate(status))
        case _:
            return status
