"""Following a job while signals come in: what is finished counts, what is stopped ends in order."""

import asyncio
import signal

import pytest

from device.cli_errors import StoppedError
from device.cli_run import follow, run_async
from device.console import Console
from engine import EngineError, Job


class Work(Job[str]):
    """A job that asks for its own end, and then takes ``turns`` more turns to clean up."""

    def __init__(self, *, signals: int, turns: int = 1, finishes: bool = False) -> None:
        super().__init__()
        self._signals = signals
        self._turns = turns
        self._finishes = finishes
        self.cleaned_up = False

    def to_json(self) -> dict[str, object]:
        return {}

    async def _run(self) -> str:
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self._clean_up()
            if not self._finishes:
                raise
        return "finished"

    async def _clean_up(self) -> None:
        for _ in range(self._signals - 1):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
        for _ in range(self._turns):
            await asyncio.sleep(0)
        self.cleaned_up = True


def run(job: Job[str]) -> str:
    return run_async(lambda: follow(job, "working", Console(is_quiet=True)), when_stopped="Again")


def test_a_signal_ends_the_job_in_good_order() -> None:
    job = Work(signals=1)

    with pytest.raises(StoppedError) as stopped:
        run(job)

    assert str(stopped.value) == "stopped. Again"
    assert job.cleaned_up


def test_a_job_that_was_faster_than_the_signal_counts() -> None:
    job = Work(signals=1, finishes=True)

    assert run(job) == "finished"


def test_a_second_signal_does_not_wait_for_the_clean_up() -> None:
    job = Work(signals=2, turns=1000)

    with pytest.raises(StoppedError):
        run(job)

    assert not job.cleaned_up


def test_an_error_of_the_work_comes_through() -> None:
    async def work() -> str:
        raise EngineError("no")

    with pytest.raises(EngineError, match="no"):
        run_async(work, when_stopped="")


def test_the_signals_are_given_back() -> None:
    async def work() -> int:
        return 1

    before = signal.getsignal(signal.SIGTERM)

    assert run_async(work, when_stopped="") == 1
    assert signal.getsignal(signal.SIGTERM) in (before, signal.SIG_DFL)
