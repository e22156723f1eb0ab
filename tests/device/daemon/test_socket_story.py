"""The daemon, its socket and the command that asks it, as one: no fake appliance in between."""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from typing import Any, TypeVar

import pytest

from device.api.answers import EditPage, Jobs, Links, Maps, QuarantinePage
from device.api.client import ApiClient
from device.api.json_reading import read
from device.api.routes import ROUTES
from device.api.status import Health, JobRecord, MapStatus, State, Status
from device.model import WaitReason
from engine import JobStatus
from tests.device.api.test_metrics import checked
from tests.device.daemon.world import World, note_of

AnswerT = TypeVar("AnswerT")
WITHIN_S = 50
"""Of real time, before a test that waits is given up."""


async def get(world: World, kind: type[AnswerT], *steps: str) -> AnswerT:
    """An answer, which has exactly the members that are described."""
    value = await asyncio.to_thread(ApiClient(world.socket).json, "GET", *steps)
    return read(kind, value, is_strict=True)


async def fieldsync(world: World, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The command as a program of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "device", *arguments, "--json", "--socket", str(world.socket)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    told: dict[str, Any] = json.loads(out)
    return process.returncode, told


async def test_a_job_that_waits_for_a_link_runs_when_it_comes(world: World) -> None:
    world.edit(1, "from the field")
    await world.started()
    edits = await get(world, EditPage, "maps", "park", "edits")
    code, told = await fieldsync(world, "sync", "park", "--wait")
    waiting = await get(world, Status, "status")
    following = asyncio.create_task(asyncio.to_thread(followed, world, told["job"]["id"]))

    world.link_up()
    async with asyncio.timeout(WITHIN_S):
        events = await following

    assert [edit.layer for edit in edits.edits] == ["Trees"]
    assert (code, told["error"]["code"]) == (5, "deferred")
    assert (waiting.state, waiting.reason) == (State.WAITING, WaitReason.NO_LINK)
    jobs = [read(JobRecord, e["job"]) for e in events if e["event"] == "job"]
    assert jobs[-1].status is JobStatus.SUCCEEDED
    assert [job.progress for job in jobs] == sorted(job.progress for job in jobs)
    assert jobs[-1].results[0].exit_code == 0
    assert jobs[-1].results[0].edits.applied == 1
    assert await note_of(world.service, 1) == "from the field"
    assert (await get(world, EditPage, "maps", "park", "edits")).edits == ()


def followed(world: World, job_id: str) -> list[dict[str, Any]]:
    with ApiClient(world.socket).events("jobs", job_id, "events") as events:
        return list(events)


async def test_a_refused_edit_is_found_and_given_up_by_the_name_of_the_map(world: World) -> None:
    with closing(sqlite3.connect(world.geopackage)) as other, other:
        other.execute("UPDATE Trees SET kind = 'larch' WHERE fid = 3")
    await world.started()
    world.link_up()

    code, told = await fieldsync(world, "sync", "--wait")
    listed, found = await fieldsync(world, "quarantine", "park")
    number = str(found["quarantine"][0]["id"])
    decided, _ = await fieldsync(world, "quarantine", "park", "--discard", number)

    assert (code, told["job"]["results"][0]["exit_code"]) == (7, 7)
    assert (listed, decided) == (7, 0)
    assert (await get(world, QuarantinePage, "maps", "park", "quarantine")).quarantine == ()
    assert (await get(world, MapStatus, "maps", "park")).quarantined == 0


async def test_a_pause_holds_until_it_is_ended(world: World) -> None:
    await world.started()
    code, told = await fieldsync(world, "pause")
    world.link_up()
    world.edit(2, "later")
    await world.clock.sleep(3600)
    still = await get(world, Status, "status")

    await fieldsync(world, "resume")
    await world.until(lambda: any(job.status is JobStatus.SUCCEEDED for job in world.jobs), 7200)

    assert (code, told["status"]["state"]) == (0, "paused")
    assert (still.state, still.reason) == (State.PAUSED, WaitReason.PAUSED)
    assert await note_of(world.service, 2) == "later"


async def test_every_answer_is_what_is_described(world: World) -> None:
    await world.started()
    world.link_up()
    await fieldsync(world, "sync", "--wait")

    for kind, steps in (
        (Status, ("status",)),
        (Health, ("health",)),
        (Links, ("links",)),
        (Maps, ("maps",)),
        (Jobs, ("jobs",)),
        (MapStatus, ("maps", "park")),
    ):
        await get(world, kind, *steps)
    client = ApiClient(world.socket)
    samples = checked(await asyncio.to_thread(client.text, "metrics"))
    described = await asyncio.to_thread(client.json, "GET", "openapi.json")
    config = await asyncio.to_thread(client.json, "GET", "config")

    assert samples['fieldsync_map_edits{map="park"}'] == 0
    assert samples["fieldsync_uptime_seconds"] > 0
    assert isinstance(described, dict)
    assert set(described["paths"]) == {route.path for route in ROUTES}
    assert isinstance(config, dict)
    assert config["map"][0]["name"] == "park"


async def test_who_listens_is_told_when_the_daemon_stops(world: World) -> None:
    await world.started()

    def listen() -> list[str]:
        with ApiClient(world.socket).events("events") as events:
            return [str(event["event"]) for event in events]

    listening = asyncio.create_task(asyncio.to_thread(listen))
    await world.until(lambda: bool(world.daemon.appliance.events._readers))
    await world.stop()

    async with asyncio.timeout(WITHIN_S):
        assert (await listening)[0] == "status"
    assert not world.socket.exists()


@pytest.mark.parametrize("verb", ["status", "queue", "doctor"])
async def test_the_verbs_of_a_person_work_with_the_real_one(world: World, verb: str) -> None:
    await world.started()
    world.link_up()
    more = ["--config", str(world.folder / "config.toml")] if verb == "doctor" else []

    code, told = await fieldsync(world, verb, *more)

    assert told["error"] is None
    assert code == 0 or verb == "doctor"
    if verb == "doctor":
        found = {check["name"]: check["is_ok"] for check in told["checks"]}
        assert (found["daemon"], found["map park"], found["service"]) == (True, True, True)
