"""What a job tells of itself: progress, messages, events."""

import asyncio

import pytest

from engine.errors import BadParameterError
from engine.model import JobStatus
from engine.sync.job import MAX_MESSAGES, JobEvent, MessageSource, Narrator
from tests.engine.sync.errand import Errand, at_once, in_steps, turns, wrong
from tests.fakes.clock import START, VirtualClock

J = JobStatus


# --- progress, messages, events -------------------------------------------------------------------


async def test_progress_only_grows() -> None:
    seen: list[int] = []

    async def work(narrator: Narrator) -> str:
        for percent in (10, 5.9, -3, 50, 49, 250, 7):
            narrator.report(percent)
            seen.append(errand.progress)
        return "done"

    errand = Errand(work)
    errand.start()
    await errand.result()

    assert seen == [10, 10, 10, 50, 50, 99, 99]
    assert errand.progress == 100


async def test_a_failed_job_keeps_its_progress() -> None:
    async def work(narrator: Narrator) -> str:
        narrator.report(30)
        return await wrong(narrator)

    errand = Errand(work)
    errand.start()
    with pytest.raises(BadParameterError):
        await errand.result()

    assert errand.progress == 30


def test_a_part_reports_into_the_whole() -> None:
    told: list[float] = []
    whole = Narrator(told.append, lambda *_: None, asyncio.Event().wait)  # type: ignore[arg-type]

    part = whole.part(40, 60)
    part.report(0)
    part.part(50, 100).report(50)
    part.report(100)

    assert told == [40, 55, 60]
    assert part.watch is whole.watch


async def test_messages_tell_who_when_and_how_bad() -> None:
    async def work(narrator: Narrator) -> str:
        narrator.info("begun")
        narrator.warn("slow")
        narrator.service_says("Pending")
        return "done"

    errand = Errand(work)
    errand.start()
    await errand.result()

    told = [(m.text, m.severity.value, m.source) for m in errand.messages]
    assert told == [
        ("begun", "info", MessageSource.CLIENT),
        ("slow", "warning", MessageSource.CLIENT),
        ("Pending", "info", MessageSource.SERVICE),
    ]
    assert errand.messages[0].at == START
    assert errand.messages[0].to_json()["at"] == "2024-05-01T12:00:00.000Z"


async def events(errand: Errand) -> list[JobEvent]:
    return [event async for event in errand]


async def test_events_tell_the_whole_story_and_end() -> None:
    errand = Errand(in_steps)
    listening = asyncio.ensure_future(events(errand))
    await turns()
    errand.start()

    async with asyncio.timeout(5):
        heard = await listening

    assert [e.status for e in heard] == [J.NOT_STARTED] + [J.STARTED] * 5 + [J.SUCCEEDED]
    assert [e.progress for e in heard] == [0, 0, 20, 40, 60, 80, 100]


async def test_who_comes_late_hears_the_end() -> None:
    errand = Errand(at_once)
    errand.start()
    await errand.result()

    assert [e.status for e in await events(errand)] == [J.SUCCEEDED]


async def test_events_carry_the_messages() -> None:
    errand = Errand(wrong)
    listening = asyncio.ensure_future(events(errand))
    await turns()
    errand.start()

    heard = await listening

    assert heard[-1].status is J.FAILED
    assert [e.message.text for e in heard if e.message] == ["the area is wrong"]


async def test_a_slow_listener_loses_the_oldest_and_never_the_end() -> None:
    async def talk(narrator: Narrator) -> str:
        for number in range(3 * MAX_MESSAGES):
            narrator.info(str(number))
        return "done"

    errand = Errand(talk)
    story = aiter(errand)
    await anext(story)
    errand.start()
    await errand.result()

    heard = [event async for event in story]

    assert len(heard) == MAX_MESSAGES
    assert heard[-1].status is J.SUCCEEDED
    assert len(errand.messages) == MAX_MESSAGES


async def test_a_listener_that_leaves_is_forgotten() -> None:
    errand = Errand(in_steps)
    story = errand.__aiter__()
    await anext(story)
    await story.aclose()  # type: ignore[attr-defined]  # an asynchronous generator

    assert errand._listeners == []


# --- the job of the service -----------------------------------------------------------------------


async def test_asking_now_reaches_who_waits_for_the_service() -> None:
    clock = VirtualClock()

    async def work(narrator: Narrator) -> str:
        narrator.watch.server_job_id = "j7"
        await narrator.watch.wait(clock, 3600)
        return "done"

    errand = Errand(work)
    errand.start()
    await turns()
    assert errand.server_job_id == "j7"

    assert errand.check_status()

    async with asyncio.timeout(5):
        assert await errand.result() == "done"
    assert clock.sleeping == 0
