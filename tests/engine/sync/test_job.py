"""Jobs: every move, every way to an end, and what who looks on is told."""

import asyncio
import re
from itertools import product

import pytest

from engine.errors import BadParameterError, EngineError, JobCancelledError
from engine.model import JobStatus
from engine.sync import job as job_module
from engine.sync.job import (
    MessageSeverity,
    Narrator,
)
from tests.engine.sync.errand import Errand, Work, at_once, for_ever, in_steps, turns, wrong

J = JobStatus


# --- the moves ------------------------------------------------------------------------------------


def test_the_drawing_shows_the_table() -> None:
    drawn = {
        JobStatus[state.upper()]: frozenset(JobStatus[name.upper()] for name in after.split(", "))
        for state, after in re.findall(r"^ +(\w+) +─▶ (.+)$", job_module.__doc__ or "", re.M)
    }

    assert drawn == {state: after for state, after in job_module._MOVES.items() if after}


@pytest.mark.parametrize(("start", "end"), list(product(JobStatus, JobStatus)))
def test_only_moves_of_the_table_are_made(start: JobStatus, end: JobStatus) -> None:
    errand = Errand(at_once)
    errand._status = start
    is_allowed = end in job_module._MOVES[start]

    if is_allowed:
        errand._move(end)
    else:
        with pytest.raises(AssertionError, match=f"{start.name} → {end.name}"):
            errand._move(end)

    assert errand.status is (end if is_allowed else start)


def test_what_is_done_stays_so() -> None:
    assert {state for state in J if not job_module._MOVES[state]} == {j for j in J if j.is_done}


# --- the ways to an end ---------------------------------------------------------------------------


async def test_a_job_succeeds_with_its_result() -> None:
    errand = Errand(at_once)

    assert errand.start()
    assert await errand.result() == "done"

    assert (errand.status, errand.progress, errand.error) == (J.SUCCEEDED, 100, None)


async def test_a_failed_job_raises_its_error_each_time_it_is_asked() -> None:
    errand = Errand(wrong)
    errand.start()

    for _ in range(2):
        with pytest.raises(BadParameterError, match="the area is wrong"):
            await errand.result()

    assert errand.status is J.FAILED
    assert isinstance(errand.error, BadParameterError)
    assert errand.messages[-1].severity is MessageSeverity.ERROR


async def test_a_fault_of_ours_is_an_error_of_the_tree(caplog: pytest.LogCaptureFixture) -> None:
    async def stumble(narrator: Narrator) -> str:
        raise KeyError("oops")

    errand = Errand(stumble)
    errand.start()

    with pytest.raises(EngineError, match=r"unexpected KeyError: 'oops'.*fault in fieldsync"):
        await errand.result()
    assert "Traceback" in caplog.text


async def test_result_waits_for_a_job_that_is_started_later() -> None:
    errand = Errand(at_once)
    waiting = asyncio.ensure_future(errand.result())
    await turns()

    errand.start()

    assert await waiting == "done"


@pytest.mark.parametrize("after", [at_once, wrong])
async def test_a_job_that_has_ended_takes_no_orders(after: Work) -> None:
    errand = Errand(after)
    errand.start()
    await turns()

    assert not errand.start()
    assert not errand.pause()
    assert not errand.check_status()
    assert not await errand.cancel()
    assert errand.status in (J.SUCCEEDED, J.FAILED)


async def test_a_job_that_has_not_begun_takes_few_orders() -> None:
    errand = Errand(at_once)

    assert not errand.pause()
    assert not errand.check_status()
    assert errand.status is J.NOT_STARTED


async def test_a_running_job_cannot_be_started_again() -> None:
    errand = Errand(for_ever)

    assert errand.start()
    assert not errand.start()
    await errand.cancel()


# --- pausing --------------------------------------------------------------------------------------


async def test_a_paused_job_stands_still_at_its_next_safe_point() -> None:
    errand = Errand(in_steps)
    errand.start()
    await turns(3)
    assert errand.progress >= 20

    assert errand.pause()
    await turns(100)
    stood_at = errand.progress
    await turns(100)

    assert errand.progress == stood_at < 80
    assert errand.status is J.PAUSED
    assert not errand.pause()
    assert errand.start()
    assert await errand.result() == "done"


async def test_a_job_may_end_before_a_pause_reaches_it() -> None:
    errand = Errand(at_once)
    errand.start()
    errand.pause()

    assert await errand.result() == "done"
    assert errand.status is J.SUCCEEDED


async def test_a_job_may_fail_before_a_pause_reaches_it() -> None:
    errand = Errand(wrong)
    errand.start()
    errand.pause()

    with pytest.raises(BadParameterError):
        await errand.result()
    assert errand.status is J.FAILED


# --- cancelling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("after_turns", range(12))
@pytest.mark.parametrize("paused", [False, True])
async def test_a_cancel_ends_a_job_wherever_it_is(after_turns: int, paused: bool) -> None:
    """Also before its first step, when its task has not run a line."""
    errand = Errand(in_steps)
    errand.start()
    await turns(after_turns)
    was_done = errand.status.is_done
    if paused:
        errand.pause()

    async with asyncio.timeout(5):
        assert await errand.cancel() is not was_done

    assert errand.status is (J.SUCCEEDED if was_done else J.CANCELLED)
    if not was_done:
        with pytest.raises(JobCancelledError):
            await errand.result()


async def test_a_job_that_never_began_is_cancelled_at_once() -> None:
    errand = Errand(at_once)

    assert await errand.cancel()

    assert errand.status is J.CANCELLED
    assert not errand.start()


async def test_two_who_cancel_both_see_the_end() -> None:
    errand = Errand(for_ever)
    errand.start()
    await turns()

    async with asyncio.timeout(5):
        assert all(await asyncio.gather(errand.cancel(), errand.cancel()))


async def test_work_that_was_faster_than_the_cancel_counts() -> None:
    async def finish(narrator: Narrator) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "committed"
        return "never"

    errand = Errand(finish)
    errand.start()
    await turns()

    assert not await errand.cancel()
    assert await errand.result() == "committed"


async def test_cleaning_up_may_take_its_time() -> None:
    cleaned = False

    async def work(narrator: Narrator) -> str:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await turns(20)
            cleaned = True
        return "never"

    errand = Errand(work)
    errand.start()
    await turns()

    await errand.cancel()

    assert cleaned


async def test_an_error_while_cleaning_up_is_told() -> None:
    async def work(narrator: Narrator) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            raise BadParameterError("the disk is gone")
        return "never"

    errand = Errand(work)
    errand.start()
    await turns()

    assert not await errand.cancel()
    assert errand.status is J.FAILED


async def test_a_job_within_a_job_is_cancelled_with_it() -> None:
    inner = Errand(for_ever)

    async def outer(narrator: Narrator) -> str:
        inner.start()
        try:
            return await inner.result()
        except asyncio.CancelledError:
            await inner.cancel()
            return await inner.result()

    errand = Errand(outer)
    errand.start()
    await turns()

    assert await errand.cancel()
    assert (inner.status, errand.status) == (J.CANCELLED, J.CANCELLED)


@pytest.mark.parametrize("after_turns", [0, 5])
async def test_a_program_that_stops_is_no_wish_of_the_user(after_turns: int) -> None:
    errand = Errand(for_ever)
    errand.start()
    await turns(after_turns)
    assert errand._task is not None

    errand._task.cancel()  # as asyncio.run does with all that is left

    async with asyncio.timeout(5):
        with pytest.raises(JobCancelledError, match="the program stopped the job"):
            await errand.result()
    assert errand.status is J.FAILED


async def test_who_gives_up_waiting_does_not_stop_the_job() -> None:
    errand = Errand(in_steps)
    errand.start()
    waiting = asyncio.ensure_future(errand.result())
    await turns(3)
    waiting.cancel()

    assert await errand.result() == "done"
