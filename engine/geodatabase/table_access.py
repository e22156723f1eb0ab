"""The way from a table's public methods into the file: inside the caller's transaction, if any."""

import re
import sqlite3
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from engine.errors import (
    EditRefusedError,
    EngineError,
    FeatureNotFoundError,
    GeodatabaseError,
)
from engine.geodatabase.connection import Database
from engine.model import normalise_guid

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class TableAccess:
    """Runs functions over the connection for the layer ``name``.

    ``error`` says why its edits cannot be trusted; None if they can.
    """

    def __init__(self, database: Database, name: str, error: EngineError | None) -> None:
        self._database = database
        self._name = name
        self.error = error

    async def read(self, function: Callable[[sqlite3.Connection, *Ts], T], *args: *Ts) -> T:
        """What ``function(connection, *args)`` reads of the rows."""
        try:
            return await self._database.read(function, *args, joining=True)
        except sqlite3.OperationalError as error:
            if self.error is not None:  # the table is not there any more, or not as it was
                raise self.error from error
            raise _outdated(self._name, error) from error

    async def read_log(self, function: Callable[[sqlite3.Connection, *Ts], T], *args: *Ts) -> T:
        """What ``function(connection, *args)`` reads of the change log, if that can be trusted."""
        self._require_log()
        return await self.read(function, *args)

    async def edit(self, function: Callable[[sqlite3.Connection, *Ts], T], *args: *Ts) -> T:
        """Let ``function(connection, *args)`` edit, if the edit would be logged."""
        self._require_log()
        try:
            return await self._database.write(function, *args, joining=True)
        except sqlite3.IntegrityError as error:
            raise EditRefusedError(f"{self._name}: {error}") from error
        except sqlite3.OperationalError as error:
            raise _outdated(self._name, error) from error

    def guid(self, text: str) -> str:
        """``text`` as a GlobalID; :exc:`FeatureNotFoundError` if it is none."""
        guid = normalise_guid(text)
        if guid is None:
            raise FeatureNotFoundError(f"{self._name}: {text!r} is no GlobalID")
        return guid

    def _require_log(self) -> None:
        if self.error is not None:
            raise self.error


def _outdated(name: str, error: sqlite3.OperationalError) -> Exception:
    """A sync of another program may have let the table follow a change of its layer."""
    if not re.search(r"no such (column|table)|has no column", str(error)):
        return error
    return GeodatabaseError(
        f"the table of {name} was changed by a sync of another program: {error}",
        remedy="Refresh the geodatabase (refresh()), or open it again",
    )
