"""Sending a delta of edits from another machine than the one it was made on.

    open ─▶ carrier ─▶ find out what the service has already ─▶ push ─▶ acknowledgement

May be killed anywhere and run again, and a file may be pushed twice: every run first asks the
service what it has of the edits, and sends only what is missing.
"""

import asyncio
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from engine.atomic import ProcessLock, remove_leftovers
from engine.clock import Clock, timestamp
from engine.errors import DeltaMismatchError, ServiceError, SyncInProgress
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.replica import Replica, get_replica
from engine.model import ConflictPolicy, SyncDirection
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.delta_answer import AnswerCounts, write_acknowledgement
from engine.sync.delta_carrier import FILE, build_carrier, carrier_name, mark_as_sent
from engine.sync.delta_export import refuse_other_file
from engine.sync.delta_file import DeltaFile
from engine.sync.delta_parts import DeltaContent
from engine.sync.delta_verdict import EditVerdict
from engine.sync.geodatabase_sync import GeodatabaseSync
from engine.sync.job import Job
from engine.sync.job_json import check_kind, job_json, parameters_in, text_in
from engine.sync.machine import is_another_machine
from engine.sync.parameters import PushChannel, SyncGeodatabaseParameters
from engine.sync.results import SyncTotals


@dataclass(slots=True, kw_only=True)
class PushDeltaResult:
    """What became of the edits in a delta file, table by table.

    ``acknowledgement_path`` is the file to carry back. An edit that is ``unknown`` is not in it.
    """

    acknowledgement_path: Path
    tables: list[AnswerCounts] = field(default_factory=list)
    totals: SyncTotals = field(default_factory=SyncTotals)

    def count(self, verdict: EditVerdict) -> int:
        return sum(table.verdicts[verdict] for table in self.tables)

    @property
    def unknown(self) -> int:
        return sum(table.unknown for table in self.tables)

    @property
    def has_errors(self) -> bool:
        good = self.count(EditVerdict.APPLIED)
        return any(t.unknown + t.verdicts.total() for t in self.tables) and good != sum(
            t.unknown + t.verdicts.total() for t in self.tables
        )


class PushDeltaJob(Job[PushDeltaResult]):
    """Sends a delta of edits to its service and writes the acknowledgement.

    ``url`` None is the URL that the file names.
    """

    kind = "push_delta"

    def __init__(
        self,
        delta: Path,
        acknowledgement: Path,
        *,
        url: str | None = None,
        push_channel: PushChannel = PushChannel.AUTO,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self._delta = delta
        self._acknowledgement = acknowledgement
        self._url = url
        self._push_channel = push_channel
        self._credential = credential

    def to_json(self) -> dict[str, object]:
        return job_json(
            self.kind,
            {"push_channel": self._push_channel},
            delta=str(self._delta),
            acknowledgement=str(self._acknowledgement),
            **({} if self._url is None else {"service_url": self._url}),
        )

    @classmethod
    def from_json(
        cls,
        value: Mapping[str, object],
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """The job that :meth:`to_json` told of, not started, to go on after a restart."""
        check_kind(value, cls.kind)
        channels = parameters_in(value, dict[str, PushChannel])
        return cls(
            Path(text_in(value, "delta")),
            Path(text_in(value, "acknowledgement")),
            url=text_in(value, "service_url") if "service_url" in value else None,
            push_channel=channels.get("push_channel", PushChannel.AUTO),
            credential=credential,
            clock=clock,
        )

    async def _run(self) -> PushDeltaResult:
        delta = await asyncio.to_thread(DeltaFile.open, self._delta)
        if delta.content is not DeltaContent.EDITS:
            raise DeltaMismatchError(
                f"{delta.path} holds {delta.content.value}, not edits to be sent",
                remedy="Import it on the device with fieldsync import",
            )
        refuse_other_file(self._acknowledgement)
        if self._acknowledgement.resolve() == self._delta.resolve():
            raise DeltaMismatchError(
                "the acknowledgement would replace the edits", remedy="Give it another name"
            )
        folder = self._acknowledgement.with_name(f"{self._acknowledgement.name}-push")
        with ProcessLock(folder.with_name(f".{folder.name}.lock")) as lock:
            if not lock.acquire():
                raise SyncInProgress(f"another program is pushing to {self._acknowledgement}")
            return await self._push(delta, folder)

    async def _push(self, delta: DeltaFile, folder: Path) -> PushDeltaResult:
        result = PushDeltaResult(acknowledgement_path=self._acknowledgement)
        clock, narrator = self._clock, self._narrator
        remove_leftovers(folder)
        async with Session(
            credential=self._credential, clock=clock, watch=narrator.watch
        ) as session:
            service = FeatureService(self._url or delta.header.service, session)
            if not await _is_carrier_of(delta, folder):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                narrator.info("asking the service for the rows that were edited")
                await build_carrier(delta, service, folder, clock)
            async with await Geodatabase.open(folder / FILE, clock=clock) as carrier:
                now = timestamp(clock.now())
                await mark_as_sent(carrier, service, delta, self._push_channel, now)
            result.totals.sent_bytes = session.sent_bytes
            result.totals.received_bytes = session.received_bytes
        async with await Geodatabase.open(folder / FILE, clock=clock) as carrier:
            # What somebody else has changed since is not overwritten: the device decides.
            parameters = SyncGeodatabaseParameters(
                geodatabase_sync_direction=SyncDirection.UPLOAD,
                conflict_policy=ConflictPolicy.MANUAL,
                push_channel=self._push_channel,
            )
            sync = GeodatabaseSync(carrier, parameters, credential=self._credential, clock=clock)
            result.totals.add((await sync.run(narrator)).totals)
            result.tables = await carrier.database.read(
                write_acknowledgement, delta, self._acknowledgement, timestamp(clock.now())
            )
            record = await carrier.database.read(get_replica)
        if record.replica_id != delta.replica_id:
            await self._unregister(record)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return result

    async def _unregister(self, record: Replica) -> None:
        """The device's replica was gone, and this machine had to make one to send the edits."""
        async with Session(credential=self._credential, clock=self._clock) as session:
            with suppress(ServiceError):
                await FeatureService(record.service_url, session).unregister_replica(
                    record.replica_id
                )


async def _is_carrier_of(delta: DeltaFile, folder: Path) -> bool:
    """Whether an interrupted push of this very file left its carrier."""
    if not (folder / FILE).is_file():
        return False
    async with await Geodatabase.open(folder / FILE) as carrier:
        record = await carrier.database.read(get_replica)
    # Of one that was made on another machine a sync would think that it is a copy.
    return record.name == carrier_name(delta) and not is_another_machine(record.machine_id)
