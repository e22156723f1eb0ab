"""Attachment data on its way down: fetched one at a time, each stored in its own transaction."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from engine import faults
from engine.errors import (
    AuthenticationError,
    LinkError,
    ProtocolError,
    ServiceError,
)
from engine.geodatabase import attachments, change_log, fetch_queue
from engine.geodatabase.change_log import Edit
from engine.geodatabase.fetch_queue import Fetch
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.watched import Reason, watch
from engine.model import EditOperation
from engine.service.answer import check_file_is_no_error, place
from engine.service.download import using
from engine.sync.context import SyncContext
from engine.sync.photo_check import photo_of


async def fetch_photos(context: SyncContext) -> None:
    """Fetch what is in the queue. One that fails, or whose layer takes no part in this sync, stays
    there for the next.

    Without a link, or with credentials refused, the rest is not tried.
    """
    total = await context.database.read(fetch_queue.count)
    done = 0
    after = (-1, "")
    taking_part = {table.number for table in context.tables}
    while fetches := await context.database.read(_next, after):
        for fetch in fetches:
            if fetch.number not in taking_part:
                continue
            await context.narrator.breathe()
            try:
                await _fetch(context, fetch)
            except ServiceError as error:
                await context.database.write(fetch_queue.failed, fetch, str(error))
                context.narrator.warn(f"attachment {fetch.gid} was not fetched: {error}")
                if isinstance(error, LinkError | AuthenticationError):
                    raise
            done += 1
            context.narrator.report(100 * done / max(total, done))
        after = (fetches[-1].number, fetches[-1].gid)
    if not await context.database.read(fetch_queue.count):
        await asyncio.to_thread(_clear, context.folder)


async def fetch_before_sending(context: SyncContext, edits: Sequence[Edit]) -> list[Edit]:
    """Fetch the data of those attachments that were edited here and whose data is not here, or was
    replaced on the service: they are sent whole. Returns those that cannot be sent now."""
    waiting = []
    for edit, fetch in await context.database.read(_without_data, edits):
        try:
            await _fetch(context, fetch)
        except (LinkError, AuthenticationError):
            raise
        except ServiceError as error:
            context.narrator.warn(f"attachment {edit.global_id} was not fetched: {error}")
            waiting.append(edit)
    return waiting


def _without_data(
    connection: sqlite3.Connection, edits: Sequence[Edit]
) -> list[tuple[Edit, Fetch]]:
    found = [(edit, missing_data(connection, edit)) for edit in edits]
    return [(edit, fetch) for edit, fetch in found if fetch is not None]


def missing_data(connection: sqlite3.Connection, edit: Edit) -> Fetch | None:
    """What must be fetched before that edit of an attachment can be sent, None if it has all."""
    if not edit.table.noted or edit.operation is not EditOperation.UPDATE:
        return None
    # A program that writes all columns back says that it has changed data which it never had.
    empty = fetch_queue.if_empty(connection, edit.table, edit.global_id)
    if edit.data_changed and empty is None:
        return None
    return fetch_queue.find(connection, edit.table, edit.global_id) or empty


def _clear(folder: Path) -> None:
    """Remove what came of attachments that are not wanted any more."""
    for path in folder.glob("fetch-*"):
        path.unlink(missing_ok=True)


async def _fetch(context: SyncContext, fetch: Fetch) -> None:
    if await context.database.read(_is_ours, context, fetch):
        await context.database.write(fetch_queue.done, fetch)
        return
    name = hashlib.sha256(fetch.gid.encode()).hexdigest()[:24]
    path = context.folder / (fetch.spool_name or f"fetch-{name}")
    with using(path):
        if not _is_whole(fetch, path):
            await _download(context, fetch, path)
        await context.database.write(_store, context, fetch, path, applying=True)
    faults.point("photo.stored")


def _is_whole(fetch: Fetch, path: Path) -> bool:
    """Whether the data came inside of a file and is still there. It is not if the geodatabase was
    copied without its spool folder, or the power went: then its feature is asked where it is."""
    if fetch.spool_name is None or not path.exists():
        return False
    return fetch.size_bytes in (None, path.stat().st_size)


async def _download(context: SyncContext, fetch: Fetch, path: Path) -> None:
    url, expected = fetch.url, fetch.size_bytes
    if url is None:
        table = _table(context, fetch)
        photo = await photo_of(context, table, fetch.gid)
        if photo is None:
            # Else an edit of it would wait for ever, if no download tells that it went.
            await context.database.write(watch, table, [fetch.gid], Reason.ADDED)
            raise ProtocolError("its feature on the service does not list it")
        url, expected = photo.url, photo.size_bytes
    context.folder.mkdir(exist_ok=True)
    size = await context.service.download_attachment(url, path)
    if size == expected:
        return
    await asyncio.to_thread(check_file_is_no_error, path, place(url))
    if expected is not None:
        raise ProtocolError(f"{size} bytes came instead of {expected}")


def _store(connection: sqlite3.Connection, context: SyncContext, fetch: Fetch, path: Path) -> None:
    if not _is_ours(connection, context, fetch):  # it may have been edited since it was asked for
        attachments.store_data(connection, _table(context, fetch), fetch.gid, path)
    fetch_queue.done(connection, fetch)


def _is_ours(connection: sqlite3.Connection, context: SyncContext, fetch: Fetch) -> bool:
    """True if the data was changed here. Where the service's is to win the merge has kept that
    change aside, so what is pending now was made later."""
    edit = change_log.edit_of(connection, _table(context, fetch), fetch.gid)
    if edit is None or not edit.data_changed:
        return False
    return missing_data(connection, edit) is None


def _table(context: SyncContext, fetch: Fetch) -> LayerTable:
    return next(t for t in context.tables if t.number == fetch.number)


def _next(connection: sqlite3.Connection, after: tuple[int, str]) -> list[Fetch]:
    return fetch_queue.next_fetches(connection, after=after)
