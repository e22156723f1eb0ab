"""The n-th await is the one that is cancelled, and what runs afterwards is left alone."""

import asyncio

import pytest

from tests.cancelling import CancelledAt


async def _steps(log: list[str]) -> str:
    for number in range(3):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            log.append(f"cancelled {number}")
            await asyncio.sleep(0)
            log.append("tidied")
            raise
        log.append(f"done {number}")
    return "end"


async def test_work_is_not_touched_when_never_cancelled() -> None:
    log: list[str] = []
    work = CancelledAt(_steps(log))

    assert await work == "end"
    assert work.count == 3


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_work_is_cancelled_at_its_nth_await_and_may_tidy_up(at: int) -> None:
    log: list[str] = []

    async def run() -> str:
        return await CancelledAt(_steps(log), at)

    task = asyncio.ensure_future(run())
    await asyncio.wait([task])

    assert task.cancelled()
    assert log == [f"done {n}" for n in range(at - 1)] + [f"cancelled {at - 1}", "tidied"]
