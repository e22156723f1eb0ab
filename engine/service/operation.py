"""Operations whose outcome comes later: the service's jobs, and the result files they leave.

Sources: ArcGIS REST API, "Asynchronous operations", "Response type for sync operations".
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from engine.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    ServiceBusyError,
    ServiceError,
    ServiceRefusedError,
    TransientError,
    service_error,
)
from engine.layer_schema import JsonObject
from engine.service.answer import json_object, place, raise_error_in
from engine.service.download import discard, download, kept as find_kept
from engine.service.session import Session

POLL_FIRST_S = 0.2
POLL_LIMIT_S = 5.0
JOB_LIMIT_S = 6 * 3600.0  # a job that has not ended by then is stuck
RESULT_LIMIT_S = 300.0  # for which a completed job may still be writing its result file
SMALL_ANSWER_BYTES = 256 * 1024  # an envelope is far smaller, so a larger answer is data

_DONE = frozenset({"completed", "completedwitherrors"})
_FAILED = frozenset({"failed", "esrijobfailed", "cancelled", "timedout"})
_DATA_MEMBERS = frozenset({"layers", "edits"})
_REPLICA_MEMBERS = frozenset(
    {"replicaid", "responsetype", "replicaservergen", "layerservergens", "edits"}
)

Listener = Callable[[str], None]


async def follow(
    session: Session,
    answer: JsonObject | None,
    url: str,
    target: Path,
    on_status: Listener | None,
    *,
    needs_data: bool,
    request: str = "",
) -> JsonObject:
    """Follow the answer of ``url`` to its data, in ``target``; returns the envelope.

    ``answer`` None means that the body, which ``target`` holds, was data already. ``needs_data``:
    an answer that neither has data nor says that there is none would silently lose what it should
    bring. Without it the call has sent edits, and once it was taken only a failed job is a
    :exc:`ServiceRefusedError`: results that cannot be had are a :exc:`ProtocolError`. A
    ``request`` names what was asked for, so that another process can go on with its result file
    (:func:`kept_answer`).
    """
    if answer is None:
        return {}
    status_url = link(answer, url, "statusUrl")
    if status_url and not link(answer, url, "resultUrl"):
        answer = await wait_for_job(session, status_url, on_status, needs_result=needs_data)
        await asyncio.to_thread(target.write_text, json.dumps(answer))
    members = {name.casefold() for name in answer}
    result_url = link(answer, url, "resultUrl", "responseUrl", "URL")
    if result_url:
        with _taken_already(needs_data):
            memo = {"request": request, "answer": answer} if request else None
            await download(session, result_url, target, memo=memo)
            await asyncio.to_thread(small_answer, target, result_url)  # expired: an error object
    elif not _REPLICA_MEMBERS & members:
        raise ProtocolError(f"{place(url)} did not do what was asked")
    elif needs_data and not _DATA_MEMBERS & members and not _says_no_data(answer):
        raise ProtocolError(f"{place(url)} answered with neither data nor a result file")
    return answer


async def kept_answer(session: Session, target: Path, request: str) -> JsonObject | None:
    """The envelope of what an earlier run asked for in the same words and did not come to use.

    Its data is in ``target`` then. None if it must be asked for anew: the files of a service live
    about ten minutes ("Error handling with sync operations").
    """
    kept = await asyncio.to_thread(find_kept, target)
    if kept is not None and kept.memo.get("request") == request:
        try:
            await download(session, kept.url, target, memo=kept.memo)
            await asyncio.to_thread(small_answer, target, kept.url)
        except (TransientError, AuthenticationError):
            raise
        except ServiceError:
            pass
        else:
            answer = kept.memo.get("answer")
            return answer if isinstance(answer, dict) else {}
    await asyncio.to_thread(discard, target)
    return None


async def wait_for_job(
    session: Session,
    status_url: str,
    on_status: Listener | None = None,
    *,
    needs_result: bool = True,
) -> JsonObject:
    """Ask for a job's status until it has ended; returns its last answer.

    :exc:`ServiceRefusedError` if the job failed. "Completed" without a result URL is still writing
    its file and is asked again, unless the job says that there is none.
    """
    session.watch.server_job_id = urlsplit(status_url).path.removesuffix("/status").split("/")[-1]
    try:
        return await _poll(session, status_url, on_status, needs_result)
    finally:
        session.watch.server_job_id = ""


async def _poll(
    session: Session, status_url: str, on_status: Listener | None, needs_result: bool
) -> JsonObject:
    clock, where = session.clock, place(status_url)
    start, completed_at, pause, last = clock.monotonic(), None, POLL_FIRST_S, ""
    while True:
        with _taken_already(needs_result):
            answer = await session.get(status_url, check=_check_status)
        status = str(answer["status"])
        if status != last and on_status is not None:
            on_status(status)
        last = status
        folded = status.replace(" ", "").casefold()
        if folded in _FAILED:
            raise _job_error(answer, where)
        now = clock.monotonic()
        if folded in _DONE:
            if link(answer, status_url, "resultUrl") or _says_no_data(answer):
                return answer
            completed_at = now if completed_at is None else completed_at
            if now - completed_at >= RESULT_LIMIT_S:
                if needs_result:
                    raise ProtocolError(f"the job {where} completed without a result file")
                return answer
        elif now - start >= JOB_LIMIT_S:
            hours = JOB_LIMIT_S / 3600
            raise ServiceBusyError(f"the job {where} is still {status} after {hours:g} hours")
        await session.watch.wait(clock, pause)
        pause = min(POLL_LIMIT_S, pause * 1.5)


async def result_of_job(session: Session, answer: JsonObject, status_url: str) -> JsonObject:
    """What a job that has ended left in its result file, a small one."""
    result_url = link(answer, status_url, "resultUrl", "responseUrl", "URL")
    if not result_url:
        raise ProtocolError(f"the job {place(status_url)} ended without a result file")
    with _taken_already(is_download=False):
        return await session.get(result_url, is_file=True)


def link(answer: JsonObject, base: str, *names: str) -> str:
    """The first URL among those members, made absolute; empty if there is none."""
    found = _find(answer, *names)
    return urljoin(base, found) if found else ""


def small_answer(path: Path, url: str) -> JsonObject | None:
    """The answer in a file if it may be an envelope, None if it is data; raises its error."""
    if path.stat().st_size > SMALL_ANSWER_BYTES:
        return None
    value = json_object(path.read_bytes(), url)
    if "" in value:
        raise ProtocolError(f"{place(url)} answered with a bare list")
    raise_error_in(value, place(url))
    return value


@contextmanager
def _taken_already(is_download: bool) -> Iterator[None]:
    """What is refused here is the way to the outcome; the call itself was taken before."""
    try:
        yield
    except ServiceRefusedError as error:
        if is_download and isinstance(error, AuthenticationError | PermissionDeniedError):
            raise
        raise ProtocolError(
            f"the outcome of an operation cannot be had: {error.message}",
            remedy="Sync again: what the service did is found out then",
        ) from error


def _check_status(answer: JsonObject, where: str) -> None:
    """A failed job is told by its status; an answer without one is an error of another kind."""
    if str(answer.get("status") or "").casefold() in ("", "failure", "error"):
        raise_error_in(answer, where)
        raise ProtocolError(f"{where} does not tell the status of a job")


def _job_error(answer: JsonObject, where: str) -> ServiceRefusedError:
    """Why a job failed: its error object, or its messages."""
    error = answer.get("error")
    if not isinstance(error, dict):
        messages = answer.get("messages")
        entries = messages if isinstance(messages, list) else []
        texts = [m.get("description") for m in entries if isinstance(m, dict)]
        text = " ".join(str(t) for t in texts if t) or answer.get("statusMessage")
        error = {"message": error if isinstance(error, str) else text}
    return service_error(error, f"the job {where} failed")


def _says_no_data(answer: JsonObject) -> bool:
    return _find(answer, "responseType").casefold().endswith("noedits")


def _find(answer: JsonObject, *names: str) -> str:
    """The first non-empty text among the members of those names, in any letter case."""
    folded = {key.casefold(): value for key, value in answer.items()}
    for name in names:
        value = folded.get(name.casefold())
        if isinstance(value, str) and value:
            return value
    return ""
