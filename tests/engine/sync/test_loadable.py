"""Loading: one attempt for all who ask, and an outcome that all of them hear."""

import asyncio

import pytest

from engine.errors import EngineError, JobCancelledError, LinkError
from engine.model import LoadStatus
from engine.sync.loadable import Loadable
from tests.engine.sync.errand import turns

L = LoadStatus


class Book(Loadable):
    """Something to load, as often as ``outcomes`` says; each attempt waits for ``opened``."""

    def __init__(self, *outcomes: Exception | None) -> None:
        super().__init__()
        self.attempts = 0
        self.opened = asyncio.Event()
        self._outcomes = outcomes or (None,)

    async def _load(self) -> None:
        outcome = self._outcomes[min(self.attempts, len(self._outcomes) - 1)]
        self.attempts += 1
        await self.opened.wait()
        if outcome is not None:
            raise outcome


def state(book: Book) -> tuple[LoadStatus, bool]:
    """Where it is, and whether it remembers an error."""
    return book.load_status, book.load_error is not None


async def test_loading_is_done_once_for_all() -> None:
    book = Book()
    assert state(book) == (L.NOT_LOADED, False)
    waiting = [asyncio.ensure_future(book.load()) for _ in range(3)]
    await turns()
    assert state(book) == (L.LOADING, False)

    book.opened.set()
    await asyncio.gather(*waiting)
    await book.load()

    assert state(book) == (L.LOADED, False)
    assert book.attempts == 1


async def test_a_failure_lasts_until_it_is_tried_again() -> None:
    book = Book(LinkError("no link"), None)
    book.opened.set()

    for _ in range(2):
        with pytest.raises(LinkError):
            await book.load()
    assert book.attempts == 1
    assert state(book) == (L.FAILED_TO_LOAD, True)

    await book.retry_load()

    assert book.attempts == 2
    assert state(book) == (L.LOADED, False)


async def test_retrying_what_is_loaded_does_nothing() -> None:
    book = Book()
    book.opened.set()
    await book.load()

    await book.retry_load()

    assert book.attempts == 1


async def test_all_who_waited_hear_of_a_failure_though_one_retries_at_once() -> None:
    book = Book(LinkError("no link"), None)
    heard: list[str] = []

    async def impatient() -> None:
        try:
            await book.load()
        except LinkError:
            book.opened.clear()
            await book.retry_load()

    async def patient() -> None:
        try:
            await book.load()
        except LinkError:
            heard.append("failed")
        else:
            heard.append("loaded")

    waiting = [asyncio.ensure_future(work) for work in (impatient(), patient())]
    await turns()
    book.opened.set()
    await turns(20)
    book.opened.set()
    await asyncio.gather(*waiting)

    assert heard == ["failed"]
    assert state(book) == (L.LOADED, False)


async def test_who_gives_up_does_not_take_it_from_the_others() -> None:
    book = Book()
    first = asyncio.ensure_future(book.load())
    second = asyncio.ensure_future(book.load())
    await turns()

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    book.opened.set()
    await second

    assert state(book) == (L.LOADED, False)


@pytest.mark.parametrize("after_turns", range(5))
async def test_a_cancelled_load_fails_for_all_who_wait(after_turns: int) -> None:
    """Also before the attempt's task has run a line."""
    book = Book()
    waiting = [asyncio.ensure_future(book.load()) for _ in range(2)]
    await turns(after_turns + 1)

    book.cancel_load()

    async with asyncio.timeout(5):
        for waiter in waiting:
            with pytest.raises(JobCancelledError, match="loading of Book was cancelled"):
                await waiter
    assert state(book) == (L.FAILED_TO_LOAD, True)
    book.opened.set()
    await book.retry_load()
    assert state(book) == (L.LOADED, False)


async def test_cancelling_nothing_does_nothing() -> None:
    book = Book()

    book.cancel_load()

    assert state(book) == (L.NOT_LOADED, False)


async def test_a_fault_of_ours_is_an_error_of_the_tree(caplog: pytest.LogCaptureFixture) -> None:
    book = Book(KeyError("oops"))
    book.opened.set()

    with pytest.raises(EngineError, match="unexpected KeyError: 'oops'"):
        await book.load()

    assert state(book) == (L.FAILED_TO_LOAD, True)
    assert "Traceback" in caplog.text


async def test_a_failure_that_nobody_waits_for_is_kept() -> None:
    book = Book(LinkError("no link"))
    waiting = asyncio.ensure_future(book.load())
    await turns()
    waiting.cancel()
    await turns()

    book.opened.set()
    await turns()

    assert state(book) == (L.FAILED_TO_LOAD, True)
    with pytest.raises(LinkError):
        await book.load()


async def test_every_status_is_told_to_who_listens() -> None:
    book = Book(LinkError("no link"), None)
    book.opened.set()
    heard: list[LoadStatus] = []

    async def listen() -> None:
        async for status in book.load_status_changes():
            heard.append(status)  # noqa: PERF401 (it never ends)

    listening = asyncio.ensure_future(listen())
    await turns()
    with pytest.raises(LinkError):
        await book.load()
    await book.retry_load()
    await book.retry_load()
    await turns()

    assert heard == [L.NOT_LOADED, L.LOADING, L.FAILED_TO_LOAD, L.LOADING, L.LOADED]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert not book._listeners


async def test_who_listens_late_hears_the_status_first() -> None:
    book = Book()
    book.opened.set()
    await book.load()

    async for status in book.load_status_changes():
        assert status is L.LOADED
        break
