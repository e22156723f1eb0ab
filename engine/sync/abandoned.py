"""What a take that was killed has left: files beside its target, and a replica on the service.

A replica's name is noted before the service is asked for it, so that ours are found again even if
the answer never came. Replicas of others are never touched.
"""

import asyncio
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from engine import atomic, faults
from engine.errors import LinkError, ServiceError
from engine.service.feature_service import FeatureService
from engine.service.session import Session

NOTE = "taking.json"


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A replica that may be on the service; ``name`` is ours."""

    url: str
    name: str


def note_replica(folder: Path, url: str, name: str) -> None:
    """Note in the spool folder that a replica of that name is about to be made."""
    atomic.write_json(folder / NOTE, {"url": url, "name": name})
    faults.point("replica.named")


def abandoned_in(folder: Path) -> list[Abandoned]:
    """The replicas that an unfinished take in ``folder`` speaks of: notes and geodatabases."""
    found = []
    for note in folder.rglob(NOTE):
        with suppress(OSError, ValueError, KeyError, TypeError):
            value = json.loads(note.read_bytes())
            found.append(Abandoned(str(value["url"]), str(value["name"])))
    for path in (*folder.rglob("*.gpkg"), *folder.rglob(".*.gpkg.partial")):
        found += recorded_in(path)
    return found


def recorded_in(path: Path) -> list[Abandoned]:
    """The replica that an unfinished geodatabase speaks of."""
    if path.is_file():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
            query = "SELECT service_url,name FROM fieldsync_replica WHERE replica_id<>''"
            return [Abandoned(url, name) for url, name in connection.execute(query)]
    return []


async def unregister_abandoned(session: Session, abandoned: Iterable[Abandoned]) -> None:
    """Unregister those of them that the service still lists.

    :exc:`LinkError` if it cannot be asked now; a service that refuses keeps its replica.
    """
    for one in dict.fromkeys(abandoned):
        service = FeatureService(one.url, session)
        try:
            for name, replica_id in await service.replicas():
                if name == one.name:
                    await service.unregister_replica(replica_id)
        except LinkError:
            raise
        except ServiceError:
            continue


async def clear_abandoned_folders(session: Session, target: Path) -> None:
    """Take back what killed takes of the folder ``target`` left. Call it holding its lock."""
    pattern = f".{atomic.glob_escape(target.name)}.partial-*"
    for left in target.parent.glob(pattern):
        await unregister_abandoned(session, await asyncio.to_thread(abandoned_in, left))
    await asyncio.to_thread(atomic.remove_leftovers, target)
