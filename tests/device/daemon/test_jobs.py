"""The syncs that were asked for, as everybody is shown them."""

import pytest

from device.api.appliance import UnknownJobError
from device.api.events import Event, EventHub, EventKind
from device.api.status import Cause
from device.jobs import REMEMBERED, REMEMBERED_BYTES, Jobs
from device.model import Wait, WaitReason
from engine import EngineError, JobStatus
from tests.device.large_jobs import large_result
from tests.device.measured import bytes_taken
from tests.fakes.clock import VirtualClock


@pytest.fixture
def events(clock: VirtualClock) -> EventHub:
    return EventHub(clock)


@pytest.fixture
def jobs(clock: VirtualClock, events: EventHub) -> Jobs:
    return Jobs(clock, events)


def asked(jobs: Jobs, *maps: str, is_expensive_allowed: bool = False) -> str:
    record = jobs.ask(Cause.SOCKET, maps, is_expensive_allowed=is_expensive_allowed)
    return record.id


async def test_a_second_request_widens_the_job_that_waits(jobs: Jobs) -> None:
    first = asked(jobs, "trees")
    second = asked(jobs, "roads", "trees", is_expensive_allowed=True)

    record = jobs.get(first)
    assert first == second
    assert record.maps == ("trees", "roads")
    assert record.is_expensive_allowed


async def test_a_request_while_one_runs_makes_one_that_waits(jobs: Jobs) -> None:
    first = asked(jobs, "trees")
    jobs.start(first, "wlan0")

    second = asked(jobs, "trees")

    assert first != second
    assert (jobs.running, jobs.waiting) == (first, second)


async def test_a_job_moves_from_waiting_to_its_end_and_each_move_is_told(
    jobs: Jobs, events: EventHub
) -> None:
    with events.subscribe() as reader:
        name = asked(jobs, "trees")
        wait = Wait(until=30, reason=WaitReason.NO_LINK, detail="There is no network link.")
        jobs.waits(wait)
        jobs.waits(wait)
        jobs.start(name, "wlan0")
        jobs.moved(40, "Syncing trees.")
        jobs.moved(30, "Syncing trees.")
        jobs.end(name, JobStatus.SUCCEEDED)
        told = [one for one in reader.take() if isinstance(one, Event)]

    assert {one.kind for one in told} == {EventKind.JOB}
    records = [one.job for one in told if one.job is not None]
    assert [(one.status.name, one.progress) for one in records] == [
        ("NOT_STARTED", 0),
        ("NOT_STARTED", 0),
        ("STARTED", 0),
        ("STARTED", 40),
        ("STARTED", 40),
        ("SUCCEEDED", 100),
    ]
    assert records[1].reason is WaitReason.NO_LINK
    assert records[1].next_try_in_s == 30
    assert records[2].reason is None
    assert (jobs.running, jobs.waiting) == (None, None)


async def test_the_error_of_a_job_is_kept_with_it(jobs: Jobs) -> None:
    name = asked(jobs, "trees")
    jobs.start(name, "wlan0")

    jobs.end(name, JobStatus.FAILED, error=EngineError("no", remedy="do"))

    failure = jobs.get(name).failure
    assert failure is not None
    assert (failure.code, failure.message, failure.remedy) == ("error", "no", "do")


async def test_old_jobs_are_forgotten_but_never_those_that_wait_or_run(jobs: Jobs) -> None:
    running = asked(jobs, "trees")
    jobs.start(running, "wlan0")
    for _ in range(2 * REMEMBERED):
        jobs.end(asked(jobs, "trees"), JobStatus.CANCELLED)
    waiting = asked(jobs, "trees")

    assert len(jobs.all()) == REMEMBERED
    assert jobs.all()[0].id == waiting
    assert jobs.get(running).status is JobStatus.STARTED
    with pytest.raises(UnknownJobError):
        jobs.get("000000000000")


async def test_jobs_of_maps_with_many_layers_take_no_more_memory(clock: VirtualClock) -> None:
    jobs = Jobs(clock, EventHub(clock, kept=1))

    def work() -> None:
        for number in range(REMEMBERED):
            name = asked(jobs, "trees")
            jobs.start(name, "wlan0")
            jobs.end(name, JobStatus.SUCCEEDED, results=(large_result(str(number), 60),))

    assert bytes_taken(work) < 2 * REMEMBERED_BYTES
    assert jobs.all()[0].results[0].map == str(REMEMBERED - 1)


async def test_the_last_job_is_remembered_however_large_it_is(jobs: Jobs) -> None:
    asked(jobs, "trees")
    name = asked(jobs, "trees")
    jobs.start(name, "wlan0")

    jobs.end(name, JobStatus.SUCCEEDED, results=(large_result("trees", 5000),))

    assert jobs.get(name).status is JobStatus.SUCCEEDED
