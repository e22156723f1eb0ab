"""The triggers that note every edit of any program, in the edit's own transaction.

They have one duty: before the first change of a row since the last sync, write down the row as the
service last knew it (its base), or that it had none. What was edited comes out later, by
comparing the base with the row. An entry too many therefore does no harm, and the BEFORE triggers
may note rows that a REPLACE only might remove: that is what makes REPLACE, UPSERT, OR IGNORE and
both settings of ``recursive_triggers`` come out alike.

The same triggers give every row a GlobalID in the one spelling ``{UPPER-CASE}``. They use core SQL
only, so any program with SQLite 3.24 or newer can write the file.
"""

import sqlite3
from collections.abc import Sequence

from engine.geodatabase.applying import applying
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.log_schema import (
    LOG_SCHEMA,
    LOG_TABLES,
    sent_table,
    table_log_sql,
    value_names,
)
from engine.geodatabase.permissions import Permissions, Refusals
from engine.geodatabase.sql import literal, quote, quoted

__all__ = [
    "LOG_SCHEMA",
    "LOG_TABLES",
    "Permissions",
    "applying",
    "check_triggers",
    "create_log",
    "drop_triggers",
    "rearm",
    "trigger_sql",
]

_NEXT = "UPDATE fieldsync_state SET seq=seq+1 WHERE id=1;"
_HEX = "[0-9A-F]"
_CANONICAL = "{" + "-".join(_HEX * n for n in (8, 4, 4, 4, 12)) + "}"
_MINT = (
    "'{'||hex(randomblob(4))||'-'||hex(randomblob(2))||'-4'||substr(hex(randomblob(2)),2)||'-'||"
    # random()&3 and not abs(random()): abs raises for the smallest integer.
    "substr('89AB',1+(random()&3),1)||substr(hex(randomblob(2)),2)||'-'||hex(randomblob(6))||'}'"
)


def trigger_sql(table: LayerTable, permissions: Permissions) -> dict[str, str]:
    """The triggers of ``table`` as name → CREATE statement, the same text every time."""
    return _Triggers(table, permissions).sql()


def create_log(connection: sqlite3.Connection, table: LayerTable, permissions: Permissions) -> None:
    """Make the log tables and triggers of ``table``; :data:`LOG_SCHEMA` must be there."""
    for statement in table_log_sql(table):
        connection.execute(statement)
    index = Refusals(table, permissions).index_sql()
    if index is not None:
        connection.execute(index)
    for statement in trigger_sql(table, permissions).values():
        connection.execute(statement)


def drop_triggers(connection: sqlite3.Connection, table: LayerTable) -> None:
    """Stop logging the edits of ``table``; entries and bases stay."""
    found = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type='trigger' AND name GLOB ?",
        (f"fieldsync_{table.number}_*",),
    ).fetchall()
    for (name,) in found:
        connection.execute(f"DROP TRIGGER {quote(name)}")


def rearm(connection: sqlite3.Connection, table: LayerTable, permissions: Permissions) -> None:
    """Make the triggers of ``table`` anew, whatever is there; entries and bases stay."""
    drop_triggers(connection, table)
    create_log(connection, table, permissions)


def check_triggers(
    connection: sqlite3.Connection, table: LayerTable, permissions: Permissions
) -> list[str]:
    """What is wrong with the log of ``table``, one sentence each; empty means intact.

    A program that drops or renames the table, a column or a trigger leaves a difference in the
    stored text. Columns that it added are not looked at: they are no part of the layer.
    """
    objects: dict[tuple[str, str], str] = {
        (kind, name): sql or ""
        for kind, name, sql in connection.execute("SELECT type,name,sql FROM sqlite_schema")
    }
    faults = [
        f"the table {name} is missing"
        for name in (*LOG_TABLES, table.base_table, sent_table(table), table.name)
        if ("table", name) not in objects
    ]
    if ("table", table.name) in objects:
        present = {
            name
            for (name,) in connection.execute(
                "SELECT name FROM pragma_table_info(?)", (table.name,)
            )
        }
        wanted = (table.key, *table.row_names, *table.noted)
        faults += [
            f"the column {name} of {table.name} is missing"
            for name in wanted
            if name not in present
        ]
    expected = trigger_sql(table, permissions)
    for name, sql in expected.items():
        stored = objects.get(("trigger", name))
        if stored is None:
            faults.append(f"the trigger {name} of {table.name} is missing")
        elif stored != sql:
            faults.append(f"the trigger {name} of {table.name} was altered")
    prefix = f"fieldsync_{table.number}_"
    faults += [
        f"there is an unknown trigger {name}"
        for kind, name in objects
        if kind == "trigger" and name.startswith(prefix) and name not in expected
    ]
    return faults


class _Triggers:
    """Writes the trigger text of one table."""

    def __init__(self, table: LayerTable, permissions: Permissions) -> None:
        self._table = table
        self._refusals = Refusals(table, permissions)
        self._number = table.number
        self._name = quote(table.name)
        self._base = quote(table.base_table)
        self._key = quote(table.key)
        self._gid = quote(table.global_id)
        self._geometry = None if table.geometry is None else quote(table.geometry)
        self._kept_geometry = None if table.geometry is None else quote(f"v_{table.geometry}")
        self._off = "(SELECT applying FROM fieldsync_state WHERE id=1) IS NULL"
        self._victims = f"(x.{self._key}=NEW.{self._key} OR x.{self._gid}=NEW.{self._gid})"

    def sql(self) -> dict[str, str]:
        parts = {
            "bi": self._before_insert(),
            "ai": self._after_insert(),
            "bu": self._before_update(),
            "au": self._after_update(),
            "ad": self._after_delete(),
        }
        if self._table.noted:
            parts["an"] = self._after_noted()
        names = {suffix: f"fieldsync_{self._number}_{suffix}" for suffix in parts}
        return {names[s]: f"CREATE TRIGGER {quote(names[s])} {text}" for s, text in parts.items()}

    def _before_insert(self) -> str:
        found = " OR ".join(
            f"EXISTS(SELECT 1 FROM {self._name} WHERE {c}=NEW.{c})" for c in (self._key, self._gid)
        )
        return (
            f"BEFORE INSERT ON {self._name} WHEN {self._off} AND ({found})"
            f" BEGIN {self._note_victims('')} END"
        )

    def _after_insert(self) -> str:
        own = f"{self._key}=NEW.{self._key}"
        data = self._table.noted
        return (
            f"AFTER INSERT ON {self._name} WHEN {self._off} BEGIN "
            + self._fix_gid(own, _MINT)
            + self._refusals.on_insert()
            + _NEXT
            + f"INSERT INTO fieldsync_change(id,layer,gid,had_base,seq{',data' if data else ''})"
            f" SELECT s.seq,{self._number},x.{self._gid},0,s.seq{',s.seq' if data else ''}"
            f" FROM fieldsync_state s,{self._name} x WHERE s.id=1 AND x.{own}"
            + self._upsert(data=bool(data))
            + " END"
        )

    def _before_update(self) -> str:
        moved = " OR ".join(f"NEW.{c} IS NOT OLD.{c}" for c in (self._key, self._gid))
        others = f" AND x.{self._key}<>OLD.{self._key}"
        return (
            f"BEFORE UPDATE ON {self._name} WHEN {self._off} AND ({moved})"
            f" BEGIN {self._note_victims(others)} END"
        )

    def _after_update(self) -> str:
        gid, key, table = self._gid, self._key, self._table
        renamed = f"NEW.{gid} IS NOT OLD.{gid}"
        changed = _differs(table.row_names)
        if self._refusals.guards_rows:
            # A row moved onto another's key may remove it, and that must be refused.
            changed = f"({changed} OR NEW.{key} IS NOT OLD.{key})"
        editable = [c.name for c in table.columns if c.is_editable]
        if table.geometry is not None:
            editable.append(table.geometry)
        keep_geometry = ""
        if table.is_lazy and self._geometry is not None:
            moved = f"NEW.{self._geometry} IS NOT OLD.{self._geometry}"
            keep_geometry = self._keep_old_geometry(f" AND ({renamed} OR {moved})")
        own = f"{key}=NEW.{key} AND {renamed}"
        return (
            f"AFTER UPDATE ON {self._name} WHEN {self._off} AND {_canonical(f'OLD.{gid}')}"
            f" AND {changed} BEGIN "
            + self._refusals.on_update(_differs(editable))
            + self._note_old(lazily=table.is_lazy, data=False)
            + keep_geometry
            + self._fix_gid(own, f"OLD.{gid}")
            + f"UPDATE fieldsync_state SET seq=seq+1 WHERE id=1 AND {renamed};"
            + "INSERT INTO fieldsync_change(id,layer,gid,had_base,seq)"
            f" SELECT s.seq,{self._number},x.{gid},0,s.seq FROM fieldsync_state s,{self._name} x"
            f" WHERE s.id=1 AND x.{own} AND x.{gid} IS NOT OLD.{gid}"
            + self._upsert(data=False)
            + " END"
        )

    def _after_delete(self) -> str:
        return (
            f"AFTER DELETE ON {self._name} WHEN {self._off} AND {_canonical(f'OLD.{self._gid}')}"
            f" BEGIN {self._refusals.on_delete()}{self._note_old(lazily=False, data=False)}"
            + (self._keep_old_geometry("") if self._table.is_lazy else "")
            + " END"
        )

    def _after_noted(self) -> str:
        """A large column is not compared, which would load it twice: that a statement names it, or
        a column the engine owns (the size), is the note. So the touch after an incremental blob
        write, which fires no trigger itself, is an UPDATE of the size."""
        owned = [c.name for c in self._table.columns if not c.is_editable]
        names = quoted([*self._table.noted, *owned])
        gid = f"OLD.{self._gid}"
        return (
            f"AFTER UPDATE OF {names} ON {self._name} WHEN {self._off} AND {_canonical(gid)}"
            f" BEGIN {self._refusals.on_update('1')}{self._note_old(lazily=False, data=True)} END"
        )

    def _note_old(self, *, lazily: bool, data: bool) -> str:
        """Entry and base of the OLD row."""
        entry = f"c.layer={self._number} AND c.gid=OLD.{self._gid}"
        gid = f"OLD.{self._gid}"
        return (
            _NEXT
            + self._keep("OLD", "s.seq", lazily=lazily)
            + f" FROM fieldsync_state s WHERE s.id=1"
            f" AND NOT EXISTS(SELECT 1 FROM fieldsync_change c WHERE {entry});"
            f"INSERT INTO fieldsync_change(id,layer,gid,had_base,seq{',data' if data else ''})"
            f" SELECT s.seq,{self._number},{gid},1,s.seq{',s.seq' if data else ''}"
            f" FROM fieldsync_state s WHERE s.id=1" + self._upsert(data=data)
        )

    def _note_victims(self, others: str) -> str:
        """Entries and bases of the rows that a REPLACE would remove: one by key, one by GlobalID.

        Both are noted by one statement, hence two numbers: the one found by key takes the first.
        """
        key, gid, number = self._key, self._gid, self._number
        first = f"s.seq-(x.{key} IS NEW.{key})"
        source = (
            f" FROM fieldsync_state s,{self._name} x WHERE s.id=1 AND {self._victims}{others}"
            f" AND x.{gid} IS NOT NULL"
        )
        absent = (
            " AND NOT EXISTS(SELECT 1 FROM fieldsync_change c"
            f" WHERE c.layer={number} AND c.gid=x.{gid});"
        )
        lazy = ""
        if self._table.is_lazy:
            lazy = (
                f"UPDATE {self._base} SET lazy=0,{self._kept_geometry}="
                f"(SELECT x.{self._geometry} FROM fieldsync_change c,{self._name} x"
                f" WHERE c.id={self._base}.id AND x.{gid}=c.gid)"
                f" WHERE lazy=1 AND id IN(SELECT c.id FROM {self._name} x,fieldsync_change c"
                f" WHERE {self._victims}{others} AND c.layer={number} AND c.gid=x.{gid});"
            )
        return (
            "UPDATE fieldsync_state SET seq=seq+2 WHERE id=1;"
            + self._keep("x", first, lazily=False)
            + source
            + absent
            + lazy
            + f"INSERT INTO fieldsync_change(id,layer,gid,had_base,seq)"
            f" SELECT {first},{number},x.{gid},1,s.seq" + source + self._upsert(data=False)
        )

    def _keep(self, row: str, id_: str, *, lazily: bool) -> str:
        """INSERT of a base row from ``row`` (a table alias or OLD), up to its FROM.

        The columns are listed: after a foreign ADD COLUMN a star would no longer fit.
        """
        names = list(self._table.row_names[1:])
        kept = list(value_names(self._table))
        if lazily and self._geometry is not None:
            names, kept = names[1:], kept[1:]
        columns = "".join(f",{quote(name)}" for name in kept)
        values = "".join(f",{row}.{quote(name)}" for name in names)
        return (
            f"INSERT INTO {self._base}(id,key,lazy{columns})"
            f" SELECT {id_},{row}.{self._key},{int(lazily)}{values}"
        )

    def _keep_old_geometry(self, condition: str) -> str:
        """Must follow the entry's insert: before it, the first touch would find no entry."""
        return (
            f"UPDATE {self._base} SET lazy=0,{self._kept_geometry}=OLD.{self._geometry}"
            f" WHERE lazy=1 AND id=(SELECT id FROM fieldsync_change"
            f" WHERE layer={self._number} AND gid=OLD.{self._gid}){condition};"
        )

    def _fix_gid(self, own: str, fallback: str) -> str:
        """Give the row its GlobalID: ``fallback`` for none, ``{UPPER-CASE}`` for another spelling.

        It happens in the trigger that logs the row, because the order of triggers is not defined.
        """
        gid, name = self._gid, self._name
        message = literal(
            f"{self._table.name}: {self._table.global_id} must be a GUID that no other row has,"
            " or be left out."
        )
        bad = f"{own} AND NOT {_canonical(gid)}"
        # Refused beforehand, because an UPDATE that fails in here would, under the outer
        # statement's OR FAIL, leave the row behind without an entry.
        return (
            f"SELECT RAISE(ABORT,{message}) FROM {name} WHERE {bad} AND length({gid})>0"
            f" AND (NOT {_canonical(_spelled(gid))}"
            f" OR EXISTS(SELECT 1 FROM {name} y WHERE y.{gid}={_spelled(f'{name}.{gid}')}));"
            f"UPDATE {name} SET {gid}=CASE WHEN coalesce(length({gid}),0)=0 THEN {fallback}"
            f" ELSE {_spelled(gid)} END WHERE {bad};"
        )

    def _upsert(self, *, data: bool) -> str:
        """An upsert and not OR IGNORE: the outer statement's conflict clause would override that,
        and under OR REPLACE the first base would be lost (sqlite.org/lang_createtrigger.html)."""
        data_too = ",data=excluded.data" if data else ""
        return f" ON CONFLICT(layer,gid) DO UPDATE SET seq=excluded.seq{data_too};"


def _canonical(gid: str) -> str:
    return f"(typeof({gid})='text' AND {gid} GLOB '{_CANONICAL}')"


def _spelled(gid: str) -> str:
    return f"'{{'||upper(trim({gid},'{{}} '))||'}}'"


def _differs(names: Sequence[str]) -> str:
    """True if any column differs between OLD and NEW; nested evenly, because SQLite's expressions
    are at most 1000 deep and a layer may have as many columns."""
    if not names:
        return "0"
    if len(names) == 1:
        name = quote(names[0])
        return f"NEW.{name} IS NOT OLD.{name}"
    half = len(names) // 2
    return f"({_differs(names[:half])} OR {_differs(names[half:])})"
