"""A device of this demo: a map of two geodatabases, edited by any program that knows SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from scripts.demo_maps_story.world import BORDERS
from scripts.demo_story.data import SERVICE
from scripts.demo_story.field_device import FieldDevice


class MapDevice(FieldDevice):
    """A device, named after what its map is for."""

    @property
    def airports(self) -> Path:
        return self.map / f"{SERVICE}.gpkg"

    @property
    def borders(self) -> Path:
        return self.map / f"{BORDERS}.gpkg"

    def execute(self, statement: str, *values: object) -> None:
        """Edit airports, inspections and photos; nothing of fieldsync is loaded for it."""
        with closing(sqlite3.connect(self.airports)) as connection, connection:
            connection.execute(statement, values)

    def refusal(self, statement: str, *, file: Path | None = None) -> str:
        """What the file says to a statement that it refuses; empty if it takes it. Nothing stays
        of it either way.

        A layer that can only be read has an index whose triggers call functions that plain SQLite
        lacks: it says so before it gets to the reason, unless the statement is a DELETE.
        """
        with closing(sqlite3.connect(file or self.airports)) as connection:
            try:
                connection.execute(statement)
            except sqlite3.DatabaseError as error:
                return str(error)
            finally:
                connection.rollback()
        return ""

    def value(self, query: str, *values: object, file: Path | None = None) -> Any:
        """The first column of the only row."""
        with closing(sqlite3.connect(file or self.airports)) as connection:
            return connection.execute(query, values).fetchone()[0]

    def status(self, icao: str) -> str | None:
        found: str | None = self.value("SELECT (SELECT status FROM Airports WHERE icao = ?)", icao)
        return found

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """Another program that has the file open, inside of a transaction."""
        with closing(sqlite3.connect(self.airports, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM Airports").fetchone()
            yield connection
