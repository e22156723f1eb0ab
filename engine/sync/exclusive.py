"""What may not run at the same time on one geodatabase: take, sync, export, import, register."""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.atomic import ProcessLock
from engine.errors import SyncInProgress
from engine.geodatabase.geodatabase import Geodatabase
from engine.sync.context import lock_path


@contextmanager
def exclusive(geodatabase: Geodatabase) -> Iterator[None]:
    """Hold the geodatabase's lock, which is one for all processes.

    :exc:`SyncInProgress` if another holds it; :exc:`TransactionOpenError` if the caller's own
    transaction is open.
    """
    geodatabase.require_no_transaction()
    with ProcessLock(lock_path(geodatabase.path)) as lock:
        if not lock.acquire():
            raise SyncInProgress(f"another program is syncing {geodatabase.path}")
        yield
