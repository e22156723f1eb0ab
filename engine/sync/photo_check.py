"""Which attachments the service has, asked of their features when nothing was said about them."""

import asyncio
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import (
    AuthenticationError,
    FeatureNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ServiceRefusedError,
)
from engine.geodatabase import attachments
from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.sql import quote
from engine.model import EditOperation, normalise_guid
from engine.service.download import discard
from engine.sync.batches import object_id_column
from engine.sync.context import SyncContext
from engine.sync.outgoing import attachment_cells
from engine.sync.read_back import find, storable


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """An attachment as the service lists it, and where its bytes are. What a list leaves out is
    None."""

    parent: str
    name: str | None
    content_type: str | None
    size_bytes: int | None
    url: str


async def photos_of(
    context: SyncContext, layer_id: int, parents: Iterable[str]
) -> dict[str, Photo]:
    """All attachments of those features by their GlobalIDs. One request for each feature."""
    table = context.feature_table(layer_id)
    assert table is not None, "attachments are synced together with their features"
    column = object_id_column(table)
    at = 0 if column is None else table.row_names.index(column)
    found: dict[str, Photo] = {}
    for row in storable(await find(context, table, parents)):
        object_id = row[at]
        if isinstance(object_id, int):
            found |= await _attachment_infos(context, layer_id, object_id, str(row[0]))
    return found


async def list_photos(
    context: SyncContext, layer_id: int, features: Mapping[int, str]
) -> dict[str, Photo]:
    """All attachments of the features, object id → GlobalID, by their GlobalIDs.

    One request ("Query attachments"), unless the service cannot answer it for all of them. Do not
    take for deleted what is missing: a cut answer need not say so.
    """
    url = f"{context.service.url}/{layer_id}/queryAttachments"
    form = {"objectIds": ",".join(map(str, features))}
    found: dict[str, Photo] = {}
    try:
        answer = await context.service.session.post(url, form, repeatable=True)
    except (AuthenticationError, PermissionDeniedError):
        raise
    except (ProtocolError, ServiceRefusedError):
        answer = {}  # an older service: it knows no such query
    groups = answer.get("attachmentGroups")
    if not isinstance(groups, list) or answer.get("exceededTransferLimit") is True:
        for object_id, parent in features.items():
            found |= await _attachment_infos(context, layer_id, object_id, parent)
        return found
    for group in groups:
        number = group.get("parentObjectId") if isinstance(group, dict) else None
        if isinstance(number, int) and number in features:
            found |= _photos(
                group.get("attachmentInfos"),
                features[number],
                f"{context.service.url}/{layer_id}/{number}/attachments",
            )
    return found


async def _attachment_infos(
    context: SyncContext, layer_id: int, object_id: int, parent: str
) -> dict[str, Photo]:
    url = f"{context.service.url}/{layer_id}/{object_id}/attachments"
    infos = (await context.service.session.get(url)).get("attachmentInfos")
    return _photos(infos, parent, url)


def _photos(infos: object, parent: str, url: str) -> dict[str, Photo]:
    found: dict[str, Photo] = {}
    for info in infos if isinstance(infos, list) else []:
        gid = normalise_guid(info.get("globalId")) if isinstance(info, dict) else None
        if gid is not None:
            name, kind, size = (info.get(n) for n in ("name", "contentType", "size"))
            found[gid] = Photo(
                parent=parent,
                name=name if isinstance(name, str) else None,
                content_type=kind if isinstance(kind, str) else None,
                size_bytes=size if isinstance(size, int) else None,
                url=f"{url}/{info.get('id')}",
            )
    return found


async def photo_of(context: SyncContext, table: LayerTable, global_id: str) -> Photo | None:
    """That attachment, as its feature on the service lists it; None if it does not."""
    parents = await context.database.read(_parents, table, [global_id])
    return (await photos_of(context, table.layer_id, parents.values())).get(global_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An attachment of an edit that is on the service. ``changed``: its row there, if it is another
    than the edit was made of; of a doubted add, if it is not as it was sent."""

    is_as_sent: bool
    changed: Row | None


async def photos_as_sent(
    context: SyncContext, edits: Sequence[Edit], doubted: Collection[str] = ()
) -> dict[str, Found]:
    """Those of the edits' attachments that are there, by their GlobalIDs.

    The bytes are compared where nothing else tells the old data from the new: for updates, and for
    the adds of ``doubted`` attachments, which may have come there before in an older version.
    """
    # One that was deleted here, and by now on the service as well, has nothing left to be asked of.
    edits = [edit for edit in edits if edit.row is not None or edit.base is not None]
    if not edits:
        return {}
    parents = [str(attachment_cells(edit)["REL_GLOBALID"]) for edit in edits]
    photos = await photos_of(context, edits[0].table.layer_id, parents)
    there: dict[str, Found] = {}
    for edit in edits:
        photo = photos.get(edit.global_id)
        if photo is not None:
            is_update = edit.operation is EditOperation.UPDATE
            is_compared = is_update or edit.global_id in doubted
            is_as_sent = not is_compared or await _is_same(context, edit, photo)
            is_news = not is_as_sent if is_compared else edit.base is not None
            changed = _changed(edit, photo) if is_news else None
            there[edit.global_id] = Found(is_as_sent=is_as_sent, changed=changed)
    return there


def _changed(edit: Edit, photo: Photo) -> Row | None:
    """The attachment as it is listed, if it is another one than the edit was made of."""
    known = edit.base or edit.row
    assert known is not None, "an attachment without a feature is not asked for"
    gid, parent, kind, name, size = known
    listed = (name if photo.name is None else photo.name, photo.size_bytes)
    is_same = (listed[0] == name and None in (listed[1], size)) or listed == (name, size)
    if edit.base is not None and is_same:
        return None
    return gid, parent, photo.content_type or kind, *listed


async def photos_gone(
    context: SyncContext, table: LayerTable, global_ids: Sequence[str]
) -> list[str]:
    """Those of the attachments that the service does not have any more, also of those that were
    deleted here."""
    parents = await context.database.read(_parents, table, global_ids)
    photos = await photos_of(context, table.layer_id, parents.values())
    return [gid for gid in parents if gid not in photos]


def _parents(
    connection: sqlite3.Connection, table: LayerTable, global_ids: Sequence[str]
) -> dict[str, str]:
    """The features of attachments as they are here; of one that is not, as the service knew it."""
    statement = f"SELECT REL_GLOBALID FROM {quote(table.name)} WHERE {quote(table.global_id)}=?"
    logged = LoggedTable(connection, table)
    parents: dict[str, str] = {}
    for gid in global_ids:
        found = connection.execute(statement, (gid,)).fetchone()
        if found is None and (entry := logged.entry(gid)) is not None:
            base = logged.base(entry, None)
            found = None if base is None else (logged.cell(base, "REL_GLOBALID"),)
        if found is not None and found[0] is not None:
            parents[gid] = str(found[0])
    return parents


async def _is_same(context: SyncContext, edit: Edit, photo: Photo) -> bool:
    assert edit.key is not None
    if edit.base is not None and not edit.data_changed:
        # Only its name was sent anew; a delta file does not even have the data.
        was = edit.base[edit.table.row_names.index("DATA_SIZE")]
        is_named = photo.name == attachment_cells(edit)["ATT_NAME"]
        return is_named and photo.size_bytes in (None, was)
    if await context.database.read(_is_replaced, edit):
        # What was sent is not here any more: it is known by its name and size.
        sent = attachment_cells(edit)
        return (photo.name, photo.size_bytes) == (sent["ATT_NAME"], sent["DATA_SIZE"])
    try:
        size = await context.database.read(attachments.data_size, edit.table, edit.key)
    except FeatureNotFoundError:
        return False  # it was deleted here since
    if (photo.name, photo.size_bytes) != (attachment_cells(edit)["ATT_NAME"], size):
        return False
    context.folder.mkdir(exist_ok=True)
    target = context.folder / "fetch-compared"
    try:
        await context.service.download_attachment(photo.url, target)
        return await context.database.read(_equals, edit, target)
    except FeatureNotFoundError:
        return False
    finally:
        await asyncio.to_thread(discard, target)


def _is_replaced(connection: sqlite3.Connection, edit: Edit) -> bool:
    """Whether the data was changed here since the edit was sent."""
    entry = LoggedTable(connection, edit.table).entry(edit.global_id)
    return entry is not None and entry.data > edit.last


def _equals(connection: sqlite3.Connection, edit: Edit, path: Path) -> bool:
    assert edit.key is not None
    with open(path, "rb") as stream:
        for chunk in attachments.read_chunks(connection, edit.table, edit.key):
            if stream.read(len(chunk)) != chunk:
                return False
        return not stream.read(1)
