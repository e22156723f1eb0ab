"""What a take that was killed has left: files beside its target, and a replica on the service.

A replica's name is noted before the service is asked for it, so that ours are found again even if
the answer never came. Replicas of others are never touched.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import LinkError, ServiceError
from engine.geodatabase.sqlite_errors import SQLITE_ERRORS
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.sync.taking import NOTE, Taking, partial_path


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A replica that may be on the service; ``name`` is ours."""

    url: str
    name: str


def abandoned_in(folder: Path) -> list[Abandoned]:
    """The replicas that an unfinished take in ``folder`` speaks of: notes and geodatabases."""
    notes = [Taking.read(path.parent) for path in folder.rglob(NOTE)]
    found = [Abandoned(note.url, note.name) for note in notes if note is not None]
    for path in (*folder.rglob("*.gpkg"), *folder.rglob(partial_path(Path("*.gpkg")).name)):
        found += recorded_in(path)
    return found


def recorded_in(path: Path) -> list[Abandoned]:
    """The replica that an unfinished geodatabase speaks of."""
    if path.is_file():
        with suppress(*SQLITE_ERRORS), closing(sqlite3.connect(path)) as connection:
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
