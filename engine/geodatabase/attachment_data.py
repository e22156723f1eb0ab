"""The bytes of attachments, in and out of the file in small pieces (sqlite.org/c3ref/blob_open).

Writing needs an open transaction. Data that the engine stores is what the service has, so the
caller writes it with ``applying``.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from engine.errors import FeatureNotFoundError
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote

CHUNK_BYTES = 3 * 64 * 1024


def data_size(connection: sqlite3.Connection, table: LayerTable, key: int) -> int:
    """Bytes of the attachment with that primary key; 0 if its data has not come yet."""
    (data,) = table.noted
    found = connection.execute(
        f"SELECT length({quote(data)}) FROM {quote(table.name)} WHERE {quote(table.key)}=?", (key,)
    ).fetchone()
    if found is None:
        raise FeatureNotFoundError(f"{table.name} has no attachment {key}")
    return int(found[0] or 0)


def read_chunks(
    connection: sqlite3.Connection, table: LayerTable, key: int, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """The attachment's data in pieces of ``chunk_bytes``, the last one shorter."""
    (data,) = table.noted
    if data_size(connection, table, key) == 0:
        return
    with connection.blobopen(table.name, data, key, readonly=True) as blob:
        while chunk := blob.read(chunk_bytes):
            yield chunk


def store_data(
    connection: sqlite3.Connection, table: LayerTable, global_id: str, source: Path
) -> bool:
    """Put a file's content into the attachment's row; False if the row is gone.

    The size column follows.
    """
    found = connection.execute(
        f"SELECT {quote(table.key)} FROM {quote(table.name)} WHERE {quote(table.global_id)}=?",
        (global_id,),
    ).fetchone()
    if found is None:
        return False
    with open(source, "rb") as stream:
        write_data(connection, table, int(found[0]), stream, source.stat().st_size)
    return True


def write_data(
    connection: sqlite3.Connection,
    table: LayerTable,
    key: int,
    stream: BinaryIO,
    size_bytes: int,
) -> None:
    """Replace the data of a row by ``size_bytes`` bytes of ``stream``.

    The update that makes room comes first: it is what the change log sees, as writing into a blob
    fires no trigger.
    """
    (data,) = table.noted
    connection.execute(
        f"UPDATE {quote(table.name)} SET {quote(data)}=zeroblob(?), DATA_SIZE=? "
        f"WHERE {quote(table.key)}=?",
        (size_bytes, size_bytes, key),
    )
    left = size_bytes
    with connection.blobopen(table.name, data, key) as blob:
        while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
            blob.write(chunk)
            left -= len(chunk)
    if left:
        raise EOFError(f"the source ended {left} bytes early")
