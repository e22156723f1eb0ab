"""Plays one schedule and says what was wrong: an empty list, or sentences."""

import asyncio
import json
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from engine import faults
from engine.errors import EngineError
from engine.geodatabase.conflicts import Conflict, ConflictKind, Side
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.quarantine import Direction
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.results import SyncGeodatabaseResult
from tests.engine.sync.fleet import SERVICE, Device, edit_inside
from tests.engine.sync.schedules import audit, evidence
from tests.engine.sync.schedules.edits import (
    Values,
    draw_office_edit,
    edit_by_api,
    edit_by_foreigner,
    in_flight,
)
from tests.engine.sync.schedules.ledger import Delete, Ledger, Write
from tests.engine.sync.schedules.power import Flushed, Killed, Remains
from tests.engine.sync.schedules.schedule import Event, Party, Schedule, Step
from tests.engine.sync.schedules.world import (
    COLUMNS,
    LAYERS,
    TABLES,
    Templates,
    new_device,
    new_server,
    plain,
)
from tests.feature_service import Fault, FeatureServer, mishap

_VALUES = 20  # numbers that a step may use up
_LATER = 10  # of these, for what happens in the middle of its sync
_THREADED = ("sync", "cancel")  # events that need a loop which runs beside the work
_ROUNDS = 5  # of healing, at most, until no person is asked any more


@dataclass(slots=True)
class _Party:
    """A device while a schedule runs."""

    party: Party
    device: Device
    flushed: Flushed
    geodatabase: Geodatabase | None = None


class Machine:
    """One run of one schedule in a folder of its own."""

    def __init__(
        self, schedule: Schedule, server: FeatureServer, folder: Path, ledger: Ledger
    ) -> None:
        self.schedule = schedule
        self.server = server
        self.folder = folder
        self.ledger = ledger
        self.parties: dict[str, _Party] = {}
        self.past = evidence.Past()
        self.wrong: list[str] = []
        self.has_raced = False  # somebody wrote in the middle of a sync
        self._event: Event | None = None
        self._syncing: _Party | None = None
        self._passed = 0
        self._is_acting = False
        self._remains: Remains | None = None
        self._job: Any = None
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._session: ClientSession | None = None

    async def run(self, port: int) -> list[str]:
        for party in self.schedule.parties:
            device = new_device(self.folder, party.name, port, self.schedule.model)
            device.parameters.push_channel = party.channel
            device.parameters.conflict_policy = party.policy
            self.parties[party.name] = _Party(party, device, Flushed(device.path))
        initial = evidence.initial_rows(self.inside)
        async with ClientSession() as self._session:
            try:
                with faults.armed(self._reached):
                    for step in self.schedule.steps:
                        await self._step(step)
                    if not self.wrong:
                        await self._heal()
            finally:
                for one in self.parties.values():
                    await self._close(one)
        if not self.wrong:
            self.wrong += audit.audit(self, initial)
        return self.wrong

    @property
    def inside(self) -> Any:
        return self.server.hosted(SERVICE)

    def _values(self, seed: int, first: int) -> Values:
        return Values(random.Random(seed), first, is_narrow=self.schedule.is_narrow)

    # --- steps ------------------------------------------------------------------------------------

    async def _step(self, step: Step) -> None:
        values = self._values(step.draw, step.number * _VALUES)
        if step.what == "office":
            await self._office(values)
            return
        party = self.parties[step.device]
        match step.what:
            case "edit":
                with suppress(EngineError):  # refused at once: nothing was saved
                    geodatabase = await self._open(party)
                    await edit_by_api(step.device, geodatabase, values, self.ledger)
            case "foreign":
                self._foreign(party, values)
            case "person":
                await self._decide(party, values)
            case "cut":
                await self._cut(party)
            case "replica-unregistered" | "generation-overtaken":
                self.past.look(self.inside)
                mishap.strike(self.inside, Fault(kind=step.what))
            case "reopen":
                await self._close(party)
            case "sync":
                await self._sync(party, step)

    async def _open(self, party: _Party) -> Geodatabase:
        if party.geodatabase is None:
            party.geodatabase = await Geodatabase.open(party.device.path)
        return party.geodatabase

    async def _close(self, party: _Party) -> None:
        if party.geodatabase is not None:
            await party.geodatabase.close()
            party.geodatabase = None

    def _foreign(self, party: _Party, values: Values) -> None:
        path = party.device.path
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
            edit_by_foreigner(party.party.name, connection, values, self.ledger)
            party.flushed.was_flushed()

    async def _office(self, values: Values) -> None:
        """Over REST, as an office does."""
        drawn = draw_office_edit(self.inside, values)
        if drawn is None:
            return
        layer, edits, entry = drawn
        assert self._session is not None
        form = {
            "f": "json",
            "useGlobalIds": "true",
            "rollbackOnFailure": "false",
            "edits": json.dumps([{"id": layer, **edits}]),
        }
        url = f"{self.server.url(SERVICE)}/applyEdits"
        async with self._session.post(url, data=form) as response:
            answer = await response.json(content_type=None)
        assert isinstance(answer, list), answer
        results = [r for n in ("add", "update", "delete") for r in answer[0].get(f"{n}Results", [])]
        if all(r["success"] for r in results):
            self.ledger.note(entry)

    async def _cut(self, party: _Party) -> None:
        """Power is lost while nobody syncs."""
        geodatabase = await self._open(party)
        kept = party.flushed.look(geodatabase.database._raw)
        remains = Remains(party.device.path, self.folder / "remains", wal_bytes=kept)
        await self._close(party)
        remains.put_back()

    # --- syncs ------------------------------------------------------------------------------------

    async def _sync(self, party: _Party, step: Step) -> None:
        self._event, self._passed = step.event, 0
        for fault in step.faults:
            self.server.faults.add(fault)
        is_clean = not step.faults and step.event is None and not step.rollback
        try:
            await self._sync_once(
                party, geodatabase_sync_direction=step.direction, rollback_on_failure=step.rollback
            )
        except EngineError as error:
            if is_clean:
                self.wrong.append(f"step {step.number}: {party.party.name} failed: {error!r}")
        finally:
            self._event = None
            self.server.faults.clear()
            self.inside.failure = None
            if self._remains is not None:
                await self._close(party)
                self._remains.put_back()
                self._remains = None

    async def _sync_once(self, party: _Party, **changes: Any) -> SyncGeodatabaseResult:
        device = party.device
        geodatabase = await self._open(party)
        parameters = SyncGeodatabaseParameters(
            push_channel=device.parameters.push_channel,
            conflict_policy=device.parameters.conflict_policy,
            **changes,
        )
        outer, self._syncing = self._syncing, party
        async with GeodatabaseSyncTask(device.url, clock=device.clock) as task:
            job = task.create_sync_geodatabase_job(parameters, geodatabase)
            self._job = job
            job.start()
            try:
                await job.result()
            finally:
                self._syncing = outer
                self._check_job(party, job)
            assert job.geodatabase_result is not None
            return job.geodatabase_result

    def _check_job(self, party: _Party, job: Any) -> None:
        name = party.party.name
        if self._remains is None:
            self.wrong += [
                f"{name}: {m.text}" for m in job.messages if "fault in fieldsync" in m.text
            ]
        result = job.geodatabase_result
        for layer in () if result is None or self._remains is not None else result.layer_results:
            for counts in (layer.uploaded, layer.attachments_uploaded):
                if counts.found != counts.accounted:
                    self.wrong.append(f"{name}: {layer.table_name} does not add up: {counts}")

    # --- in the middle of a sync ------------------------------------------------------------------

    def _reached(self, point: str) -> None:
        event, party = self._event, self._syncing
        if self._remains is not None:
            raise Killed
        if event is None or party is None or self._is_acting:
            return
        self._passed += 1
        if self._passed < event.at:
            return
        self._is_acting = True
        try:
            if self._act(event, party):
                self._event = None
        finally:
            self._is_acting = False
        if self._remains is not None:
            raise Killed

    def _act(self, event: Event, party: _Party) -> bool:
        """Do it; False if it is not possible at this point."""
        values = self._values(event.draw, self._number(event) * _VALUES + _LATER)
        match event.what:
            case "kill" | "power" | "overtaken":
                if event.what == "overtaken":
                    self._on_loop(lambda: self._office_inside(values, party))
                assert party.geodatabase is not None
                kept = None
                if event.what == "power":
                    kept = party.flushed.look(party.geodatabase.database._raw)
                self._remains = Remains(party.device.path, self.folder / "remains", wal_bytes=kept)
                # What still unravels reaches nobody.
                self.server.faults.add(Fault(kind="drop-before-commit", times=0))
            case "cancel":
                job = self._job
                self._loop.call_soon_threadsafe(lambda: self._loop.create_task(job.cancel()))
            case "foreign":
                try:
                    self._foreign(party, values)
                except sqlite3.OperationalError:
                    return False  # in the middle of our transaction it would have to wait
                self.has_raced = True
            case "office":
                self._on_loop(lambda: self._office_inside(values, party))
                self.has_raced = True
            case "sync":
                other = self._other(party)
                if other is None or threading.get_ident() == self._loop_thread:
                    return other is None
                self.has_raced = True
                with suppress(EngineError):
                    sync = self._sync_once(other)
                    asyncio.run_coroutine_threadsafe(sync, self._loop).result(60)
        return True

    def _number(self, event: Event) -> int:
        return next(s.number for s in self.schedule.steps if s.event is event)

    def _other(self, party: _Party) -> _Party | None:
        others = [p for p in self.parties.values() if p is not party]
        return others[0] if others else None

    def _office_inside(self, values: Values, party: _Party) -> None:
        """The office edits a row that is on its way, if there is one."""
        with closing(sqlite3.connect(party.device.path)) as connection:
            wanted = in_flight(connection)
        drawn = draw_office_edit(self.inside, values, wanted)
        if drawn is not None:
            layer, edits, entry = drawn
            edit_inside(self.inside, layer, edits)
            self.ledger.note(entry)

    def _on_loop(self, act: Callable[[], None]) -> None:
        if threading.get_ident() == self._loop_thread:
            act()
            return
        done = threading.Event()

        def run() -> None:
            try:
                act()
            except Exception as error:
                self.wrong.append(f"the office: {error!r}")
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(60)

    # --- a person decides -------------------------------------------------------------------------

    async def _decide(self, party: _Party, values: Values, *, everything: bool = False) -> bool:
        """What a person does with what is held and refused; False if there was nothing."""
        draw, geodatabase = values.draw, await self._open(party)
        who, has_acted = party.party.name, False
        for item in await geodatabase.quarantine():
            if item.direction is not Direction.OUTBOUND or not item.is_effective:
                continue
            has_acted = True
            with suppress(EngineError):  # decided together with another
                if everything or draw.random() < 0.5:
                    await geodatabase.discard_quarantined(item.id)
                else:
                    await geodatabase.retry_quarantined(item.id)
        for conflict in await geodatabase.conflicts():
            is_stored = conflict.kind is ConflictKind.DELETED_THERE
            if not conflict.is_held and not (is_stored and draw.random() < 0.3 and not everything):
                continue
            has_acted = True
            side = draw.choice([Side.MINE, Side.THEIRS])
            self._note_decision(who, geodatabase, conflict, side)
            await geodatabase.resolve_conflict(conflict.id, side)
        return has_acted

    def _note_decision(
        self, who: str, geodatabase: Geodatabase, conflict: Conflict, side: Side
    ) -> None:
        numbers = {
            e.table.number: layer.schema.id
            for layer in geodatabase.layers
            for e in (layer.features, layer.attachments)
            if e is not None and not e.table.is_attachment
        }
        layer = numbers.get(conflict.layer)
        if layer not in LAYERS:
            return
        is_whole = conflict.kind is not ConflictKind.UPDATED
        for version in (conflict.mine, conflict.theirs):
            if version is not None:
                names = {n if n else "geom": (n, k) for n, k in COLUMNS[layer].items()}
                chosen = names if is_whole else [c for c in conflict.columns if c in names]
                cells = {names[c][0]: plain(names[c][1], version.get(c)) for c in chosen}
                self.ledger.note(Write(who, layer, conflict.global_id, cells, is_decision=True))
        if conflict.kind is ConflictKind.DELETED_HERE and side is Side.MINE:
            self.ledger.note(Delete(who, layer, conflict.global_id))

    # --- healing ----------------------------------------------------------------------------------

    async def _heal(self) -> None:
        """The link is good again; everybody syncs and decides, then syncs twice."""
        for number in range(_ROUNDS):
            for name, party in self.parties.items():
                await self._sync_well(name, party)
            values = self._values(self.schedule.seed + number, 10_000)
            acted = [
                await self._decide(p, values, everything=number > 0) for p in self.parties.values()
            ]
            if not any(acted):
                break
        else:
            self.wrong.append("a person is asked for ever")
        for name, party in self.parties.items():
            await self._sync_well(name, party)
        self.wrong += await self._agreement()
        if self.schedule.seed % 4 == 0 and not self.wrong:
            generation = self.inside.store.generation
            for name, party in self.parties.items():
                await self._sync_well(name, party)
            if self.inside.store.generation != generation:
                self.wrong.append("devices with nothing to send go on changing the service")
            self.wrong += await self._agreement()

    async def _sync_well(self, name: str, party: _Party) -> None:
        try:
            await self._sync_once(party)
        except EngineError as error:
            self.wrong.append(f"{name} does not sync over a good link: {error!r}")

    async def _agreement(self) -> list[str]:
        wrong = []
        for name, party in self.parties.items():
            geodatabase = await self._open(party)
            if await geodatabase.has_local_edits():
                wrong.append(f"{name} still has edits to send")
            await self._close(party)
            wrong += audit.disagreements(name, party.device.path, self.inside)
        return wrong


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
    await templates.copy(schedule.model, names, folder)
    server = new_server(folder / "service", templates.port, schedule.profile, schedule.seed)
    async with server:
        yield server


async def play(schedule: Schedule, templates: Templates, folder: Path, ledger: Ledger) -> list[str]:
    """Play it in an empty folder, noting in ``ledger`` what was saved; what was wrong."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    if not any(s.event is not None and s.event.what in _THREADED for s in schedule.steps):
        loop.set_default_executor(_AtOnce())
    async with _server(schedule, templates, folder) as server:
        return await Machine(schedule, server, folder, ledger).run(templates.port)


__all__ = ["TABLES", "Machine", "play"]
