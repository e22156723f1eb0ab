"""Attachments of features: written and read in pieces, never held whole.

Synchronous functions over a connection; those that write need an open transaction.
"""

import mimetypes
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from engine.errors import EditRefusedError, FeatureNotFoundError
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote
from engine.model import new_guid

PIECE_BYTES = 256 * 1024
"""How much of an attachment is in memory at a time."""

LARGEST_BYTES = 1_000_000_000
"""SQLite's own limit for one value (sqlite.org/limits.html)."""

# typeof() does not load the data, which NOTNULL does before SQLite 3.41. Another program may have
# written a number, which is no data.
IS_DATA = """typeof("DATA") IN ('blob', 'text')"""
"""An SQL condition: the row of an attachment has its data."""

_COLUMNS = f'"GLOBALID", "REL_GLOBALID", "ATT_NAME", "CONTENT_TYPE", "DATA_SIZE", {IS_DATA}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An attachment of the feature ``parent_global_id``.

    ``is_here`` is False while only its row has come down, and its data has not.
    """

    global_id: str
    parent_global_id: str
    name: str
    content_type: str
    size_bytes: int
    is_here: bool


class Source:
    """The data of an attachment to store: bytes, or a file that is read in pieces.

    A person's attachment has at least one byte; a service's may be empty.
    """

    def __init__(self, data: bytes | Path, *, least_bytes: int = 1) -> None:
        self._data = data
        self.size_bytes = len(data) if isinstance(data, bytes) else _size(data)
        if not least_bytes <= self.size_bytes <= LARGEST_BYTES:
            raise EditRefusedError(
                f"an attachment of {self.size_bytes} bytes; it must have {least_bytes} to "
                f"{LARGEST_BYTES}"
            )

    def open(self) -> BinaryIO:
        return BytesIO(self._data) if isinstance(self._data, bytes) else open(self._data, "rb")

    def copy_to(self, blob: sqlite3.Blob) -> None:
        """Write all of it into ``blob``, which has just its size."""
        with self.open() as stream:
            left = self.size_bytes
            while left and (piece := stream.read(min(PIECE_BYTES, left))):
                blob.write(piece)
                left -= len(piece)
            if left or stream.read(1):
                raise EditRefusedError(f"{self._data!r} changed while it was being attached")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise EditRefusedError(f"cannot attach {path}: {error.strerror}") from error


def content_type_of(name: str) -> str:
    """The media type that a file's name suggests."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def add_attachment(
    connection: sqlite3.Connection,
    table: LayerTable,
    parent_global_id: str,
    name: str,
    content_type: str,
    source: Source,
) -> Attachment:
    """Store a new attachment of a feature that the caller knows to be there."""
    global_id = new_guid()
    # The data comes in a second step: an INSERT with it would be expanded in memory, because the
    # table has a BEFORE INSERT trigger.
    connection.execute(
        f"INSERT INTO {quote(table.name)} "
        '("GLOBALID", "REL_GLOBALID", "ATT_NAME", "CONTENT_TYPE") VALUES (?, ?, ?, ?)',
        (global_id, parent_global_id, name, content_type),
    )
    set_data(connection, table, global_id, source)
    return Attachment(
        global_id=global_id,
        parent_global_id=parent_global_id,
        name=name,
        content_type=content_type,
        size_bytes=source.size_bytes,
        is_here=True,
    )


def set_data(
    connection: sqlite3.Connection, table: LayerTable, global_id: str, source: Source
) -> None:
    """Replace an attachment's data. Inside ``applying`` it is data that came from the service."""
    _replace(connection, table, global_id, source, {})


def replace_attachment(
    connection: sqlite3.Connection,
    table: LayerTable,
    global_id: str,
    name: str,
    content_type: str,
    source: Source,
) -> Attachment:
    """Replace an attachment's data, name and media type."""
    changes = {"ATT_NAME": name, "CONTENT_TYPE": content_type}
    _replace(connection, table, global_id, source, changes)
    return get_attachment(connection, table, global_id)


def list_attachments(
    connection: sqlite3.Connection, table: LayerTable, parent_global_id: str
) -> list[Attachment]:
    """The attachments of a feature, oldest first, without their data."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM {quote(table.name)} "
        f'WHERE "REL_GLOBALID" = ? ORDER BY {quote(table.key)}',
        (parent_global_id,),
    )
    return [_attachment(row) for row in rows]


def get_attachment(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> Attachment:
    """The attachment of that GlobalID; :exc:`FeatureNotFoundError` if there is none."""
    row = connection.execute(
        f'SELECT {_COLUMNS} FROM {quote(table.name)} WHERE "GLOBALID" = ?', (global_id,)
    ).fetchone()
    if row is None:
        raise FeatureNotFoundError(f"{table.name} has no attachment {global_id}")
    return _attachment(row)


def delete_attachments(
    connection: sqlite3.Connection, table: LayerTable, column: str, global_id: str
) -> int:
    """Delete by ``GLOBALID`` or by ``REL_GLOBALID``; how many they were."""
    done = connection.execute(
        f"DELETE FROM {quote(table.name)} WHERE {quote(column)} = ?", (global_id,)
    )
    return done.rowcount


def read_piece(
    connection: sqlite3.Connection, table: LayerTable, global_id: str, offset: int
) -> bytes:
    """Up to :data:`PIECE_BYTES` of an attachment's data from ``offset``; empty at its end."""
    if not get_attachment(connection, table, global_id).is_here:
        raise FeatureNotFoundError(
            f"the data of attachment {global_id} is not on this device yet",
            remedy="Sync the map, attachments included",
        )
    with connection.blobopen(
        table.name, "DATA", _key(connection, table, global_id), readonly=True
    ) as blob:
        blob.seek(min(offset, len(blob)))
        return blob.read(PIECE_BYTES)


def store_data(
    connection: sqlite3.Connection, table: LayerTable, global_id: str, source: Path
) -> bool:
    """Put a file that came from the service into the attachment's row; False if that is gone.

    To be called inside ``applying``.
    """
    try:
        _replace(connection, table, global_id, Source(source, least_bytes=0), {})
    except FeatureNotFoundError:
        return False
    return True


def data_size(connection: sqlite3.Connection, table: LayerTable, key: int) -> int:
    """Bytes of the attachment with that primary key; 0 if its data is not here."""
    size = f'iif({IS_DATA}, length("DATA"), 0)'
    found = connection.execute(
        f"SELECT {size} FROM {quote(table.name)} WHERE {quote(table.key)} = ?", (key,)
    ).fetchone()
    if found is None:
        raise FeatureNotFoundError(f"{table.name} has no attachment {key}")
    return int(found[0] or 0)


def has_data(connection: sqlite3.Connection, table: LayerTable, key: int) -> bool:
    """Whether the data of the attachment with that primary key is here; it may be empty."""
    found = connection.execute(
        f"SELECT {IS_DATA} FROM {quote(table.name)} WHERE {quote(table.key)} = ?", (key,)
    ).fetchone()
    return found is not None and bool(found[0])


def read_chunks(connection: sqlite3.Connection, table: LayerTable, key: int) -> Iterator[bytes]:
    """The data of the attachment with that primary key, in pieces of :data:`PIECE_BYTES`."""
    if data_size(connection, table, key) == 0:
        return
    with connection.blobopen(table.name, "DATA", key, readonly=True) as blob:
        while chunk := blob.read(PIECE_BYTES):
            yield chunk


def _replace(
    connection: sqlite3.Connection,
    table: LayerTable,
    global_id: str,
    source: Source,
    changes: Mapping[str, str],
) -> None:
    # One statement for all columns: one that leaves the data as it is would load it.
    size = source.size_bytes
    names = "".join(f"{quote(name)} = ?, " for name in changes)
    done = connection.execute(
        f'UPDATE {quote(table.name)} SET {names}"DATA_SIZE" = ?, "DATA" = zeroblob(?) '
        'WHERE "GLOBALID" = ?',
        (*changes.values(), size, size, global_id),
    )
    if not done.rowcount:
        raise FeatureNotFoundError(f"{table.name} has no attachment {global_id}")
    with connection.blobopen(table.name, "DATA", _key(connection, table, global_id)) as blob:
        source.copy_to(blob)


def _key(connection: sqlite3.Connection, table: LayerTable, global_id: str) -> int:
    (key,) = connection.execute(
        f'SELECT {quote(table.key)} FROM {quote(table.name)} WHERE "GLOBALID" = ?', (global_id,)
    ).fetchone()
    return int(key)


def _attachment(row: tuple[str, str, str | None, str | None, int | None, int]) -> Attachment:
    global_id, parent, name, content_type, size, is_here = row
    return Attachment(
        global_id=global_id,
        parent_global_id=parent,
        name=name or "attachment",
        content_type=content_type or content_type_of(name or ""),
        size_bytes=size or 0,
        is_here=bool(is_here),
    )
