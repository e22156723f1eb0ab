"""One offline map of the configuration: opened for as long as something is done with it.

Between that nothing of it is open: no memory is held, another program may repair or replace it, and
the last one who closes a geodatabase tidies its write-ahead log up.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from device.api.status import Failure, MapStatus, ServiceHold
from device.config import MapConfig
from device.file_stamp import Stamp, stamp_of
from device.log import event, log
from device.policy.state import Hold
from device.redaction import without_url_secrets
from engine import EngineError, Geodatabase, OfflineMap, TransientError

LOOK_LIMIT_S = 60.0
"""Counting the edits of a map takes milliseconds; longer than this its disk hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCounts:
    """What waits for one service of a map."""

    unsent: int = 0
    """Edits that go up with the next sync, as far as is known."""
    sequence: int = 0
    """Grows with every edit in its geodatabases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What waits in a map. ``edits`` None: nobody can tell."""

    title: str = ""
    edits: int | None = None
    conflicts: int = 0
    quarantined: int = 0
    last_sync_at: datetime | None = None
    services: Mapping[str, ServiceCounts] = field(default_factory=dict)
    """Its feature services, by their URLs."""
    error: Failure | None = None

    @property
    def unsent(self) -> int:
        """Edits that go up with the next sync, as far as is known."""
        return sum(one.unsent for one in self.services.values())


DAMAGED = "geodatabase-damaged"


class KeptMap:
    """A map and what is known of it. ``is_usable`` False: nothing of it can be synced."""

    def __init__(self, config: MapConfig) -> None:
        self.config = config
        self.counts = Counts()
        self.is_usable = True
        self.is_syncing = False
        self.tried_at = float("-inf")
        """When its last sync began."""
        self.run_errors: dict[str, Failure] = {}
        """Why the last sync with a service, by its URL, did not do all of its work."""
        self._turn = asyncio.Lock()
        self._damaged: dict[str, tuple[EngineError, Stamp | None]] = {}
        """What a check found in a file, by its name, and what stamp that had."""
        self._check_limit_s = LOOK_LIMIT_S

    @property
    def is_in_doubt(self) -> bool:
        """Whether it could not be read, or not all of it, when it was last looked at."""
        return not self.is_usable or self.counts.edits is None

    @property
    def damage(self) -> dict[str, EngineError]:
        """The geodatabases, by their file names, in which a check found any. They are left alone
        until a check of what was made of the file finds none; the others are synced."""
        return {name: error for name, (error, _) in self._damaged.items()}

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def folder(self) -> Path:
        return self.config.folder

    @property
    def uploads(self) -> bool:
        """Whether edits of it are to go up at all."""
        return self.config.direction.uploads

    @property
    def is_update_waiting(self) -> bool:
        """All rows are to be fetched anew, which the last sync's link was not allowed for."""
        return any(one.code == "full-download-required" for one in self.run_errors.values())

    def status(self, holds: Iterable[Hold] = (), now: float = 0.0) -> MapStatus:
        """For the socket. ``holds``: what is left alone, of all maps."""
        counts = self.counts
        return MapStatus(
            name=self.name,
            folder=str(self.folder),
            title=counts.title,
            edits=counts.edits,
            conflicts=counts.conflicts,
            quarantined=counts.quarantined,
            last_sync_at=counts.last_sync_at,
            is_syncing=self.is_syncing,
            is_update_waiting=self.is_update_waiting,
            error=counts.error or next(iter(self.run_errors.values()), None),
            holds=tuple(
                ServiceHold(
                    service=without_url_secrets(hold.target.url),
                    reason=hold.wait.reason,
                    detail=hold.wait.detail,
                    next_try_in_s=None
                    if hold.wait.until is None
                    else max(0.0, hold.wait.until - now),
                )
                for hold in holds
                if hold.target.map == self.name
            ),
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OfflineMap]:
        """The map, open while the block lasts."""
        async with OfflineMap.open(self.folder) as map_:
            yield map_

    async def look(self) -> frozenset[str]:
        """Count anew what waits; the services for which edits were made since the last look.

        What keeps the map from being read is its state, not a failure of the daemon.
        """
        async with self._turn:
            return await self._look()

    async def _look(self) -> frozenset[str]:
        before = self.counts
        try:
            await self._check_changed()
            async with asyncio.timeout(LOOK_LIMIT_S), self.opened() as map_:
                self.counts = await _counted(map_, self.damage)
                self.is_usable = bool(self.counts.services)
            self.run_errors = {
                url: error for url, error in self.run_errors.items() if url in self.counts.services
            }
        except TransientError:
            return frozenset()  # somebody writes at length; the next look tells
        except TimeoutError:
            self._fail(before, EngineError(f"the map in {self.folder} cannot be read in time"))
        except Exception as error:  # none of it may keep the other maps from being synced
            self._fail(before, _told(error))
        _tell_change(self.name, before.error, self.counts.error)
        return frozenset(
            url
            for url, counts in self.counts.services.items()
            if url in before.services and counts.sequence > before.services[url].sequence
        )

    async def check(self, limit_s: float) -> bool:
        """After an unclean stop: look for damage, each geodatabase for at most ``limit_s``.

        False if there is any; that geodatabase is not synced until its file was changed and passes
        a check, because a sync would build on what is wrong. A check that is not done in time
        counts as passed: each opening looks at what the engine itself needs.
        """
        self._check_limit_s = limit_s
        try:
            async with self.opened() as map_:
                for geodatabase in map_.geodatabases:
                    await self._check(geodatabase)
        except Exception as error:
            event("check.failed", map=self.name, error=_told(error).message)  # a look tells more
        await self.look()
        return self.counts.error is None or self.counts.error.code != DAMAGED

    async def _check_changed(self) -> None:
        """Look again at the damaged files that were repaired, taken again or written since."""
        changed = {
            name
            for name, (_, stamp) in self._damaged.items()
            if stamp_of(self.folder / name) != stamp
        }
        if not changed:
            return
        async with self.opened() as map_:
            for name in changed:
                del self._damaged[name]
            for geodatabase in map_.geodatabases:
                if geodatabase.path.name in changed:
                    await self._check(geodatabase)

    async def _check(self, geodatabase: Geodatabase) -> None:
        name = geodatabase.path.name
        stamp = stamp_of(self.folder / name)  # what is written from here on is looked at again
        try:
            async with asyncio.timeout(self._check_limit_s):
                await geodatabase.check()
        except TimeoutError:
            event("check.cut", file=name, seconds=self._check_limit_s)
        except Exception as error:
            told = _told(error)
            if told.code == DAMAGED:
                self._damaged[name] = told, stamp

    def _fail(self, before: Counts, error: EngineError) -> None:
        self.is_usable = False
        self.counts = Counts(
            title=before.title,
            edits=None,
            conflicts=before.conflicts,
            quarantined=before.quarantined,
            last_sync_at=before.last_sync_at,
            services=before.services,
            error=Failure.of(error),
        )


async def _counted(map_: OfflineMap, damage: Mapping[str, EngineError]) -> Counts:
    broken = {**map_.errors, **damage}
    counts = Counts(title=map_.info.title, edits=0)
    synced: list[datetime | None] = []
    left_alone = set()
    for geodatabase in map_.geodatabases:
        name, url = geodatabase.path.name, geodatabase.service_url
        try:
            if name not in damage:
                counts = await _with(counts, geodatabase)
                synced.append(_moment(geodatabase.replica.last_sync_at))
                continue
        except EngineError as error:
            if error.code != DAMAGED:
                raise
            broken[name] = error
        left_alone.add(url)  # with the other geodatabases that are synced with that service
    known = [moment for moment in synced if moment is not None]
    first = next(iter(broken.values()), None)
    return replace(
        counts,
        edits=None if broken else counts.edits,
        last_sync_at=min(known) if known and len(known) == len(synced) else None,
        services={url: one for url, one in counts.services.items() if url not in left_alone},
        error=counts.error if first is None else Failure.of(first),
    )


async def _with(counts: Counts, geodatabase: Geodatabase) -> Counts:
    """With what waits in that geodatabase, too."""
    here, error = await _edits(geodatabase)
    open_conflicts, set_aside = await geodatabase.conflicts(), await geodatabase.quarantine()
    # Edits among them that wait for a person, and not for a link.
    held = sum(one.is_held for one in open_conflicts)
    held += sum(one.seq > 0 and one.is_effective for one in set_aside)
    url = geodatabase.service_url
    before = counts.services.get(url, ServiceCounts())
    service = ServiceCounts(
        unsent=before.unsent + max(0, here - held),
        sequence=before.sequence + await geodatabase.edit_sequence(),
    )
    failure = counts.error or (None if error is None else Failure.of(error))
    return replace(
        counts,
        edits=None if failure is not None or counts.edits is None else counts.edits + here,
        conflicts=counts.conflicts + len(open_conflicts),
        quarantined=counts.quarantined + len(set_aside),
        services={**counts.services, url: service},
        error=failure,
    )


async def _edits(geodatabase: Geodatabase) -> tuple[int, EngineError | None]:
    """(edits in the tables that can be read, why one cannot be)."""
    edits, error = 0, None
    for table in geodatabase.feature_tables:
        if table.error is not None:
            error = error or table.error
            continue
        rows, photos = await table.edit_counts(), await table.attachment_edit_counts()
        edits += rows.adds + rows.updates + rows.deletes
        edits += photos.adds + photos.updates + photos.deletes
    return edits, error


def _moment(text: str | None) -> datetime | None:
    try:
        found = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def _told(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    if not isinstance(error, OSError | sqlite3.Error):
        log.error("a map cannot be read", exc_info=error)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    place = "" if not isinstance(error, OSError) or not error.filename else f"{error.filename}: "
    return EngineError(f"the map cannot be read: {place}{reason}")


def _tell_change(name: str, before: Failure | None, now: Failure | None) -> None:
    if now == before:
        return
    if now is None:
        event("map.recovered", map=name)
    else:
        event("map.failed", map=name, code=now.code, error=now.message)
