"""The oracle: everything the service ever had, and all that is left on the devices, explained.

* Each value that was saved has reached the service, or was overwritten by its own device, or lies
  in that device's conflict store or quarantine.
* Each value that the service had was written by somebody, and not more often than it was written:
  an edit that is applied twice, or brought back from a stale copy, shows as a value that returns.
* Each cell that is empty in the end, and was not, was emptied by somebody.
* Each row that is gone was deleted by somebody; each row that was deleted is gone.
* No row is there under two GlobalIDs, no GlobalID twice.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.engine.sync.schedules.evidence import (
    History,
    Key,
    Stores,
    Version,
    history,
    photo_history,
    stores,
    without_unseen,
)
from tests.engine.sync.schedules.extras import extra_fields, extras_here, extras_there
from tests.engine.sync.schedules.ledger import OFFICE, Delete, Entry, Ledger, Photo, Write
from tests.engine.sync.schedules.world import (
    COLUMNS,
    HYDRANTS,
    LAYERS,
    PARENTS,
    TABLES,
    TOKENS,
    Row,
    Taken,
    Value,
    device_rows,
    inside_of,
)
from tests.feature_service.hosted import Hosted

if TYPE_CHECKING:
    from tests.engine.sync.schedules.machine import Machine

Cell = tuple[int, str, str]  # and column


# --- agreement -----------------------------------------------------------------------------------


def disagreements(name: str, path: Path, inside: Hosted, taken: Taken) -> list[str]:
    """Where the device's file is not what the service has, or is not at rest.

    Of rows that do not belong to the map it may have any, as the service has them; but of those
    that left it, a service need not tell.
    """
    wrong = []
    there: dict[int, dict[str, Row]] = {layer: {} for layer in LAYERS}
    for (layer, gid), versions in history(inside).items():
        if versions[-1].is_alive:
            there[layer][gid] = versions[-1].cells
    photos_there = {
        gid: versions[-1].cells
        for gid, versions in photo_history(inside).items()
        if versions[-1].is_alive
    }
    with closing(sqlite3.connect(path)) as connection:
        here = device_rows(connection)
        wanted = inside_of(taken, there)
        may_be_old = inside.profile.rows_leaving != "delete"
        for layer in LAYERS:
            for gid in sorted(there[layer].keys() | here[layer].keys()):
                one, other = there[layer].get(gid), here[layer].get(gid)
                is_outside = gid not in wanted[layer] and taken is not Taken.ALL
                if is_outside and (other is None or may_be_old):
                    continue
                if one != other:
                    wrong.append(f"{name} {TABLES[layer]} {gid}: {_differing(one, other)}")
            if taken is Taken.ALL:
                wrong += _extras(name, layer, connection, inside)
        found = connection.execute(
            "SELECT GLOBALID,REL_GLOBALID,ATT_NAME,hex(DATA) FROM Hydrants__ATTACH"
        )
        photos = {g: {"parent": p, "name": n, "data": d} for g, p, n, d in found}
        wrong += [
            f"{name} attachment {gid}: {_differing(photos_there.get(gid), photos.get(gid))}"
            for gid in sorted(photos_there.keys() | photos.keys())
            if photos_there.get(gid) != photos.get(gid)
            and (photos_there.get(gid) or photos[gid])["parent"] in wanted[HYDRANTS]
        ]
        wrong += [f"{name}: {what}" for what in _unrest(connection)]
    spool = path.with_name(f"{path.name}-spool")
    wrong += [f"{name}: {file.name} is left" for file in spool.glob("*")]
    return wrong


def _extras(name: str, layer: int, connection: sqlite3.Connection, inside: Hosted) -> Iterator[str]:
    """Fields that came to the layer later."""
    names = [field["name"] for field in extra_fields(inside, layer)]
    try:
        here = extras_here(connection, TABLES[layer], names)
    except sqlite3.OperationalError as error:
        yield f"{name} {TABLES[layer]}: {error}"
        return
    there = extras_there(inside, layer)
    for gid in sorted(there.keys() & here.keys()):
        if there[gid] != here[gid]:
            yield f"{name} {TABLES[layer]} {gid}: {_differing(there[gid], here[gid])}"


def _differing(there: Mapping[str, Any] | None, here: Mapping[str, Any] | None) -> str:
    if there is None or here is None:
        return f"on the service {there is not None}, on the device {here is not None}"
    return str({n: (there[n], here.get(n)) for n in there if there[n] != here.get(n)})[:300]


def _unrest(connection: sqlite3.Connection) -> Iterator[str]:
    at_rest = {
        "edits in flight": "SELECT count(*) FROM fieldsync_sent",
        "open batches": "SELECT count(*) FROM fieldsync_batch WHERE state<>'merged'",
        "quarantined rows": "SELECT count(*) FROM fieldsync_quarantine WHERE resolved_at IS NULL",
    }
    for what, statement in at_rest.items():
        (count,) = connection.execute(statement).fetchone()
        if count:
            yield f"{count} {what}"
    answer = connection.execute("PRAGMA quick_check").fetchall()
    if answer != [("ok",)]:
        yield f"quick_check: {answer[:3]}"


# --- every edit explained ------------------------------------------------------------------------


def audit(machine: "Machine", initial: History) -> list[str]:
    """What cannot be explained by the ledger."""
    profile = machine.schedule.profile
    machine.past.look(machine.inside)
    books = _Books(
        ledger=machine.ledger,
        initial=initial,
        history=machine.past.rows,
        photos=machine.past.photos,
        stores={n: stores(p.device.path) for n, p in machine.parties.items()},
        clears=profile.nulls_omitted_attributes,
        may_race=machine.has_raced,
        inserts=profile.update_of_missing == "insert",
        carried=machine.carried.sent,
    )
    return [
        *books.lost_values(),
        *books.unexplained_values(),
        *books.emptied_values(),
        *books.unexplained_deletes(),
        *books.doubled_rows(),
        *books.photo_faults(),
    ]


@dataclass(slots=True, kw_only=True)
class _Books:
    ledger: Ledger
    initial: History
    history: History
    photos: dict[str, list[Version]]
    stores: dict[str, Stores]
    clears: bool
    may_race: bool
    inserts: bool
    carried: Mapping[str, int]
    alias: dict[Key, str] = field(default_factory=dict)
    renamed: dict[Key, str] = field(default_factory=dict)  # a restored row → its new GlobalID

    def __post_init__(self) -> None:
        """Rows that the service gave GlobalIDs of its own are known by their texts."""
        known = {*self.initial, *((w.layer, w.gid) for w in self.ledger.writes)}
        self.history = without_unseen(self.history, known)
        by_token: dict[tuple[int, Value], list[str]] = {}
        for (layer, gid), versions in self.history.items():
            for token in {version.cells[TOKENS[layer]] for version in versions}:
                by_token.setdefault((layer, token), []).append(gid)
        for number, write in enumerate(self.ledger.entries):
            if not isinstance(write, Write):
                continue
            token = write.values.get(TOKENS[write.layer])
            holders = by_token.get((write.layer, token), [])
            if token is None or not holders:
                continue
            if (write.layer, write.gid) not in self.history:
                self.alias.setdefault((write.layer, write.gid), holders[0])
                continue
            new = next((gid for gid in holders if (write.layer, gid) not in known), None)
            if new is not None and (write.is_decision or write.gid not in holders):
                # The row was deleted by others, and is a new one since a person restored it.
                self.ledger.entries[number] = replace(write, gid=new)
                self.renamed[(write.layer, write.gid)] = new
        for number, write in enumerate(self.ledger.entries):
            new = self.renamed.get((write.layer, write.gid)) if isinstance(write, Write) else None
            if isinstance(write, Write) and new is not None and not self._was_there(write):
                later = self.ledger.entries[number:]
                if Delete(write.who, write.layer, write.gid) in later:
                    continue  # by its own device
                if any(self._arrived_there(write, entry) for entry in later):
                    continue  # written over on that device, not on the restored row
                # Written over before the restored row went up.
                self.ledger.entries[number] = replace(write, gid=new)

    def _was_there(self, write: Write) -> bool:
        """By its telling values: of a status there are two only."""
        versions = self.history.get((write.layer, write.gid), [])
        telling = {n: v for n, v in write.values.items() if n != "status"} or write.values
        return any(v.cells[n] == value for v in versions for n, value in telling.items())

    def _arrived_there(self, write: Write, entry: Entry) -> bool:
        """Whether what the same device wrote to the same row came to the service."""
        if not isinstance(entry, Write) or entry.who != write.who:
            return False
        return (entry.layer, entry.gid) == (write.layer, write.gid) and self._was_there(entry)

    def _gid(self, layer: int, gid: str) -> str:
        return self.alias.get((layer, gid), gid)

    def _names(self, layer: int, name: str, value: Value) -> set[Value]:
        """The value, and if it is a key what it became when its row was restored under another
        GlobalID."""
        if COLUMNS[layer][name] != "guid":
            return {value}
        return {value, self.renamed.get((PARENTS[layer][0], str(value)), value)}

    def _versions(self, layer: int, gid: str) -> list[Version]:
        return self.history.get((layer, self._gid(layer, gid)), [])

    @property
    def _deleted(self) -> set[tuple[str, Key]]:
        """The rows that anybody deleted, as if one party had."""
        keys = {(d.layer, d.gid) for d in self.ledger.deletes}
        keys = keys.union(*(kept.given_up for kept in self.stores.values()))
        return {("", (layer, self._gid(layer, gid))) for layer, gid in keys}

    @property
    def _restored(self) -> set[str]:
        """Hydrants that a person may have brought back from a store, with their attachments."""
        decisions = [w for w in self.ledger.writes if w.is_decision and w.layer == HYDRANTS]
        return {self._gid(HYDRANTS, w.gid) for w in decisions if "" in w.values}

    # --- nothing is lost

    def lost_values(self) -> Iterator[str]:
        later: set[tuple[str, Cell]] = set()  # cells that the same device wrote again
        gone: set[tuple[str, Key]] = set()  # rows that it deleted
        everybody = self._deleted
        for entry in reversed(self.ledger.entries):
            if isinstance(entry, Delete):
                gone.add((entry.who, (entry.layer, self._gid(entry.layer, entry.gid))))
            if not isinstance(entry, Write) or entry.is_decision:
                continue
            gid = self._gid(entry.layer, entry.gid)
            for name, value in entry.values.items():
                cell = (entry.who, (entry.layer, gid, name))
                is_written_again = cell in later
                later.add(cell)
                if value is None or name == "status" or is_written_again:
                    continue
                if self._is_gone(entry.who, entry.layer, gid, gone):
                    continue
                there = value
                if COLUMNS[entry.layer][name] == "guid":
                    there = self._gid(PARENTS[entry.layer][0], str(value))
                    if self._is_gone("", PARENTS[entry.layer][0], there, everybody):
                        continue  # the service empties keys of rows that are gone
                names = self._names(entry.layer, name, there)
                if any(v.cells[name] in names for v in self._versions(entry.layer, gid)):
                    continue
                kept = self.stores.get(entry.who)
                if kept is None or (entry.layer, name, value) not in kept.cells:
                    yield f"{entry.who}'s {TABLES[entry.layer]} {gid} {name}={value!r} is lost"

    def _is_gone(self, who: str, layer: int, gid: str, gone: set[tuple[str, Key]]) -> bool:
        """Whether that party deleted the row, or one that it is composed into."""
        if (who, (layer, gid)) in gone:
            return True
        if layer not in PARENTS or not PARENTS[layer][2]:
            return False
        above, key, _ = PARENTS[layer]
        return any(self._is_gone(who, above, p, gone) for p in self._parents(layer, gid, key))

    def _parents(self, layer: int, gid: str, key: str) -> set[str]:
        found = {v.cells[key] for v in self._versions(layer, gid)}
        found |= {
            w.values.get(key)
            for w in self.ledger.writes
            if w.layer == layer and self._gid(layer, w.gid) == gid
        }
        above = PARENTS[layer][0]
        return {self._gid(above, str(p)) for p in found if p is not None}

    # --- nothing comes from nowhere, or twice

    def unexplained_values(self) -> Iterator[str]:
        allowed: Counter[tuple[Cell, Value]] = Counter()
        for (layer, gid), versions in self.initial.items():
            for name, value in versions[0].cells.items():
                for one in self._names(layer, name, value):
                    allowed[((layer, gid, name), one)] += 1
        for write in self.ledger.writes:
            gid = self._gid(write.layer, write.gid)
            for name, value in write.values.items():
                if COLUMNS[write.layer][name] == "guid" and value is not None:
                    value = self._gid(PARENTS[write.layer][0], str(value))
                # A device does not know that a file with its edits was sent, and what came after.
                for one in self._names(write.layer, name, value):
                    allowed[((write.layer, gid, name), one)] += 1 + self.carried.get(write.who, 0)
        for (layer, gid), versions in self.history.items():
            for name in COLUMNS[layer]:
                for value, times in self._runs(versions, name).items():
                    if value is None or self._is_default(name, value):
                        continue
                    limit = allowed[((layer, gid, name), value)]
                    # A row that was deleted and restored as it was before an update without an
                    # answer looks as if that had never arrived.
                    limit += bool(limit) * sum(a.end != b.begin for a, b in pairwise(versions))
                    # The one watched row whose only other value is a key, which the service empties
                    # just then, looks as if it had been cleared by the update.
                    is_key = COLUMNS[layer][name] == "guid"
                    # A status has two values only: where somebody sets it back to what it was, an
                    # update without an answer looks as if it had never arrived.
                    is_open = name == "status" or (self.may_race and (self.clears or is_key))
                    if limit == 0 or (times > limit and not is_open):
                        yield (
                            f"{TABLES[layer]} {gid} {name}={value!r} was there {times} times,"
                            f" and written {limit} times"
                        )

    def emptied_values(self) -> Iterator[str]:
        emptied: set[Cell] = set()
        for write in self.ledger.writes:
            gid = self._gid(write.layer, write.gid)
            emptied |= {
                (write.layer, gid, name)
                for name in COLUMNS[write.layer]
                if write.values.get(name, None if write.is_add else ...) is None
            }
        everybody = self._deleted
        for (layer, gid), versions in self.history.items():
            if not versions[-1].is_alive:
                continue
            since = max(
                (n for n, (a, b) in enumerate(pairwise(versions), 1) if a.end != b.begin), default=0
            )
            for name, value in versions[-1].cells.items():
                values = [v.cells[name] for v in versions[since:]]
                if value is not None or not any(v is not None for v in values):
                    continue
                if (layer, gid, name) in emptied or self._came_between(layer, gid, name, values):
                    continue
                if COLUMNS[layer][name] == "guid":
                    parents = self._parents(layer, gid, name)
                    if any(self._is_gone("", PARENTS[layer][0], p, everybody) for p in parents):
                        continue  # the service empties keys of rows that are gone
                yield f"{TABLES[layer]} {gid} {name} was emptied by nobody"

    def _came_between(self, layer: int, gid: str, name: str, values: list[Value]) -> bool:
        """Whether the office filled an empty cell while a sync was going on, on a service that
        clears what an update leaves out: between our look at the row that goes up first and that
        update. Nobody else ever saw the value."""
        runs = [value for value, _ in groupby(values)]
        if not (self.clears and self.may_race) or runs[-3:-2] != [None]:
            return False
        return any(
            w.who == OFFICE
            and w.layer == layer
            and self._gid(layer, w.gid) == gid
            and w.values.get(name) == runs[-2]
            for w in self.ledger.writes
        )

    def _runs(self, versions: list[Version], name: str) -> Counter[Value]:
        runs: Counter[Value] = Counter()
        last: object = ...
        for version in versions:
            value = version.cells[name]
            if value is None and self.clears:
                continue  # cleared by an update that left it out, and mended
            if value != last:
                runs[value] += 1
            last = value
        return runs

    def _is_default(self, name: str, value: Value) -> bool:
        return name in ("status", "serial") and value in (0, 1)

    # --- deletes

    def unexplained_deletes(self) -> Iterator[str]:
        everybody = self._deleted
        for (layer, gid), versions in self.history.items():
            if not versions[-1].is_alive and not self._is_gone("", layer, gid, everybody):
                yield f"{TABLES[layer]} {gid} was deleted by nobody"
        last: dict[tuple[str, Key], Entry] = {}
        for entry in self.ledger.entries:
            if isinstance(entry, Delete) or (isinstance(entry, Write) and entry.is_add):
                last[(entry.who, (entry.layer, self._gid(entry.layer, entry.gid)))] = entry
        for (who, (layer, gid)), entry in last.items():
            versions = self.history.get((layer, gid), [])
            if isinstance(entry, Write) or not versions or not versions[-1].is_alive:
                continue
            was_away = any(a.end != b.begin for a, b in pairwise(versions))
            kept = self.stores.get(who)
            if who != OFFICE and kept is not None and entry.gid in kept.deletes:
                continue
            if not was_away:
                yield f"{who} deleted {TABLES[layer]} {gid}, and it is still there"

    # --- nothing is doubled

    def doubled_rows(self) -> Iterator[str]:
        for write in self.ledger.writes:
            if not write.is_add or write.is_decision:
                continue
            name = TOKENS[write.layer]
            token = write.values.get(name)
            holders = {
                gid
                for (layer, gid), versions in self.history.items()
                if layer == write.layer and any(v.cells[name] == token for v in versions)
            }
            if len(holders) > 1:
                yield f"{TABLES[write.layer]} {name}={token!r} is doubled: {sorted(holders)}"

    # --- attachments

    def photo_faults(self) -> Iterator[str]:
        deleted = {p.gid for p in self.ledger.photos if p.data is None}
        rows = self._deleted
        given: dict[Value, set[str]] = {}
        for photo in self.ledger.photos:
            if photo.data is not None:
                given.setdefault(photo.name, set()).add(photo.data.hex().upper())
        for gid, versions in self.photos.items():
            parent = str(versions[-1].cells["parent"])
            is_explained = (
                gid in deleted
                or ("", (-1, gid)) in rows
                or self._is_gone("", HYDRANTS, parent, rows)
            )
            if not versions[-1].is_alive and not is_explained:
                yield f"the attachment {gid} was deleted by nobody"
            names = [v.cells["name"] for v in versions]
            for name, times in Counter(
                n for n, before in zip(names, [None, *names], strict=False) if n != before
            ).items():
                # A device does not know that a file with its edit was sent, and what came after.
                writers = [p.who for p in self.ledger.photos if (p.gid, p.name) == (gid, name)]
                limit = 1 + max((self.carried.get(who, 0) for who in writers), default=0)
                if times > limit and parent not in self._restored:
                    yield f"the attachment {gid} was {name} {times} times"
            for version in versions:
                name, data = version.cells["name"], version.cells["data"]
                if name in given and data not in given[name]:
                    yield f"the attachment {gid} was {name} with the data of another"
        later: set[tuple[str, str]] = set()
        gone: set[tuple[str, Key]] = set()
        for entry in reversed(self.ledger.entries):
            if isinstance(entry, Delete):
                gone.add((entry.who, (entry.layer, self._gid(entry.layer, entry.gid))))
            if not isinstance(entry, Photo):
                continue
            is_superseded = (entry.who, entry.gid) in later
            later.add((entry.who, entry.gid))
            parent = self._gid(HYDRANTS, entry.parent)
            if is_superseded or (entry.who, (HYDRANTS, parent)) in gone:
                continue
            if entry.data is None and parent in self._restored:
                continue
            yield from self._photo_lost(entry)

    def _photo_lost(self, entry: Photo) -> Iterator[str]:
        versions = self.photos.get(entry.gid, [])
        kept = self.stores.get(entry.who, Stores())
        if entry.data is None:
            others = {p.who for p in self.ledger.photos if p.gid == entry.gid and p.data}
            is_left = bool(versions) and versions[-1].is_alive and entry.gid not in kept.deletes
            if is_left and others <= {entry.who}:
                yield f"{entry.who} deleted the attachment {entry.gid}, it is still there"
            return
        data = entry.data.hex().upper()
        has_it = any(v.cells["name"] == entry.name and v.cells["data"] == data for v in versions)
        if not has_it and entry.name not in kept.photos:
            yield f"{entry.who}'s attachment {entry.name} of {entry.parent} is lost"
