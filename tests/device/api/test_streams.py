"""Event streams: what is now, then what changes, in order; bounded for whoever reads slowly."""

import asyncio
import socket
from pathlib import Path
from typing import Any

from device.api.limits import Limits
from device.model import Gesture
from engine import JobStatus
from tests.device.api.conftest import Caller, request, serving, until
from tests.fakes.appliance import FakeAppliance
from tests.fakes.clock import VirtualClock


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [str(line["event"]) for line in lines]


async def test_a_stream_begins_with_what_is_now(ask: Caller, appliance: FakeAppliance) -> None:
    await ask("POST", "/v1/sync")

    async with ask.stream("/v1/events") as lines:
        status, job = await lines.some(2)

    assert (status["event"], status["status"]["state"]) == ("status", "idle")
    assert (job["event"], job["job"]["id"]) == ("job", "job-1")
    assert status["sequence"] == appliance.hub.last


async def test_events_come_in_order_with_growing_numbers(
    ask: Caller, appliance: FakeAppliance
) -> None:
    async with ask.stream("/v1/events") as lines:
        first = await lines.next()
        await ask("POST", "/v1/sync")
        appliance.move("job-1", JobStatus.STARTED, progress=10)
        appliance.say("job-1", "Grüße, 木")
        appliance.hub.pressed(Gesture.SHORT)
        appliance.move("job-1", JobStatus.SUCCEEDED, progress=100)
        found = await lines.some(5)

    assert kinds(found) == ["job", "job", "message", "button", "job"]
    numbers = [line["sequence"] for line in [first, *found]]
    assert numbers == list(range(numbers[0], numbers[0] + 6))
    assert found[2]["message"]["text"] == "Grüße, 木"
    assert (found[2]["job_id"], found[2]["map"]) == ("job-1", "park")
    assert found[3]["gesture"] == "short"
    assert found[4]["job"]["progress"] == 100


async def test_many_changes_of_the_status_are_told_as_one(
    ask: Caller, appliance: FakeAppliance
) -> None:
    async with ask.stream("/v1/events") as lines:
        first = await lines.next()
        for _ in range(50):
            appliance.hub.status_changed()
        appliance.hub.pressed(Gesture.LONG)
        found = await lines.some(2)

    assert kinds(found) == ["status", "button"]
    assert found[0]["sequence"] == first["sequence"] + 50


async def test_a_quiet_stream_has_a_heartbeat(ask: Caller, clock: VirtualClock) -> None:
    async with ask.stream("/v1/events") as lines:
        await lines.next()
        start = clock.monotonic()
        found = await lines.some(2)

    assert kinds(found) == ["heartbeat", "heartbeat"]
    assert clock.monotonic() - start == 30


async def test_the_stream_of_a_job_tells_of_it_alone_and_ends_with_it(
    ask: Caller, appliance: FakeAppliance
) -> None:
    await ask("POST", "/v1/sync")
    async with ask.stream("/v1/jobs/job-1/events") as lines:
        assert (await lines.next())["job"]["status"] == "not_started"
        appliance.move("job-1", JobStatus.STARTED)
        appliance.hub.status_changed()
        await ask("POST", "/v1/sync")  # another job
        appliance.say("job-1", "on its way")
        appliance.move("job-1", JobStatus.FAILED)
        found = await lines.some(4)
        rest = await lines.reader.read()

    assert kinds(found) == ["job", "message", "job", "end"]
    assert rest == b"0\r\n\r\n"


async def test_the_stream_of_a_job_that_is_over_ends_at_once(
    ask: Caller, appliance: FakeAppliance
) -> None:
    await ask("POST", "/v1/sync")
    appliance.move("job-1", JobStatus.CANCELLED)

    async with ask.stream("/v1/jobs/job-1/events") as lines:
        assert kinds(await lines.some(2)) == ["job", "end"]


async def test_a_slow_reader_is_told_of_the_gap_and_what_is_now(
    socket_path: Path, clock: VirtualClock
) -> None:
    appliance = FakeAppliance(clock, kept_events=10)
    async with serving(appliance, socket_path, clock) as ask, ask.stream("/v1/events") as lines:
        await lines.next()
        for _ in range(300):  # the server has no chance to write in between
            appliance.hub.pressed(Gesture.SHORT)
        appliance.fields["detail"] = "Something else."
        found = await lines.some(12)

    assert kinds(found) == ["gap", *["button"] * 10, "status"]
    assert found[0]["lost"] == 290
    assert found[-1]["status"]["detail"] == "Something else."


async def test_a_reader_who_takes_nothing_costs_little_and_is_let_go(
    socket_path: Path, clock: VirtualClock
) -> None:
    appliance = FakeAppliance(clock, kept_events=10)
    appliance.fields["detail"] = "x" * 100_000
    limits = Limits(stall_s=0.05)
    async with serving(appliance, socket_path, clock, limits=limits):
        reader, writer = await asyncio.open_unix_connection(str(socket_path), limit=1000)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # an asyncio.Transport
        writer.write(request("GET", "/v1/events"))
        await until(lambda: len(appliance.hub._readers) == 1)
        await until(lambda: not appliance.hub._readers, appliance.hub.status_changed)
        writer.close()
        del reader


async def test_a_reader_who_hangs_up_is_forgotten_at_once(
    ask: Caller, appliance: FakeAppliance, clock: VirtualClock
) -> None:
    async with ask.stream("/v1/events") as lines:
        await lines.next()
        assert len(appliance.hub._readers) == 1
    start = clock.monotonic()

    await until(lambda: not appliance.hub._readers)

    assert clock.monotonic() == start


async def test_streams_leave_room_for_others(
    appliance: FakeAppliance, socket_path: Path, clock: VirtualClock
) -> None:
    limits = Limits(connections=4, streams=2)
    async with (
        serving(appliance, socket_path, clock, limits=limits) as ask,
        ask.stream("/v1/events") as one,
        ask.stream("/v1/events") as two,
    ):
        await one.next()
        await two.next()
        refused = await ask("GET", "/v1/events")
        status = await ask("GET", "/v1/status")

    assert (refused.status, refused.json["code"]) == (503, "busy")
    assert status.status == 200


async def test_a_reader_whose_end_is_shut_for_reading_does_no_harm(
    ask: Caller, appliance: FakeAppliance
) -> None:
    """Writing to it is answered by SIGPIPE or EPIPE (socket(7)); neither may end the daemon."""
    plain = socket.socket(socket.AF_UNIX)
    plain.connect(str(ask.path))
    plain.sendall(request("GET", "/v1/events"))
    plain.shutdown(socket.SHUT_RD)
    await until(lambda: len(appliance.hub._readers) == 1)
    await until(lambda: not appliance.hub._readers, appliance.hub.status_changed)

    assert (await ask("GET", "/v1/status")).status == 200
    plain.close()
