"""Jobs of the service: how they are asked, what ends them, and where their results are."""

import asyncio
from pathlib import Path

import pytest

from engine.errors import (
    AuthenticationError,
    EngineError,
    ProtocolError,
    ServiceBusyError,
    ServiceRefusedError,
)
from engine.service.operation import (
    JOB_LIMIT_S,
    POLL_LIMIT_S,
    RESULT_LIMIT_S,
    follow,
    small_answer,
    wait_for_job,
)
from engine.service.session import Session
from tests.fakes.clock import VirtualClock
from tests.fakes.http_server import HttpServer, Reply, answer, json_answer

PENDING = json_answer({"status": "Pending", "resultUrl": ""})
WRITING = json_answer({"status": "Completed", "resultUrl": "", "responseType": "x"})
DONE = json_answer({"status": "Completed", "resultUrl": "/results/1.json"})
NO_EDITS = json_answer({"status": "COMPLETED", "responseType": "esriReplicaResponseTypeNoEdits"})
UNKNOWN = json_answer({"error": {"code": 404, "message": "Job not found."}})
EXPIRED = json_answer({"error": {"code": 498, "message": "Invalid token."}})


@pytest.mark.parametrize(
    "status",
    ["Completed", "COMPLETED", "completed", "Completed With Errors", "completedwitherrors"],
)
async def test_a_job_ends_in_every_spelling(status: str, session: Session) -> None:
    done = json_answer({"status": status, "resultUrl": "u"})
    async with HttpServer(PENDING, done) as server:
        answered = await wait_for_job(session, server.origin)

    assert answered["status"] == status


@pytest.mark.parametrize(
    "status",
    [
        *("Pending", "InProgress", "ImportChanges", "ExportChanges", "ExportingData", "Whatever"),
        *("ExportingSnapshot", "ExportAttachments", "ImportAttachments", "ProvisioningReplica"),
        *("UnRegisteringReplica", "esriJobExecuting"),
    ],
)
async def test_every_other_status_is_asked_again(status: str, session: Session) -> None:
    async with HttpServer(json_answer({"status": status}), DONE) as server:
        await wait_for_job(session, server.origin)

        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("job", "code", "text"),
    [
        ({"error": {"code": 500, "description": "No space."}}, 500, "No space"),
        ({"error": {"code": 400, "message": "", "details": ["No space."]}}, 400, "No space"),
        ({"error": "No space."}, None, "No space"),
        (
            {"messages": [{"type": "esriJobMessageTypeError", "description": "No space."}]},
            None,
            "No space",
        ),
        ({"messages": ["?"], "statusMessage": "No space."}, None, "No space"),
        ({}, None, "no reason given"),
    ],
)
@pytest.mark.parametrize("status", ["Failed", "FAILED", "esriJobFailed", "failed"])
async def test_a_failed_job_is_a_refusal_with_its_reason(
    status: str, job: dict[str, object], code: int | None, text: str, session: Session
) -> None:
    async with HttpServer(json_answer({"status": status, **job})) as server:
        with pytest.raises(ServiceRefusedError, match=text) as caught:
            await wait_for_job(session, f"{server.origin}/jobs/1", needs_result=False)

    assert caught.value.service_code == code


async def test_errors_of_single_edits_do_not_make_a_job_failed(session: Session) -> None:
    job = {"status": "CompletedWithErrors", "resultUrl": "u", "error": {"code": 400}}
    async with HttpServer(json_answer(job)) as server:
        assert (await wait_for_job(session, server.origin))["resultUrl"] == "u"


@pytest.mark.parametrize("needs_result", [False, True])
@pytest.mark.parametrize(
    "reply",
    [UNKNOWN, answer("<html>"), answer("{}"), answer("[]"), answer("no", status=404)],
)
async def test_a_status_that_cannot_be_had_is_no_refusal(
    reply: Reply, needs_result: bool, session: Session
) -> None:
    async with HttpServer(PENDING, reply) as server:
        with pytest.raises(ProtocolError):
            await wait_for_job(session, server.origin, needs_result=needs_result)


@pytest.mark.parametrize(
    ("needs_result", "kind"), [(True, AuthenticationError), (False, ProtocolError)]
)
async def test_a_token_that_expires_meanwhile_is_no_refusal_of_edits(
    needs_result: bool, kind: type[EngineError], session: Session
) -> None:
    async with HttpServer(PENDING, EXPIRED) as server:
        with pytest.raises(kind, match="Invalid token"):
            await wait_for_job(session, server.origin, needs_result=needs_result)


@pytest.mark.parametrize("status", ["failure", "error"])
async def test_a_failure_to_tell_the_status_does_not_end_the_job(
    status: str, session: Session
) -> None:
    broken = json_answer({"status": status, "code": 500, "message": "Down."})
    async with HttpServer(broken) as server:
        with pytest.raises(ProtocolError, match="Down"):
            await wait_for_job(session, server.origin)


async def test_a_busy_server_is_asked_again(session: Session) -> None:
    throttled = json_answer({"error": {"code": 429, "message": "Too many."}})
    async with HttpServer(answer("", status=503), throttled, DONE) as server:
        await wait_for_job(session, server.origin)

        assert len(server.requests) == 3


async def test_a_completed_job_may_still_be_writing(session: Session) -> None:
    async with HttpServer(WRITING, WRITING, WRITING, DONE) as server:
        answered = await wait_for_job(session, server.origin)

    assert answered["resultUrl"] == "/results/1.json"


async def test_a_job_without_changes_has_no_file(session: Session) -> None:
    async with HttpServer(NO_EDITS) as server:
        await wait_for_job(session, server.origin)

        assert len(server.requests) == 1


async def test_data_that_never_comes_is_missed(session: Session, clock: VirtualClock) -> None:
    async with HttpServer(WRITING) as server:
        with pytest.raises(ProtocolError, match="completed without a result file"):
            await wait_for_job(session, server.origin)

    assert RESULT_LIMIT_S <= clock.monotonic() <= RESULT_LIMIT_S + POLL_LIMIT_S


async def test_results_that_never_come_are_done_without(session: Session) -> None:
    async with HttpServer(WRITING) as server:
        answered = await wait_for_job(session, server.origin, needs_result=False)

    assert answered["status"] == "Completed"


async def test_a_job_that_never_ends_is_given_up(
    session: Session, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.service.operation.JOB_LIMIT_S", JOB_LIMIT_S / 100)
    async with HttpServer(PENDING) as server:
        with pytest.raises(ServiceBusyError, match="is still Pending"):
            await wait_for_job(session, server.origin)

        asked = len(server.requests)

    assert clock.monotonic() >= JOB_LIMIT_S / 100
    assert asked <= JOB_LIMIT_S / 100 / POLL_LIMIT_S + 12  # after a few quick ones, a steady pace


async def test_who_looks_on_knows_the_job_and_may_ask_now() -> None:
    clock = VirtualClock()
    async with HttpServer(PENDING, PENDING, DONE) as server, Session(clock=clock) as session:
        url = f"{server.origin}/FeatureServer/jobs/j1/status"
        waiting = asyncio.ensure_future(wait_for_job(session, url))
        for asked in (1, 2):
            await clock.advance(0)
            assert len(server.requests) == asked
            assert session.watch.server_job_id == "j1"
            session.watch.poll_now()
        await waiting

    assert session.watch.server_job_id == ""
    assert clock.monotonic() == 0


# --- from the answer to the data ------------------------------------------------------------------


@pytest.mark.parametrize(
    "envelope",
    [
        {"responseType": "esriReplicaResponseTypeEdits", "replicaServerGen": 7},
        {"responseType": "esriReplicaResponseTypeData", "replicaID": "x"},
        {"replicaID": "x", "URL": ""},
    ],
)
async def test_an_answer_without_data_loses_nothing_silently(
    envelope: dict[str, object], session: Session, tmp_path: Path
) -> None:
    with pytest.raises(ProtocolError, match="neither data nor a result file"):
        await follow(session, envelope, "http://h", tmp_path / "t", None, needs_data=True)

    assert await follow(session, envelope, "http://h", tmp_path / "t", None, needs_data=False)


@pytest.mark.parametrize("name", ["URL", "url", "responseUrl", "resultUrl", "resultURL"])
async def test_a_result_may_be_told_by_any_member(
    name: str, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(answer('{"edits":[]}')) as server:
        envelope = {name: "../replicafiles/1.json"}
        url = f"{server.origin}/FeatureServer/synchronizeReplica"
        await follow(session, envelope, url, tmp_path / "t", None, needs_data=True)

        assert server.requests[0].target == "/replicafiles/1.json"
    assert (tmp_path / "t").read_text() == '{"edits":[]}'


@pytest.mark.parametrize(
    "reply",
    [answer("", status=404), answer("", status=403), UNKNOWN, EXPIRED, answer("<html>")],
)
async def test_results_that_are_gone_do_not_mean_that_edits_were_refused(
    reply: Reply, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(reply) as server:
        with pytest.raises(ProtocolError):
            await follow(
                session, {"URL": "/x"}, server.origin, tmp_path / "t", None, needs_data=False
            )


def test_a_large_answer_is_data(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text('{"layers":[' + " " * 300_000)

    assert small_answer(path, "http://h") is None


@pytest.mark.parametrize("text", ["", "<html>", "[]", "7", "nope"])
def test_a_small_answer_must_be_an_object(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(text)

    with pytest.raises(ProtocolError, match=r"^http://h answered with"):
        small_answer(path, "http://h?token=s3cret")
