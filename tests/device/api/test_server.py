"""What the socket answers, and what it refuses."""

import asyncio
import json
from pathlib import Path

import pytest

from device.api.handlers import Handlers
from device.api.limits import Limits
from device.api.routes import ROUTES
from engine import JobStatus
from tests.device.api.conftest import QUICK, Answered, Caller, request, serving
from tests.fakes.appliance import FakeAppliance
from tests.fakes.clock import VirtualClock

IMPATIENT = Limits(request_s=0.05, linger_s=0.05)


async def test_the_status_is_told(ask: Caller) -> None:
    answer = await ask("GET", "/v1/status")

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["server"] == "fieldsync"
    assert answer.json["state"] == "idle"
    assert answer.json["links"][0]["interface"] == "wlan0"


async def test_a_sync_is_asked_for_and_its_job_can_be_followed(
    ask: Caller, appliance: FakeAppliance
) -> None:
    answer = await ask("POST", "/v1/sync", {"is_expensive_allowed": True})

    assert answer.status == 202
    assert answer.headers["location"] == "/v1/jobs/job-1"
    assert answer.json["is_expensive_allowed"] is True
    assert (await ask("GET", "/v1/jobs/job-1")).json == answer.json
    assert (await ask("GET", "/v1/jobs")).json == {"jobs": [answer.json]}
    assert [what for what, _ in appliance.asked] == ["sync"]


async def test_a_sync_without_a_body_is_of_all_maps(ask: Caller) -> None:
    assert (await ask("POST", "/v1/sync")).status == 202


async def test_a_pause_lasts_until_somebody_resumes(ask: Caller) -> None:
    paused = await ask("POST", "/v1/pause", {"seconds": 60})
    resumed = await ask("POST", "/v1/resume")

    assert (paused.json["state"], paused.json["next_run_in_s"]) == ("paused", 60)
    assert resumed.json["state"] == "idle"


async def test_a_job_is_cancelled(ask: Caller) -> None:
    await ask("POST", "/v1/sync")

    answer = await ask("DELETE", "/v1/jobs/job-1")

    assert (answer.status, answer.json["status"]) == (200, "cancelled")


async def test_an_unhealthy_daemon_says_so_in_the_status_too(
    ask: Caller, appliance: FakeAppliance
) -> None:
    assert (await ask("GET", "/v1/health")).status == 200
    appliance.parts["links"] = False

    answer = await ask("GET", "/v1/health")

    assert answer.status == 503
    assert answer.json["is_healthy"] is False


async def test_every_route_has_its_handler_and_no_other() -> None:
    public = {name for name in vars(Handlers) if not name.startswith("_")}

    assert public == {route.operation for route in ROUTES}


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "says"),
    [
        ("GET", "/v2/status", None, 404, "there is no /v2/status"),
        ("GET", "/v1/sync", None, 405, "/v1/sync takes no GET"),
        ("GET", "/v1/jobs/nope", None, 404, "'nope'"),
        ("GET", "/v1/jobs/nope/events", None, 404, "'nope'"),
        ("GET", "/v1/maps/nope", None, 404, "'nope'"),
        ("GET", "/v1/maps/%C3%BC%F0%9F%90%9F/edits", None, 404, "'ü🐟'"),
        ("GET", "/v1/status?f=json", None, 400, "'f' is unknown"),
        ("GET", "/v1/maps/nope/edits?limit=0", None, 400, "limit must be"),
        ("GET", "/v1/maps/nope/edits?limit=1&limit=2", None, 400, "given 2 times"),
        ("GET", "/v1/maps/nope/edits?after=x", None, 404, "after is no place"),
        ("GET", "/v1/maps/nope/edits?after=", None, 404, "after is no place"),
        ("GET", "/v1/maps/nope/conflicts?resolved=yes", None, 400, "true or false"),
        ("POST", "/v1/sync", {"map": "a"}, 400, "'map' is unknown; what is known is maps"),
        ("POST", "/v1/sync", {"maps": "a"}, 400, 'maps must be a list, not "a"'),
        ("POST", "/v1/sync", {"maps": [1]}, 400, "maps[0] must be a text, not 1"),
        ("POST", "/v1/sync", {"maps": ["nope"]}, 404, "'nope'"),
        ("POST", "/v1/sync", [], 400, "the body must be an object"),
        ("POST", "/v1/pause", {"seconds": -1}, 400, "seconds is -1"),
        ("POST", "/v1/pause", {"seconds": 1e99}, 400, "seconds is"),
        ("POST", "/v1/pause", {"seconds": True}, 400, "seconds must be a number"),
        ("POST", "/v1/resume", {}, 400, "takes no body"),
        ("POST", "/v1/maps/nope/quarantine/retry", {}, 400, "ids is missing"),
        ("POST", "/v1/maps/nope/quarantine/retry", {"ids": [2**63]}, 400, "ids[0] is"),
        ("POST", "/v1/maps/nope/quarantine/retry", None, 400, "the body is no JSON"),
    ],
)
async def test_what_is_wrong_is_said(
    ask: Caller, method: str, target: str, body: object, status: int, says: str
) -> None:
    answer = await ask(method, target, body)

    assert answer.status == status, answer.body
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert says in answer.json["detail"]
    assert answer.json["status"] == status
    assert set(answer.json) == {
        *("title", "status", "detail", "instance", "code", "remedy", "exit_code")
    }


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"seconds": NaN}', b'{"seconds":1,"seconds":2}', b"\xff", b"[" * 9000, b"1" * 5000],
)
async def test_a_body_that_is_no_json_is_refused(ask: Caller, body: bytes) -> None:
    answer = await ask.raw(request("POST", "/v1/pause", body))

    assert answer.status == 400, answer.body
    assert answer.json["code"] == "bad-request"


async def test_a_method_that_is_refused_comes_with_those_that_are_not(ask: Caller) -> None:
    answer = await ask("PUT", "/v1/jobs/x")

    assert answer.status == 405
    assert set(answer.headers["allow"].split(",")) == {"GET", "DELETE"}


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v1/sync HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50) + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused(ask: Caller, data: bytes) -> None:
    answer = await ask.raw(data)

    assert answer.status in (0, 400), answer.body
    assert b"Traceback" not in answer.body
    assert (await ask("GET", "/v1/status")).status == 200


async def test_the_next_caller_is_served_whatever_bytes_the_last_one_sent(ask: Caller) -> None:
    whole = request("POST", "/v1/pause", b'{"seconds": 5}')

    for length in range(1, len(whole)):
        _, writer = await asyncio.open_unix_connection(str(ask.path))
        writer.write(whole[:length])
        writer.close()

    assert (await ask("GET", "/v1/status")).json["state"] == "idle"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("GET", "/v1/" + "x" * 5000), (400, 431)),
        (request("GET", "/v1/status", Cookie="x" * 9000), (400, 431)),
        (request("GET", "/v1/status", b"", **{f"X{n}": "x" for n in range(80)}), (431,)),
        (request("POST", "/v1/sync", b" " * 20_000), (413,)),
        (request("POST", "/v1/sync", b"\x1f\x8b" + bytes(99), Content_Encoding="gzip"), (415,)),
    ],
)
async def test_what_is_too_large_is_refused(
    ask: Caller, sent: bytes, status: tuple[int, ...]
) -> None:
    answer = await ask.raw(sent)

    assert answer.status in status, answer.body
    assert answer.json["detail"]


async def test_a_body_without_end_is_refused_where_it_is_too_large(ask: Caller) -> None:
    reader, writer = await asyncio.open_unix_connection(str(ask.path))
    writer.write(b"POST /v1/sync HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")

    beginning = asyncio.ensure_future(reader.read(15))

    async def send() -> None:
        while True:
            writer.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send(), 10)

    assert await beginning == b"HTTP/1.1 413 Re"
    writer.close()


async def test_a_caller_who_never_asks_is_let_go(
    appliance: FakeAppliance, socket_path: Path, clock: VirtualClock
) -> None:
    async with serving(appliance, socket_path, clock, limits=IMPATIENT) as ask:
        assert (await ask.raw(b"GET /v1/status HT")).status == 0
        assert (await ask.raw(request("POST", "/v1/sync", b"{}")[:-1])).status == 408


async def test_each_connection_is_closed_after_its_answer(ask: Caller) -> None:
    answer = await ask.raw(request("GET", "/v1/status") * 3)

    assert answer.headers["connection"] == "close"
    assert answer.body.count(b"HTTP/1.1") == 0


async def test_a_thousand_callers_are_bounded(
    appliance: FakeAppliance, socket_path: Path, clock: VirtualClock
) -> None:
    limits = Limits(connections=8, request_s=30)
    async with serving(appliance, socket_path, clock, limits=limits) as ask:
        answers = await asyncio.gather(
            *(ask("GET", "/v1/status") for _ in range(1000)), return_exceptions=True
        )
        silent = [await asyncio.open_unix_connection(str(socket_path)) for _ in range(8)]
        await asyncio.sleep(0)
        refused = await ask("GET", "/v1/status")
        for _, writer in silent:
            writer.close()

    answered = [answer.status for answer in answers if isinstance(answer, Answered)]
    assert set(answered) <= {200, 503}
    assert answered.count(200) >= 8
    assert all(isinstance(answer, Answered | OSError) for answer in answers)
    assert refused.status == 503
    assert refused.json["code"] == "busy"
    assert refused.json["exit_code"] == 75


async def test_a_fault_of_the_daemon_is_no_traceback_for_the_caller(
    ask: Caller, appliance: FakeAppliance, caplog: pytest.LogCaptureFixture
) -> None:
    appliance.fields["state"] = object()

    answer = await ask("GET", "/v1/status")

    assert (answer.status, answer.json["title"]) == (500, "Internal Server Error")
    assert "has no JSON form" not in answer.body.decode()
    assert "has no JSON form" in caplog.text


async def test_an_answer_that_takes_too_long_is_given_up(
    appliance: FakeAppliance, socket_path: Path, clock: VirtualClock
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    appliance.pause = never  # type: ignore[method-assign, assignment]
    async with serving(appliance, socket_path, clock, limits=Limits(answer_s=0.02)) as ask:
        answer = await ask("POST", "/v1/pause")

    assert (answer.status, answer.json["code"]) == (503, "busy")


async def test_the_server_stops_at_once_with_callers_at_every_stage(
    appliance: FakeAppliance, socket_path: Path, clock: VirtualClock
) -> None:
    async with serving(appliance, socket_path, clock, limits=QUICK) as ask:
        silent = await asyncio.open_unix_connection(str(socket_path))
        half, half_writer = await asyncio.open_unix_connection(str(socket_path))
        half_writer.write(request("POST", "/v1/sync", b"{}")[:-1])
        listening, listener = await asyncio.open_unix_connection(str(socket_path))
        listener.write(request("GET", "/v1/events"))
        await listening.readuntil(b"\n")
        assert (await ask("GET", "/v1/status")).status == 200

    assert b'"reason": "the daemon is stopping"' in await listening.read()
    await half.read()
    await silent[0].read()
    for writer in (silent[1], half_writer, listener):
        writer.close()


async def test_jobs_that_are_over_are_told_with_their_end(
    ask: Caller, appliance: FakeAppliance
) -> None:
    await ask("POST", "/v1/sync")
    appliance.move("job-1", JobStatus.SUCCEEDED, progress=100)

    (job,) = (await ask("GET", "/v1/jobs")).json["jobs"]

    assert (job["status"], job["progress"]) == ("succeeded", 100)


async def test_the_description_is_json_and_names_every_route(ask: Caller) -> None:
    answer = await ask("GET", "/v1/openapi.json")

    told = {
        (method.upper(), path)
        for path, methods in answer.json["paths"].items()
        for method in methods
    }
    assert told == {(route.method, route.path) for route in ROUTES}
    assert json.dumps(answer.json)


async def test_a_caller_who_hangs_up_in_the_middle_of_its_body_is_no_fault_of_ours(
    ask: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_unix_connection(str(ask.path))
    writer.write(request("POST", "/v1/sync", b"{" * 900)[:-800])
    await writer.drain()
    assert (await ask("GET", "/v1/status")).status == 200
    writer.close()
    assert (await ask("GET", "/v1/status")).status == 200

    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []
