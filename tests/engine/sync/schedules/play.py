"""Plays one schedule against a service of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from tests.engine.sync.schedules.ledger import Ledger
from tests.engine.sync.schedules.machine import Machine
from tests.engine.sync.schedules.schedule import Schedule
from tests.engine.sync.schedules.wide import small_sizes
from tests.engine.sync.schedules.world import Templates, new_server
from tests.feature_service import FeatureServer

_THREADED = ("sync", "cancel")  # events that need a loop which runs beside the work


class _AtOnce(ThreadPoolExecutor):
    """Runs work in the thread that asks for it: much quicker than to go to another and back."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **options))
        except BaseException as error:
            future.set_exception(error)
        return future


@asynccontextmanager
async def _server(
    schedule: Schedule, templates: Templates, folder: Path
) -> AsyncIterator[FeatureServer]:
    names = "".join(party.name for party in schedule.parties)
    await templates.copy(schedule.model, schedule.taken, names, folder)
    server = new_server(folder / "service", templates.port, schedule.profile, schedule.seed)
    async with server:
        yield server


async def play(schedule: Schedule, templates: Templates, folder: Path, ledger: Ledger) -> list[str]:
    """Play it in an empty folder, noting in ``ledger`` what was saved; what was wrong."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    if not any(event.what in _THREADED for step in schedule.steps for event in step.events):
        loop.set_default_executor(_AtOnce())
    sizes = small_sizes() if schedule.is_wide else nullcontext()
    async with _server(schedule, templates, folder) as server:
        with sizes:
            return await Machine(schedule, server, folder, ledger).run(templates.port)
