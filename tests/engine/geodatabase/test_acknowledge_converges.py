"""Edits here, edits there, downloads, uploads and lost answers in any order: both sides end alike.

And nothing is lost on the way: every value saved here either was on the service at some time, was
written over here, or lies in the conflict store.
"""

import json
import random
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from engine.geodatabase import acknowledge as acknowledge_module, merge_row
from engine.geodatabase.acknowledge import acknowledge, in_flight, record_sent, release, sent_edits
from engine.geodatabase.change_log import (
    Edit,
    drop_settled,
    has_pending,
    pending_edits,
)
from engine.geodatabase.conflicts import ConflictKind, Side, list_conflicts, resolve, store_deleted
from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.merge import (
    arrange,
    clear_staging,
    merge_table,
    stage_deletes,
    stage_rows,
)
from engine.geodatabase.merge_row import RowMerge
from engine.geodatabase.reconcile import reconcile
from engine.geodatabase.sent import SentEdit
from engine.geodatabase.sql import quote
from engine.model import ConflictPolicy, EditOperation
from tests.engine.geodatabase.log_oracle import connect, create_file, make_table, snapshot
from tests.engine.geodatabase.model_service import ModelService, make_point
from tests.engine.geodatabase.statement_mix import make_guid

NOW = "2026-01-01T00:00:00.000Z"


class Device:
    """One device and its service, driven by a random number generator."""

    def __init__(
        self,
        path: Path,
        table: LayerTable,
        rng: random.Random,
        policy: ConflictPolicy,
        service: ModelService,
    ) -> None:
        self.table = table
        self.rng = rng
        self.policy = policy
        self.service = service
        self.engine = create_file(path, table)
        self.app = connect(path, engine=False)
        self.generation = 0
        self.batch = 0
        self.number = 0
        self.is_ending = False
        self.saved: dict[tuple[str, str], str] = {}
        """The last value saved here, where it was a new one."""
        self.last: dict[tuple[str, str], Cell] = {}
        """The last value saved here, also where it was an old one again."""
        self.deleted: set[str] = set()
        self.touched_there: set[tuple[str, str]] = set()
        self.texts = [c.name for c in table.columns if c.is_editable and c.name in ("id", "select")]
        self.name, self.gid = quote(table.name), quote(table.global_id)

    def token(self) -> str:
        self.number += 1
        return f"token {self.number}"

    def place(self) -> bytes:
        return make_point(self.rng.uniform(1e3, 1e7), self.rng.uniform(1e3, 1e7))

    def close(self) -> None:
        self.app.close()
        self.engine.close()

    # --- what people do --------------------------------------------------------------------------

    def edit_here(self, near: Iterable[str] = ()) -> None:
        """One saved edit by an app, of one of the rows ``near`` if they are there; what it writes
        is remembered."""
        if self.is_ending:
            return
        rows = [gid for (gid,) in self.app.execute(f"SELECT {self.gid} FROM {self.name}")]
        action = self.rng.choice(("add", "update", "update", "update", "undo", "delete", "again"))
        column = self.rng.choice(self.texts)
        if action == "add" or not rows:
            gid, token = make_guid(self.rng), self.token()
            self.app.execute(
                f"INSERT INTO {self.name}({self.gid},{quote(column)},lazy) VALUES(?,?,?)",
                (gid, token, self.rng.random()),
            )
            self.saved[gid, column] = self.last[gid, column] = token
            return
        gid = self.rng.choice([row for row in near if row in rows] or rows)
        if action == "undo" and gid in self.service.rows:
            self.make_like_there(gid)
            return
        if action in ("update", "undo"):
            token = self.token()
            self.app.execute(
                f"UPDATE {self.name} SET {quote(column)}=?,lazy=lazy+? WHERE {self.gid}=?",
                (token, self.rng.choice((0, 0.25)), gid),
            )
            if self.rng.random() < 0.2:
                place = self.place()
                self.app.execute(f"UPDATE {self.name} SET geom=? WHERE {self.gid}=?", (place, gid))
            self.saved[gid, column] = self.last[gid, column] = token
            return
        row = self.app.execute(f"SELECT * FROM {self.name} WHERE {self.gid}=?", (gid,)).fetchone()
        self.app.execute(f"DELETE FROM {self.name} WHERE {self.gid}=?", (gid,))
        if action == "again":
            marks = ",".join("?" * len(row))
            self.app.execute(f"INSERT INTO {self.name} VALUES({marks})", row)
        else:
            self.deleted.add(gid)
            for name in self.texts:
                self.saved.pop((gid, name), None)
                self.last.pop((gid, name), None)

    def make_like_there(self, gid: str) -> None:
        """Save what the service has now, which the row may have had before."""
        row = dict(zip(self.table.row_names, self.service.rows[gid], strict=True))
        names = ["geom", "lazy", *self.texts]
        assignments = ",".join(f"{quote(name)}=?" for name in names)
        self.app.execute(
            f"UPDATE {self.name} SET {assignments} WHERE {self.gid}=?",
            (*(row[name] for name in names), gid),
        )
        for name in self.texts:
            self.saved.pop((gid, name), None)
            self.last[gid, name] = row[name]

    def edit_there(self) -> None:
        service, rows = self.service, sorted(self.service.rows)
        action = self.rng.choice(("add", "update", "update", "delete"))
        cells: dict[str, Cell]
        column = self.rng.choice(self.texts)
        if action == "add" or not rows:
            cells = {self.table.global_id: make_guid(self.rng), column: self.token()}
            service.add(tuple(cells.get(name) for name in self.table.row_names))
        elif action == "update":
            cells = {column: self.token(), "lazy": self.rng.random()}
            if self.rng.random() < 0.2:
                cells["geom"] = self.place()
            gid = self.rng.choice(rows)
            self.touched_there.add((gid, column))
            service.update(gid, cells)
        else:
            gid = self.rng.choice(rows)
            self.touched_there |= {(gid, name) for name in self.texts}
            service.delete(gid)

    # --- what the engine does --------------------------------------------------------------------

    def pull(self) -> None:
        """Download and merge, whole or in slices, now and then rolled back and done again."""
        rows, deletes = self.service.changes(self.generation)
        self.merge(rows, deletes)
        self.generation = self.service.generation

    def merge(self, rows: list[Row], deletes: list[str]) -> None:
        stage_rows(self.engine, self.table, rows)
        stage_deletes(self.engine, self.table, deletes)
        last = arrange(self.engine, self.table)
        first = 1
        while first <= last:
            step = self.rng.choice((last, 1, 2, 5))
            part = (first, min(first + step - 1, last))
            self.engine.execute("BEGIN IMMEDIATE")
            merge_table(self.engine, self.table, self.policy, now=NOW, part=part)
            if self.rng.random() < 0.2:
                self.engine.execute("ROLLBACK")
                continue
            self.engine.execute("COMMIT")
            first = part[1] + 1
            if self.rng.random() < 0.2:
                self.edit_here()
        clear_staging(self.engine, self.table)

    def push(self) -> None:
        """Send a batch; its answer may be lost on the way there or back."""
        if in_flight(self.engine):
            self.reconcile()
            return
        edits = pending_edits(self.engine, self.table, limit=self.rng.choice((1, 3, 100)))
        if not edits:
            return
        self.batch += 1
        self.transaction(lambda c: record_sent(c, self.batch, edits))
        on_their_way = [edit.global_id for edit in edits]
        if self.rng.random() < 0.5:
            self.edit_here(on_their_way)
        if self.rng.random() < 0.3:
            self.tidy()
        fate = self.rng.choice(("answered", "answered", "lost there", "lost back"))
        if fate == "lost there":
            return
        if self.rng.random() < 0.3:
            self.edit_there()
            self.pull()
        results = self.service.apply(sent_edits(self.engine, self.batch, [self.table]))
        if self.rng.random() < 0.5:
            self.edit_here(on_their_way)
        if fate == "lost back":
            return
        if self.rng.random() < 0.3:
            self.pull()
        self.settle(edits, {gid for gid, done in results.items() if done})

    def settle(self, edits: list[Edit], confirmed: set[str]) -> None:
        self.engine.execute("BEGIN IMMEDIATE")
        acknowledge(self.engine, self.batch, self.table, sorted(confirmed), now=NOW)
        release(self.engine, self.batch)
        for edit in edits:
            if edit.operation is EditOperation.UPDATE and edit.global_id not in self.service.rows:
                self.lost_there(edit.global_id)
        self.engine.execute("COMMIT")
        if not self.service.echoes:
            present = [self.service.rows[g] for g in confirmed if g in self.service.rows]
            self.merge(present, [])

    def lost_there(self, gid: str) -> None:
        """The service says that the row is missing."""
        if snapshot(self.engine, self.table).get(gid) is not None:
            store_deleted(self.engine, self.table, gid, policy=self.policy, now=NOW)

    def reconcile(self) -> None:
        """The answer was lost: download, then read back each row of the batch."""
        edits = sent_edits(self.engine, self.batch, [self.table])
        self.pull()
        there = [self.service.rows.get(edit.global_id) for edit in edits]
        rows = [row for row in there if row is not None]
        self.transaction(lambda c: reconcile(c, self.batch, self.table, rows, self.policy, now=NOW))

    def transaction(self, function: Callable[[sqlite3.Connection], object]) -> None:
        self.engine.execute("BEGIN IMMEDIATE")
        function(self.engine)
        self.engine.execute("COMMIT")

    def tidy(self) -> None:
        self.transaction(lambda c: drop_settled(c, self.table, now=NOW))

    # --- the end ---------------------------------------------------------------------------------

    def finish(self) -> None:
        """Sync until there is nothing left to do."""
        self.is_ending = True
        for _ in range(60):
            self.pull()
            for conflict in list_conflicts(self.engine):
                restorable = conflict.kind is ConflictKind.DELETED_THERE
                if conflict.is_held or restorable:
                    side = self.rng.choice((Side.MINE, Side.THEIRS))
                    self.engine.execute("BEGIN IMMEDIATE")
                    resolve(self.engine, conflict.id, [self.table], side, now=NOW)
                    self.engine.execute("COMMIT")
            pending = has_pending(self.engine, self.table, everything=True)
            if not pending and not in_flight(self.engine):
                return
            self.push()
        raise AssertionError(f"still pending: {pending_edits(self.engine, self.table)}")

    def check(self) -> None:
        """Both sides alike, nothing in the log, nothing doubled, nothing lost."""
        here = snapshot(self.engine, self.table)
        assert here.keys() == self.service.rows.keys()
        for gid, row in self.service.rows.items():
            assert here[gid] == row
        self.tidy()
        assert not in_flight(self.engine)
        assert self.engine.execute("SELECT count(*) FROM fieldsync_change").fetchone() == (0,)
        assert self.engine.execute(
            f"SELECT count(*) FROM {quote(self.table.base_table)}"
        ).fetchone() == (0,)
        kept = json.dumps([c.mine for c in list_conflicts(self.engine, resolved=True)])
        for (gid, column), token in self.saved.items():
            known = token in self.service.history or f'"{token}"' in kept
            assert known, f"{token} of {gid} {column} is lost"
        changed_there = {gid for gid, _ in self.touched_there}
        assert not self.deleted & here.keys() - changed_there, "a deleted row came back"
        at = {name: n for n, name in enumerate(self.table.row_names)}
        for (gid, column), value in self.last.items():
            if gid in here and (gid, column) not in self.touched_there:
                assert here[gid][at[column]] == value, f"{value!r} of {gid} {column} was undone"


def live(path: Path, seed: int, policy: ConflictPolicy, *, lazy: bool, steps: int) -> int:
    """A random life of a device; returns how many edits were saved."""
    rng = random.Random(f"{seed} {policy.value} {lazy}")
    table = make_table(6, lazy=lazy, name="trees")
    service = ModelService(table, snaps=rng.random() < 0.5, echoes=rng.random() < 0.5)
    device = Device(path, table, rng, policy, service)
    actions = (
        device.edit_here,
        device.edit_here,
        device.edit_there,
        device.edit_there,
        device.pull,
        device.push,
        device.push,
        device.tidy,
    )
    try:
        for _ in range(steps):
            rng.choice(actions)()
        device.finish()
        device.check()
    except (AssertionError, sqlite3.Error, LookupError, ValueError) as error:
        raise AssertionError(f"seed {seed}, {policy.value}, lazy {lazy}: {error}") from error
    finally:
        device.close()
    return device.number


@pytest.mark.parametrize("lazy", [False, True], ids=["whole", "lazy"])
@pytest.mark.parametrize("policy", ConflictPolicy)
def test_random_life_when_it_ends_then_both_sides_agree_and_nothing_is_lost(
    tmp_path: Path, policy: ConflictPolicy, lazy: bool
) -> None:
    saved = 0
    for seed in range(15):
        saved += live(tmp_path / f"{seed}.gpkg", seed, policy, lazy=lazy, steps=60)

    print(f"{saved} values saved, seeds 0 to 14")
    assert saved > 400


def _base_is_the_row_now(
    logged: LoggedTable, sent: SentEdit, values: Row, base: Row | None, present: Row | None
) -> Row:
    return present or values


def _base_is_all_that_was_sent(
    logged: LoggedTable, sent: SentEdit, values: Row, base: Row | None, present: Row | None
) -> Row:
    return values


def _no_record(*_: object) -> int:
    return 0


def _no_store(connection: sqlite3.Connection, table: LayerTable, gid: str, **_: object) -> int:
    logged = LoggedTable(connection, table)
    entry = logged.entry(gid)
    logged.delete(gid)
    if entry is not None:
        logged.drop(entry)
    return 0


@pytest.mark.parametrize(
    ("target", "name", "spoiled", "first"),
    [
        (acknowledge_module, "_confirmed", _base_is_the_row_now, 0),
        (acknowledge_module, "_confirmed", _base_is_all_that_was_sent, 1),
        (RowMerge, "_record_overtaken", _no_record, 2),
        (merge_row, "store_deleted", _no_store, 0),
        (LoggedTable, "is_in_flight", lambda self, gid: False, 32),
    ],
    ids=["base-is-row", "base-is-whole-row-sent", "no-overtaken", "no-store", "in-flight-dropped"],
)
def test_random_life_when_a_part_is_taken_out_then_it_is_noticed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: object,
    name: str,
    spoiled: object,
    first: int,
) -> None:
    monkeypatch.setattr(target, name, spoiled)

    for seed in (*range(first, 40), *range(first)):  # first: where it was noticed last
        for policy in ConflictPolicy:
            path = tmp_path / f"{seed}{policy.value}.gpkg"
            try:
                live(path, seed, policy, lazy=bool(seed % 2), steps=60)
            except AssertionError:
                return
    pytest.fail("120 lives did not notice")


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [False, True], ids=["whole", "lazy"])
@pytest.mark.parametrize("policy", ConflictPolicy)
def test_random_life_when_many_are_lived_then_both_sides_agree_and_nothing_is_lost(
    tmp_path: Path, policy: ConflictPolicy, lazy: bool
) -> None:
    for seed in range(10_000, 10_040):
        live(tmp_path / "a.gpkg", seed, policy, lazy=lazy, steps=120)
        for file in tmp_path.iterdir():
            file.unlink()
