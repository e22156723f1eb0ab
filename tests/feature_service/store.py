"""The state of one service: a SQLite file in which every row version has its generations.

A row is never overwritten. Each version carries the generation that made it and the one that
ended it (`CURRENT` while it lives), so that the rows as of any generation can be asked for
again and again, as downloads of a sync must be repeatable.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from .definition import Layer, Service, checked_service
from .field import epoch_ms
from .spatial import shape_hits

CURRENT = 1 << 62
"""The ending generation of a version that has not ended."""

FIRST_GENERATION = 1000
"""The generation of the rows the service was published with."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE layer_state (
    layer INTEGER PRIMARY KEY,
    next_oid INTEGER NOT NULL,
    next_attachment INTEGER NOT NULL,
    min_gen INTEGER NOT NULL
);
CREATE TABLE content (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE attachment (
    vid INTEGER PRIMARY KEY,
    layer INTEGER NOT NULL,
    aid INTEGER NOT NULL,
    gid TEXT NOT NULL,
    parent_gid TEXT NOT NULL,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    keywords TEXT NOT NULL,
    content_id INTEGER NOT NULL REFERENCES content (id),
    gen_from INTEGER NOT NULL,
    gen_to INTEGER NOT NULL,
    origin_from TEXT NOT NULL,
    origin_to TEXT NOT NULL
);
CREATE INDEX attachment_gid ON attachment (layer, gid, gen_to);
CREATE INDEX attachment_parent ON attachment (layer, parent_gid, gen_to);
CREATE TABLE replica (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE job (id TEXT PRIMARY KEY, polls INTEGER NOT NULL, document TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE result (name TEXT PRIMARY KEY, touched_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE moment (generation INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL);
CREATE TABLE upload (id TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
"""


def quoted(identifier: str) -> str:
    """An identifier as SQL text."""
    return '"' + identifier.replace('"', '""') + '"'


def column(layer: Layer, field_name: str) -> str:
    """The SQL name of the column that keeps a field of a layer."""
    lowered = field_name.lower()
    if lowered == layer.object_id_field.lower():
        return "oid"
    if lowered == layer.global_id_field.lower():
        return "gid"
    return quoted(f"c_{lowered}")


def table(layer: Layer) -> str:
    """The SQL name of the table that keeps the row versions of a layer."""
    return quoted(f"layer_{layer.id}")


class Store:
    """One open state file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        # A killed process loses nothing without the syncs; only a machine losing power would.
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.create_function("shape_hits", 2, shape_hits, deterministic=True)
        self._db.create_function("offset_ms", 1, _offset_ms, deterministic=True)
        self._db.create_function("like_exact", 3, _like, deterministic=True)
        self._depth = 0

    @property
    def is_new(self) -> bool:
        """Whether no service has been stored here yet."""
        found = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
        return found is None or self.meta("loaded") is None

    def create(self, service: Service) -> None:
        """Make the tables for a service; inside a transaction."""
        for statement in _SCHEMA.split(";\n"):
            if statement.strip():
                self._db.execute(statement)
        self.set_meta("generation", str(FIRST_GENERATION))
        self.save_definition(service)
        for layer in service.layers.values():
            self.add_layer(layer)
        for layer in service.layers.values():
            self._index_junctions(service, layer)

    def add_layer(self, layer: Layer) -> None:
        """Make the table of one layer."""
        columns = "".join(f", {column(layer, field.name)}" for field in layer.stored_fields)
        name = table(layer)
        self._db.execute(
            f"CREATE TABLE {name} (vid INTEGER PRIMARY KEY, oid INTEGER NOT NULL,"
            " gid TEXT NOT NULL, gen_from INTEGER NOT NULL, gen_to INTEGER NOT NULL,"
            " origin_from TEXT NOT NULL, origin_to TEXT NOT NULL, moved INTEGER NOT NULL,"
            f" shape TEXT, xmin REAL, ymin REAL, xmax REAL, ymax REAL{columns})"
        )
        for key in ("oid", "gid"):
            self._db.execute(
                f"CREATE UNIQUE INDEX {quoted(f'layer_{layer.id}_{key}')} ON {name}"
                f" ({key}) WHERE gen_to = {CURRENT}"
            )
        self._db.execute(f"CREATE INDEX {quoted(f'layer_{layer.id}_past')} ON {name} (gid, gen_to)")
        self._db.execute(f"CREATE INDEX {quoted(f'layer_{layer.id}_from')} ON {name} (gen_from)")
        self._db.execute(f"CREATE INDEX {quoted(f'layer_{layer.id}_to')} ON {name} (gen_to)")
        for number, relationship in enumerate(layer.relationships):
            name_of_key = f"layer_{layer.id}_key_{number}"
            key = column(layer, relationship.key_field)
            self._db.execute(f"CREATE INDEX {quoted(name_of_key)} ON {name} ({key}, gen_to)")
        self._db.execute(
            "INSERT INTO layer_state VALUES (?, 1, 1, ?)", (layer.id, FIRST_GENERATION)
        )

    def _index_junctions(self, service: Service, layer: Layer) -> None:
        for number, relationship in enumerate(layer.relationships):
            if relationship.junction_layer is None:
                continue
            between = service.layers[relationship.junction_layer]
            name = quoted(f"layer_{layer.id}_junction_{number}")
            key = column(between, relationship.junction_field)
            self._db.execute(f"CREATE INDEX {name} ON {table(between)} ({key}, gen_to)")

    def definition(self, name: str) -> Service:
        """The service kept here."""
        text = self.meta("definition")
        return checked_service(name, json.loads(text or "null"), str(self.path))

    def save_definition(self, service: Service) -> None:
        self.set_meta("definition", json.dumps(service.document))

    def meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    @property
    def generation(self) -> int:
        """The newest generation of the service."""
        return int(self.meta("generation") or FIRST_GENERATION)

    def min_generation(self, layer_id: int) -> int:
        """The oldest generation from which the changes of a layer are still known."""
        row = self.one("SELECT min_gen FROM layer_state WHERE layer = ?", layer_id)
        return FIRST_GENERATION if row is None else int(row[0])

    def run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Execute one statement with bound values."""
        return self._db.execute(sql, values)

    def run_many(self, sql: str, rows: Iterator[tuple[Any, ...]]) -> None:
        """Execute one statement for each row."""
        self._db.executemany(sql, rows)

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a statement, None when it has none."""
        row: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
        return row

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; inside another transaction it is a savepoint of it."""
        name = f"depth_{self._depth}"
        self._db.execute("BEGIN IMMEDIATE" if self._depth == 0 else f"SAVEPOINT {name}")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("ROLLBACK")
            else:
                self._db.execute(f"ROLLBACK TO {name}")
                self._db.execute(f"RELEASE {name}")
            raise
        self._depth -= 1
        self._db.execute("COMMIT" if self._depth == 0 else f"RELEASE {name}")

    def next_generation(self, now_ms: int) -> int:
        """Take the next generation; inside a transaction."""
        generation = self.generation + 1
        self.set_meta("generation", str(generation))
        self.run("INSERT INTO moment VALUES (?, ?)", generation, now_ms)
        return generation

    def generation_at(self, moment_ms: int) -> int:
        """The newest generation made at or before a moment."""
        found = self.one("SELECT MAX(generation) FROM moment WHERE at_ms <= ?", moment_ms)
        return FIRST_GENERATION if found is None or found[0] is None else int(found[0])

    def close(self) -> None:
        self._db.close()


def _offset_ms(text: str | None) -> int | None:
    """The moment of a timestamp with an offset, for comparisons."""
    return None if text is None else epoch_ms(datetime.fromisoformat(text))


def _like(value: object, pattern: object, escape: object) -> int | None:
    """SQL LIKE with the case looked at, as ArcGIS compares text."""
    if value is None or pattern is None:
        return None
    text, wanted = str(value), str(pattern)
    mark = str(escape) if escape else ""
    parts: list[str] = []
    position = 0
    while position < len(wanted):
        sign = wanted[position]
        if mark and sign == mark and position + 1 < len(wanted):
            position += 1
            parts.append(re.escape(wanted[position]))
        else:
            parts.append({"%": ".*", "_": "."}.get(sign, re.escape(sign)))
        position += 1
    return int(re.fullmatch("".join(parts), text, re.DOTALL) is not None)
