"""Plays one schedule and says what was wrong: an empty list, or sentences."""

import asyncio
import json
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from engine import faults
from engine.errors import DeltaMismatchError, EngineError
from engine.geodatabase.geodatabase import Geodatabase
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.sync import registration
from engine.sync.context import spool_folder
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.parameters import SyncGeodatabaseParameters, SyncLayerOption
from engine.sync.results import SyncGeodatabaseResult
from tests.engine.sync.fleet import SERVICE, edit_inside
from tests.engine.sync.schedules import audit, evidence
from tests.engine.sync.schedules.decisions import decide, decide_beside
from tests.engine.sync.schedules.edits import (
    Values,
    album,
    burst,
    draw_office_edit,
    edit_by_api,
)
from tests.engine.sync.schedules.extras import change_layers, edit_photo
from tests.engine.sync.schedules.foreign import edit_by_foreigner, in_flight
from tests.engine.sync.schedules.ledger import Ledger
from tests.engine.sync.schedules.playing import Carried, Playing
from tests.engine.sync.schedules.power import Flushed, Killed, Remains
from tests.engine.sync.schedules.schedule import Schedule
from tests.engine.sync.schedules.step import Event, Step
from tests.engine.sync.schedules.world import new_device
from tests.feature_service import Fault, FeatureServer, mishap

_VALUES = 40  # numbers that a step may use up
_LATER = 20  # of these, for what happens in the middle of its sync
_ROUNDS = 5  # of healing, at most, until no person is asked any more


class Machine:
    """One run of one schedule in a folder of its own."""

    def __init__(
        self, schedule: Schedule, server: FeatureServer, folder: Path, ledger: Ledger
    ) -> None:
        self.schedule = schedule
        self.server = server
        self.folder = folder
        self.ledger = ledger
        self.parties: dict[str, Playing] = {}
        self.past = evidence.Past()
        self.carried = Carried(folder)
        self.wrong: list[str] = []
        self.has_raced = (
            False  # somebody wrote in the middle of a sync, or of one that was broken off
        )
        self._events: list[Event] = []
        self._syncing: Playing | None = None
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
            self.parties[party.name] = Playing(party, device, Flushed(device.path))
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
        narrow, wide = self.schedule.is_narrow, self.schedule.is_wide
        return Values(random.Random(seed), first, is_narrow=narrow, is_wide=wide)

    # --- steps ------------------------------------------------------------------------------------

    async def _step(self, step: Step) -> None:
        values = self._values(step.draw, step.number * _VALUES)
        match step.what:
            case "office":
                await self._office(values)
                return
            case "schema":
                change_layers(self.inside, values)
                return
            case "uploads-purged":
                mishap.strike(self.inside, Fault(kind="uploads-purged"))
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
            case "burst":
                geodatabase = await self._open(party)
                await burst(step.device, geodatabase, values, self.ledger)
            case "album":
                with suppress(EngineError):
                    await album(step.device, await self._open(party), values, self.ledger)
            case "clock":
                party.device.clock.start += timedelta(hours=values.draw.randint(-10_000, 2_000))
            case "register":
                await self._register(party, step)
            case "carry-out" | "carry-push" | "carry-in":
                await self._carry(party, step, values)

    async def _open(self, party: Playing) -> Geodatabase:
        if party.geodatabase is None:
            party.geodatabase = await Geodatabase.open(party.device.path)
        return party.geodatabase

    async def _close(self, party: Playing) -> None:
        if party.geodatabase is not None:
            await party.geodatabase.close()
            party.geodatabase = None

    def _foreign(self, party: Playing, values: Values) -> None:
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

    async def _cut(self, party: Playing) -> None:
        """Power is lost while nobody syncs."""
        geodatabase = await self._open(party)
        kept = party.flushed.look(geodatabase.database._raw)
        remains = Remains(party.device.path, self.folder / "remains", wal_bytes=kept)
        await self._close(party)
        remains.put_back()

    async def _decide(self, party: Playing, values: Values, *, everything: bool = False) -> bool:
        geodatabase = await self._open(party)
        return await decide(
            party.party.name, geodatabase, values.draw, self.ledger, everything=everything
        )

    # --- work with a link -------------------------------------------------------------------------

    async def _sync(self, party: Playing, step: Step) -> None:
        options = [SyncLayerOption(layer_id=i, sync_direction=way) for i, way in step.directions]
        async with self._under_way(party, step):
            await self._sync_once(
                party,
                geodatabase_sync_direction=step.direction,
                rollback_on_failure=step.rollback,
                layer_options=options,
            )

    async def _register(self, party: Playing, step: Step) -> None:
        async with self._under_way(party, step):
            geodatabase = await self._open(party)
            async with Session(clock=party.device.clock) as session:
                service = FeatureService(party.device.url, session)
                await registration.register(geodatabase, service, clock=party.device.clock)

    async def _carry(self, party: Playing, step: Step, values: Values) -> None:
        """Edits in a file, on their way to the service and back."""
        if step.what == "carry-out":
            await self.carried.write(party, await self._open(party))
            return
        is_back = step.what == "carry-in"
        path = self.carried.pick(party, values.draw, is_answered=is_back)
        if path is None:
            return
        if is_back:
            async with self._under_way(party, step):
                geodatabase = await self._open(party)
                result = await self.carried.take_back(party, geodatabase, path)
                self._check_sums(party.party.name, result)
            return
        sender = self.carried.sender(party, path)
        async with self._under_way(sender, step):
            await self._push(sender, path)

    async def _push(self, sender: Playing, path: Path) -> None:
        self._job = job = self.carried.push(sender, path)
        job.start()
        try:
            await job.result()
        finally:
            self._check_job(sender, job)

    @asynccontextmanager
    async def _under_way(self, party: Playing, step: Step) -> AsyncIterator[None]:
        """While this work goes on, what the step has comes; it may fail, or the device may die."""
        self._events, self._passed, self._syncing = list(step.events), 0, party
        for fault in step.faults:
            self.server.faults.add(fault)
        is_clean = not step.faults and not step.events and not step.rollback
        try:
            yield
        except Killed:
            assert self._remains is not None
        except EngineError as error:
            # A file may be too old for the service, or for what the map is by now.
            if is_clean and not isinstance(error, DeltaMismatchError):
                self.wrong.append(f"step {step.number}: {party.party.name} failed: {error!r}")
        finally:
            self._events, self._syncing = [], None
            self.server.faults.clear()
            self.inside.failure = None
            if self._remains is not None:
                await self._close(party)
                self._remains.put_back()
                self._remains = None

    async def _sync_once(self, party: Playing, **changes: Any) -> SyncGeodatabaseResult:
        device = party.device
        geodatabase = await self._open(party)
        parameters = SyncGeodatabaseParameters(
            push_channel=device.parameters.push_channel,
            conflict_policy=device.parameters.conflict_policy,
            **changes,
        )
        # What one device tries out on a row looks to another as if the service had done it.
        others = [p for p in self.parties.values() if p is not party]
        self.has_raced |= any(self._has_canary(other) for other in others)
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

    def _has_canary(self, party: Playing) -> bool:
        return any(spool_folder(party.device.path).glob("canary-*"))

    def _check_job(self, party: Playing, job: Any) -> None:
        name = party.party.name
        if self._remains is None:
            self.wrong += [
                f"{name}: {m.text}" for m in job.messages if "fault in fieldsync" in m.text
            ]
            self._check_sums(name, getattr(job, "geodatabase_result", None))

    def _check_sums(self, name: str, result: SyncGeodatabaseResult | None) -> None:
        for layer in () if result is None else result.layer_results:
            for counts in (layer.uploaded, layer.attachments_uploaded):
                if counts.found != counts.accounted:
                    self.wrong.append(f"{name}: {layer.table_name} does not add up: {counts}")

    # --- in the middle of a sync ------------------------------------------------------------------

    def _reached(self, point: str) -> None:
        events, party = self._events, self._syncing
        if self._remains is not None:
            raise Killed
        if not events or party is None or self._is_acting:
            return
        self._passed += 1
        if self._passed < events[0].at:
            return
        self._is_acting = True
        try:
            if self._act(events[0], party):
                del events[0]
                self._passed = 0
        finally:
            self._is_acting = False
        if self._remains is not None:
            raise Killed

    def _act(self, event: Event, party: Playing) -> bool:
        """Do it; False if it is not possible at this point."""
        number = event.number or self._number(event)
        values = self._values(event.draw, number * _VALUES + _LATER)
        match event.what:
            case "kill" | "power" | "overtaken":
                if event.what == "overtaken":
                    self._on_loop(lambda: self._office_inside(values, party))
                kept = None
                if event.what == "power":
                    assert party.geodatabase is not None
                    kept = party.flushed.look(party.geodatabase.database._raw)
                self._remains = Remains(party.device.path, self.folder / "remains", wal_bytes=kept)
                # What still unravels reaches nobody.
                self.server.faults.add(Fault(kind="drop-before-commit", times=0))
            case "cancel":
                job = self._job
                self._loop.call_soon_threadsafe(lambda: self._loop.create_task(job.cancel()))
            case "foreign" | "decide" | "photo":
                try:
                    if not self._beside(event.what, party, values):
                        return False
                except sqlite3.OperationalError:
                    return False  # in the middle of our transaction it would have to wait
                self.has_raced = True
            case "schema":
                self._on_loop(lambda: change_layers(self.inside, values))
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

    def _beside(self, what: str, party: Playing, values: Values) -> bool:
        """What another program does to the file of a device that syncs; False if there is nothing
        to be done."""
        who, path = party.party.name, party.device.path
        match what:
            case "foreign":
                self._foreign(party, values)
            case "decide" if not decide_beside(who, path, values.draw, self.ledger):
                return False
            case "photo":
                edit_photo(who, path, values, self.ledger)
        party.flushed.was_flushed()
        return True

    def _number(self, event: Event) -> int:
        return next(s.number for s in self.schedule.steps if s.event is event)

    def _other(self, party: Playing) -> Playing | None:
        others = [p for p in self.parties.values() if p is not party]
        return others[0] if others else None

    def _office_inside(self, values: Values, party: Playing) -> None:
        """The office edits a row that is on its way, if there is one."""
        wanted = {}
        if party.device.path.exists():  # that of a carrier may be yet to come
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

    # --- healing ----------------------------------------------------------------------------------

    async def _heal(self) -> None:
        """The link is good again; who was sending a file sends it again, everybody syncs and
        decides, then syncs twice."""
        for name, path in self.carried.broken():
            with suppress(EngineError):  # too old for the service, or for what the map is by now
                await self._push(self.carried.sender(self.parties[name], path), path)
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
            party.device.clock.start += timedelta(days=1)  # layers are looked at once a day
            await self._sync_well(name, party)
        self.wrong += await self._agreement()
        if self.schedule.seed % 4 == 0 and not self.wrong:
            generation = self.inside.store.generation
            for name, party in self.parties.items():
                await self._sync_well(name, party)
            if self.inside.store.generation != generation:
                self.wrong.append("devices with nothing to send go on changing the service")
            self.wrong += await self._agreement()

    async def _sync_well(self, name: str, party: Playing) -> None:
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
            wrong += audit.disagreements(name, party.device.path, self.inside, self.schedule.taken)
        return wrong
