"""Which package of a map area the rows are kept current by, and up to which generation.

Kept only in a geodatabase that is updated by packages. Synchronous functions over a connection; the
one that writes needs an open transaction, so that the record moves together with the rows.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.geodatabase.remembered import recall, remember

_NAME = "package"
_SENT_UP_TO = "package-sent-up-to"
_UNKNOWN = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageGenerations:
    """How far a package is: ``server`` with one generation for all layers, else one for each layer,
    in the order in which the package tells them."""

    server: int | None = None
    layers: Mapping[int, int] = field(default_factory=dict)

    @property
    def number(self) -> int | None:
        """The one that update files are named by: the server's, or else that of the layer that is
        told first. None if nothing is known."""
        return next(iter(self.layers.values()), None) if self.server is None else self.server


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRecord:
    """The package item ``item_id`` of the map area ``area_item_id`` on ``portal`` (a URL).

    ``generations`` are those of the rows here. ``size_bytes`` and ``modified`` (milliseconds since
    1970) are those of the package whose rows were last loaded whole.
    """

    portal: str
    area_item_id: str
    item_id: str
    generations: PackageGenerations
    size_bytes: int
    modified: int = 0


def get_package(connection: sqlite3.Connection) -> PackageRecord | None:
    """The record; None in a geodatabase that is not updated by packages."""
    text = recall(connection, _NAME)
    if not text:
        return None
    value = json.loads(text)
    return PackageRecord(
        portal=value["portal"],
        area_item_id=value["area_item_id"],
        item_id=value["item_id"],
        generations=PackageGenerations(
            server=value["server_generation"], layers=dict(value["layer_generations"])
        ),
        size_bytes=value["size_bytes"],
        modified=value["modified"],
    )


def set_package(connection: sqlite3.Connection, record: PackageRecord) -> None:
    """Write the record, in place of an earlier one."""
    value = {
        "portal": record.portal,
        "area_item_id": record.area_item_id,
        "item_id": record.item_id,
        "server_generation": record.generations.server,
        "layer_generations": list(record.generations.layers.items()),
        "size_bytes": record.size_bytes,
        "modified": record.modified,
    }
    remember(connection, _NAME, json.dumps(value, separators=(",", ":")))


# --- what was sent beside it ----------------------------------------------------------------------


def note_sending(connection: sqlite3.Connection) -> None:
    """New features are about to be sent: from which generation on the service has them is not known
    until :func:`note_sent`."""
    remember(connection, _SENT_UP_TO, _UNKNOWN)


def note_sent(connection: sqlite3.Connection, generation: int) -> None:
    """At that generation the service has all that was sent: so has a package that is as new."""
    remember(connection, _SENT_UP_TO, str(generation))


def sent_up_to(connection: sqlite3.Connection) -> int | None:
    """What was noted last; 0 if nothing was sent, None if it is not known."""
    found = recall(connection, _SENT_UP_TO)
    return None if found == _UNKNOWN else int(found or 0)
