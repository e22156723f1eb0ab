"""Whatever other programs write, a map holds what its update mode permits, and nothing else."""

import random
import sqlite3
from pathlib import Path

import pytest

from engine.geodatabase.change_log import pending_edits
from engine.geodatabase.permissions import Permissions
from engine.geodatabase.sql import quote
from engine.model import EditOperation
from tests.engine.geodatabase.log_oracle import (
    connect,
    create_file,
    first_rows,
    insert_own,
    logged,
    make_table,
    net,
    snapshot,
)
from tests.engine.geodatabase.statement_mix import Mix, draw_from

ADDS_ONLY = Permissions(can_update=False, can_delete=False)
NOTHING = Permissions(can_create=False, can_update=False, can_delete=False)


@pytest.mark.parametrize("permissions", [ADDS_ONLY, NOTHING], ids=["adds", "nothing"])
def test_random_statements_when_not_all_is_permitted_then_only_that_is_pending(
    tmp_path: Path, permissions: Permissions
) -> None:
    """The rows that came with the map stay as they are, and edits are adds, if those are permitted;
    what is refused leaves nothing of itself. The log agrees with snapshots all the while."""
    adds = 0
    for seed in range(6):
        rng, table = random.Random(seed), make_table(13, lazy=bool(seed % 2))
        engine = create_file(tmp_path / f"{seed}.gpkg", table, permissions=permissions)
        insert_own(engine, table, first_rows(rng, table, 12))
        foreign = connect(tmp_path / f"{seed}.gpkg", engine=False)
        draw_from(foreign, rng)
        before = snapshot(engine, table)
        for _ in range(40):
            foreign.execute(f"PRAGMA recursive_triggers={rng.choice(('ON', 'OFF'))}")
            mix = Mix(rng, table, foreign)
            mix.gone = list(before)[:3]
            foreign.execute("BEGIN")
            for _ in range(rng.randrange(1, 6)):
                mix.next()
                if not foreign.in_transaction:
                    foreign.execute("BEGIN")
            foreign.execute(rng.choice(("COMMIT", "COMMIT", "ROLLBACK")))

            difference = net(table, before, snapshot(engine, table))
            kinds = {operation for operation, *_ in difference.values()}
            assert kinds <= ({"add"} if permissions.can_create else set()), (seed, difference)
            assert logged(engine, table) == difference, seed
        edits = pending_edits(engine, table)
        assert all(edit.operation is EditOperation.ADD for edit in edits)
        adds += len(edits)
        foreign.close()
        engine.close()
    print(f"seeds 0 to 5, {adds} adds")
    assert bool(adds) == permissions.can_create


@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_new_row_does_not_take_the_place_of_one_that_came_with_the_map(
    tmp_path: Path, recursive: str
) -> None:
    rng, table = random.Random(1), make_table(13, lazy=False)
    engine = create_file(tmp_path / "a.gpkg", table, permissions=ADDS_ONLY)
    insert_own(engine, table, first_rows(rng, table, 3))
    before = snapshot(engine, table)
    foreign = connect(tmp_path / "a.gpkg", engine=False)
    foreign.execute(f"PRAGMA recursive_triggers={recursive}")
    name, gid = quote(table.name), quote(table.global_id)
    foreign.execute(f"INSERT INTO {name} DEFAULT VALUES")
    (fid,) = foreign.execute(f"SELECT max(fid) FROM {name}").fetchone()
    taken = next(iter(before))

    for spelling in (taken, f" {taken.lower()} ", taken.strip("{}")):
        statement = f"UPDATE OR REPLACE {name} SET {gid}=? WHERE fid=?"
        with pytest.raises(sqlite3.IntegrityError, match=r"allows no|no other row has"):
            foreign.execute(statement, (spelling, fid))

    kinds = [kind for kind, *_ in net(table, before, snapshot(engine, table)).values()]
    assert kinds == ["add"]
    foreign.close()
    engine.close()
