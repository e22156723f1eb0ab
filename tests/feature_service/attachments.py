"""The attachments of one layer; their versions have generations as rows have."""

from dataclasses import dataclass
from typing import Any

from .definition import Layer
from .rows import Stamp
from .store import CURRENT, Store

_COLUMNS = "vid, aid, gid, parent_gid, name, content_type, size, keywords, content_id, gen_from"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One living attachment."""

    vid: int
    aid: int
    gid: str
    parent_gid: str
    name: str
    content_type: str
    size: int
    keywords: str
    content_id: int
    gen_from: int


class Attachments:
    """The attachments of one layer in one store."""

    def __init__(self, store: Store, layer: Layer) -> None:
        self._store = store
        self._layer = layer

    def by_gid(self, gid: str) -> Attachment | None:
        """The living attachment of that GlobalID."""
        return self._one("gid = ?", gid)

    def by_aid(self, aid: int, parent_gid: str) -> Attachment | None:
        """The living attachment of that number on one row."""
        return self._one("aid = ? AND parent_gid = ?", aid, parent_gid)

    def of_parent(self, parent_gid: str) -> list[Attachment]:
        """The living attachments of one row, in the order they came."""
        return self._all("parent_gid = ? ORDER BY aid", parent_gid)

    def _one(self, condition: str, *values: Any) -> Attachment | None:
        return next(iter(self._all(condition, *values)), None)

    def _all(self, condition: str, *values: Any) -> list[Attachment]:
        cursor = self._store.run(
            f"SELECT {_COLUMNS} FROM attachment WHERE layer = ? AND gen_to = ? AND {condition}",
            self._layer.id,
            CURRENT,
            *values,
        )
        names = _COLUMNS.split(", ")
        return [Attachment(**dict(zip(names, found, strict=True))) for found in cursor.fetchall()]

    def content(self, content_id: int) -> bytes:
        """The bytes of an attachment."""
        found = self._store.one("SELECT data FROM content WHERE id = ?", content_id)
        return bytes(found[0]) if found else b""

    def add(
        self,
        *,
        gid: str,
        parent_gid: str,
        name: str,
        content_type: str,
        keywords: str,
        data: bytes,
        stamp: Stamp,
    ) -> int:
        """Add an attachment; its number."""
        found = self._store.one(
            "UPDATE layer_state SET next_attachment = next_attachment + 1 WHERE layer = ?"
            " RETURNING next_attachment",
            self._layer.id,
        )
        assert found is not None, "every layer has its state row"
        aid = int(found[0]) - 1
        self._insert(aid, gid, parent_gid, name, content_type, keywords, data, stamp)
        return aid

    def update(
        self,
        known: Attachment,
        *,
        name: str,
        content_type: str,
        keywords: str,
        data: bytes | None,
        stamp: Stamp,
    ) -> None:
        """Replace a living attachment; without data it keeps its bytes."""
        data = self.content(known.content_id) if data is None else data
        self._end(known, stamp)
        self._insert(
            known.aid, known.gid, known.parent_gid, name, content_type, keywords, data, stamp
        )

    def delete(self, known: Attachment, stamp: Stamp) -> None:
        """End a living attachment."""
        self._end(known, stamp)

    def _end(self, known: Attachment, stamp: Stamp) -> None:
        self._store.run(
            "UPDATE attachment SET gen_to = ?, origin_to = ? WHERE vid = ?",
            stamp.generation,
            stamp.origin,
            known.vid,
        )

    def _insert(
        self,
        aid: int,
        gid: str,
        parent_gid: str,
        name: str,
        content_type: str,
        keywords: str,
        data: bytes,
        stamp: Stamp,
    ) -> None:
        content = self._store.run("INSERT INTO content (data) VALUES (?)", data).lastrowid
        self._store.run(
            "INSERT INTO attachment (layer, aid, gid, parent_gid, name, content_type, size,"
            " keywords, content_id, gen_from, gen_to, origin_from, origin_to)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
            self._layer.id,
            aid,
            gid,
            parent_gid,
            name,
            content_type,
            len(data),
            keywords,
            content,
            stamp.generation,
            CURRENT,
            stamp.origin,
        )
