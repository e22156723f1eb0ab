"""A sync that the daemon does: asked for, and followed if that is wanted."""

from argparse import Namespace
from collections.abc import Iterator

from device.api.client import ApiClient, NoAnswerError, ReportedError
from device.api.json_form import as_json
from device.api.json_reading import read
from device.api.requests import SyncRequest
from device.api.status import JobRecord, LayerResult
from device.cli_errors import StoppedError
from device.cli_parser import defaults
from device.cli_socket import refuse_options
from device.cli_watch import job_line
from device.console import Console, Report
from device.model import WaitReason
from device.tables import size, table
from engine import EngineError, ExitCode, JobEvent, JobMessage, JobStatus

HEADINGS = (
    *("map", "layer", "sent", "added", "changed", "deleted", "photos up", "photos down"),
    *("conflicts", "refused", "waiting"),
)
FOR_A_FOLDER = ("direction", "conflicts", "allow_full_download", "all_or_nothing", "keep_deltas")


class DeferredError(EngineError):
    """The daemon keeps the job until something changes: a link comes up, say."""

    code = "deferred"
    exit_code = ExitCode.NO_LINK
    default_remedy = "The job is kept, and starts by itself as soon as it can"


def run(client: ApiClient, options: Namespace, console: Console) -> Report:
    """Ask for the sync; with ``--wait`` follow it to its end."""
    refuse_options(options, (*FOR_A_FOLDER, "credentials"), defaults_of_sync())
    names = () if options.map is None else (str(options.map),)
    wanted = SyncRequest(maps=names, is_expensive_allowed=options.expensive)
    job = client.post(JobRecord, "sync", body=wanted)
    if options.wait:
        job = _followed(client, job, console)
    error = _error(job) if options.wait else None
    return Report(
        data={"job": as_json(job)},
        lines=list(_lines(job)),
        exit_code=_exit_code(job) if error is None else error.exit_code,
        error=error,
    )


def _followed(client: ApiClient, job: JobRecord, console: Console) -> JobRecord:
    """The job when it is over, or waits for something of which nobody knows when it comes."""
    progress = console.progress(f"syncing {', '.join(job.maps)}")
    try:
        with client.events("jobs", job.id, "events") as events:
            for event in events:
                message = None
                if event["event"] == "job":
                    job = read(JobRecord, event["job"], is_strict=False)
                elif event["event"] == "message":
                    message = read(JobMessage, event["message"], is_strict=False)
                shown = JobEvent(status=job.status, progress=job.progress, message=message)
                progress.show(shown)
                if job.status.is_done or _is_deferred(job):
                    return job
    except KeyboardInterrupt:
        raise StoppedError(
            "stopped waiting", remedy="The daemon goes on; fieldsync watch shows it"
        ) from None
    finally:
        progress.close()
    raise NoAnswerError(
        "the daemon stopped before the sync was over",
        remedy="Nothing is lost; it goes on when the daemon runs again",
    )


def _is_deferred(job: JobRecord) -> bool:
    is_waiting = job.status is JobStatus.NOT_STARTED and job.reason is not None
    return is_waiting and job.next_try_in_s is None


def _error(job: JobRecord) -> EngineError | None:
    """What kept the job, or one of its maps, from being done."""
    if _is_deferred(job):
        error = DeferredError(f"the sync has to wait: {job.detail.rstrip('.')}")
        if job.reason is WaitReason.AUTHENTICATION:
            error.exit_code = ExitCode.NO_PERMISSION
        return error
    failures = [job.failure, *(result.error for result in job.results)]
    return next((ReportedError(failure) for failure in failures if failure), None)


def _exit_code(job: JobRecord) -> ExitCode:
    """The gravest of the maps': edits that were refused, then conflicts."""
    codes = {result.exit_code for result in job.results}
    return next((c for c in (ExitCode.QUARANTINE, ExitCode.CONFLICTS) if c in codes), ExitCode.OK)


def _lines(job: JobRecord) -> Iterator[str]:
    yield job_line(job)
    rows = [_row(result.map, layer) for result in job.results for layer in result.layers]
    if rows:
        yield from table(HEADINGS, rows)
    for result in job.results:
        if result.error is not None:
            yield f"{result.map}: {result.error.message}"
    if job.results:
        sent = sum(result.totals.sent_bytes for result in job.results)
        received = sum(result.totals.received_bytes for result in job.results)
        yield f"Sent {size(sent)}, received {size(received)}."


def _row(name: str, one: LayerResult) -> tuple[object, ...]:
    return (
        name,
        one.table,
        one.sent,
        one.added,
        one.updated,
        one.deleted,
        one.photos_sent,
        one.photos_received,
        one.conflicts,
        one.refused,
        one.waiting,
    )


def defaults_of_sync() -> Namespace:
    """The options of a sync for which nothing was said."""
    from device.cli_parser import make_parser

    return make_parser().parse_args(["sync"], defaults())
