"""The statements that foreign programs write into a layer, drawn at random: valid ones and not."""

import random
import sqlite3
import uuid
from collections.abc import Mapping

from engine.geodatabase.difference import Cell
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote


def make_guid(rng: random.Random) -> str:
    """A GUID that depends on the seed alone."""
    return "{" + str(uuid.UUID(int=rng.getrandbits(128), version=4)).upper() + "}"


def draw_from(connection: sqlite3.Connection, rng: random.Random) -> None:
    """Have the triggers mint GUIDs from ``rng``: SQLite's own chance cannot be drawn again."""
    connection.create_function("randomblob", 1, rng.randbytes)
    connection.create_function("random", 0, lambda: rng.getrandbits(63))


TEXTS = ("", "a", "b", "Ä\U0001f333", "nul\0inside", "'quote", "12", "12.0")
# No number has a twin of the other type: 2**53 would, and -2**63; for SQL they are the same.
NUMBERS = (0, 1, -1, 2**53 + 1, 2**63 - 1, 1 - 2**63, 5e-324, 1.5, float("inf"), 1e300)
BLOBS = (b"", b"\0", b"GP\0\1", b"g" * 40, b"h" * 4000)


class Mix:
    """The statements that programs write, valid and not; each call of ``next`` is one of them."""

    def __init__(self, rng: random.Random, table: LayerTable, foreign: sqlite3.Connection) -> None:
        self.rng = rng
        self.table = table
        self.foreign = foreign
        self.name = quote(table.name)
        self.gid = quote(table.global_id)
        self.key = quote(table.key)
        self.columns = [quote(n) for n in table.row_names[1:]]
        self.kinds = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("kind_")]
        self.gone: list[str] = []

    def next(self) -> None:
        """One statement; what SQLite refuses is refused."""
        try:
            self.rng.choice(self.kinds)()
        except (sqlite3.IntegrityError, sqlite3.OperationalError) as error:
            if "no such savepoint" not in str(error) and not isinstance(
                error, sqlite3.IntegrityError
            ):
                raise

    def run(self, sql: str, *values: object) -> None:
        self.foreign.execute(sql, values)

    def value(self) -> Cell:
        pool: tuple[Cell, ...] = self.rng.choice(((None,), TEXTS, NUMBERS, BLOBS))
        return self.rng.choice(pool)

    def column(self) -> str:
        return self.rng.choice(self.columns)

    def rows(self) -> list[tuple[int, str]]:
        return self.foreign.execute(f"SELECT {self.key},{self.gid} FROM {self.name}").fetchall()

    def row(self) -> tuple[int, str]:
        """Some row's key and GlobalID; one that is not there if there is none."""
        return self.rng.choice(self.rows() or [(1, make_guid(self.rng))])

    def clause(self) -> str:
        return self.rng.choice(("", "OR REPLACE", "OR IGNORE", "OR ABORT", "OR FAIL"))

    def spelling(self, gid: str) -> str:
        return self.rng.choice((gid, gid.lower(), gid.strip("{}"), f" {gid} "))

    def insert(self, clause: str, cells: Mapping[str, object], tail: str = "") -> None:
        names, marks = ",".join(cells), ",".join("?" * len(cells))
        sql = f"INSERT {clause} INTO {self.name}({names}) VALUES({marks}) {tail}"
        self.run(sql, *cells.values())

    def cells(self) -> dict[str, object]:
        return {name: self.value() for name in self.rng.sample(self.columns, 3)}

    def kind_insert_plain(self) -> None:
        self.insert("", self.cells())

    def kind_insert_named(self) -> None:
        self.insert("", {self.gid: self.spelling(make_guid(self.rng)), **self.cells()})

    def kind_insert_missing_gid(self) -> None:
        self.insert(self.clause(), {self.gid: self.rng.choice((None, "")), **self.cells()})

    def kind_insert_deleted_gid(self) -> None:
        if self.gone:
            self.insert("", {self.gid: self.rng.choice(self.gone), **self.cells()})

    def kind_insert_taken_gid(self) -> None:
        gid = self.spelling(self.row()[1])
        self.insert(self.clause(), {self.gid: gid, **self.cells()})

    def kind_insert_taken_key(self) -> None:
        self.insert(self.clause(), {self.key: self.row()[0], **self.cells()})

    def kind_insert_both_taken(self) -> None:
        cells = {self.key: self.row()[0], self.gid: self.row()[1], **self.cells()}
        self.insert(self.clause(), cells)

    def kind_insert_garbage(self) -> None:
        self.insert(self.clause(), {self.gid: self.rng.choice(("x", b"y", 7)), **self.cells()})

    def kind_insert_many(self) -> None:
        column = self.column()
        self.run(
            f"INSERT {self.clause()} INTO {self.name}({self.key},{column}) SELECT {self.key}+?,"
            f"{column} FROM {self.name} ORDER BY {self.key} LIMIT 3",
            self.rng.choice((0, 1, 1000)),
        )

    def kind_upsert_gid(self) -> None:
        column = self.column()
        cells = {self.gid: self.row()[1], column: self.value()}
        action = self.rng.choice(("NOTHING", f"UPDATE SET {column}=excluded.{column}"))
        self.insert("", cells, f"ON CONFLICT({self.gid}) DO {action}")

    def kind_upsert_key(self) -> None:
        column = self.column()
        cells = {self.key: self.row()[0], column: self.value()}
        self.insert("", cells, f"ON CONFLICT({self.key}) DO UPDATE SET {column}=excluded.{column}")

    def kind_update_one(self) -> None:
        sql = f"UPDATE {self.name} SET {self.column()}=? WHERE {self.key}=?"
        self.run(sql, self.value(), self.row()[0])

    def kind_update_many(self) -> None:
        sql = f"UPDATE {self.name} SET {self.column()}=?,{self.column()}=? WHERE {self.key}%3=?"
        self.run(sql, self.value(), self.value(), self.rng.randrange(3))

    def kind_update_back(self) -> None:
        column, key = self.column(), self.row()[0]
        found = self.foreign.execute(
            f"SELECT {column} FROM {self.name} WHERE {self.key}=?", (key,)
        ).fetchone()
        if found:
            for value in (self.value(), found[0]):
                self.run(f"UPDATE {self.name} SET {column}=? WHERE {self.key}=?", value, key)

    def kind_write_back(self) -> None:
        columns = ",".join(f"{c}={c}" for c in self.columns)
        self.run(f"UPDATE {self.name} SET {columns},{self.gid}={self.gid}")

    def kind_swap(self) -> None:
        a, b = self.rng.sample(self.columns[1:], 2)
        self.run(f"UPDATE {self.name} SET {a}={b},{b}={a} WHERE {self.key}%2=0")

    def kind_move_key(self) -> None:
        alias = self.rng.choice((self.key, "rowid", "_rowid_", "oid"))
        target = self.rng.choice((self.row()[0], self.row()[0] + 1, self.rng.randrange(1, 99)))
        sql = f"UPDATE {self.clause()} {self.name} SET {alias}=?,{self.column()}=? WHERE {alias}=?"
        self.run(sql, target, self.value(), self.row()[0])

    def kind_move_key_alone(self) -> None:
        sql = f"UPDATE {self.clause()} {self.name} SET {self.key}=? WHERE {self.key}=?"
        self.run(sql, self.row()[0], self.row()[0])

    def kind_clear_gid(self) -> None:
        gid = self.rng.choice((None, ""))
        sql = f"UPDATE {self.clause()} {self.name} SET {self.gid}=?,{self.column()}=?"
        self.run(f"{sql} WHERE {self.key}%4=1", gid, self.value())

    def kind_take_gid(self) -> None:
        sql = f"UPDATE {self.clause()} {self.name} SET {self.gid}=? WHERE {self.key}=?"
        self.run(sql, self.spelling(self.row()[1]), self.row()[0])

    def kind_new_gid(self) -> None:
        gid = self.rng.choice([make_guid(self.rng), *self.gone[-3:]])
        sql = f"UPDATE {self.clause()} {self.name} SET {self.gid}=? WHERE {self.key}=?"
        self.run(sql, self.spelling(gid), self.row()[0])

    def kind_garbage_gid(self) -> None:
        sql = f"UPDATE {self.clause()} {self.name} SET {self.gid}='no guid' WHERE {self.key}=?"
        self.run(sql, self.row()[0])

    def kind_delete(self) -> None:
        key, gid = self.row()
        self.gone.append(gid)
        self.run(f"DELETE FROM {self.name} WHERE {self.key}=?", key)

    def kind_delete_many(self) -> None:
        self.gone += [gid for key, gid in self.rows() if key % 5 == 2]
        self.run(f"DELETE FROM {self.name} WHERE {self.key}%5=2")

    def kind_delete_and_insert(self) -> None:
        key, gid = self.row()
        found = self.foreign.execute(
            f"SELECT {','.join(self.columns)} FROM {self.name} WHERE {self.key}=?", (key,)
        ).fetchone()
        if found is None:
            return
        self.run(f"DELETE FROM {self.name} WHERE {self.key}=?", key)
        cells = dict(zip(self.columns, found, strict=True))
        if self.rng.random() < 0.5:
            cells[self.column()] = self.value()
        self.insert("", {self.gid: gid, **cells})

    def kind_reuse_key(self) -> None:
        key, gid = self.row()
        self.gone.append(gid)
        self.run(f"DELETE FROM {self.name} WHERE {self.key}=?", key)
        self.insert("", {self.key: key, **self.cells()})

    def kind_savepoint(self) -> None:
        name = self.rng.choice("ab")
        self.run(self.rng.choice((f"SAVEPOINT {name}", f"RELEASE {name}", f"ROLLBACK TO {name}")))

    def kind_insert_rollback(self) -> None:
        self.insert("OR ROLLBACK", {self.gid: self.row()[1], **self.cells()})
