"""Another process writes without end while the engine merges, rolls back and is killed."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.geodatabase.change_log import pending_edits
from engine.geodatabase.conflicts import list_conflicts
from engine.geodatabase.difference import Row
from engine.geodatabase.merge import clear_staging, merge_table, stage_deletes, stage_rows
from engine.model import ConflictPolicy
from tests.engine.geodatabase.log_oracle import (
    Snapshot,
    connect,
    create_file,
    insert_own,
    logged,
    make_table,
    net,
    snapshot,
)
from tests.engine.geodatabase.statement_mix import make_guid

NOW = "2026-01-01T00:00:00.000Z"
MERGES = 100


def start_writer(folder: Path, seed: int) -> subprocess.Popen[bytes]:
    paths = [folder / "a.gpkg", folder / f"report{seed}", folder / "stop"]
    arguments = [*map(str, paths), str(seed)]
    module = "tests.engine.geodatabase.foreign_writer"
    return subprocess.Popen([sys.executable, "-m", module, *arguments])


def change_there(rng: random.Random, service: Snapshot) -> tuple[dict[str, Row], set[str]]:
    """Some edits on the service, of columns that the other process never writes."""
    rows, deletes = {}, set()
    for gid in rng.sample(sorted(service), 30):
        if rng.random() < 0.1:
            deletes.add(gid)
            continue
        row = list(service[gid])
        row[1], row[3] = rng.randbytes(12), f"there {rng.random()}"
        rows[gid] = tuple(row)
    for _ in range(4):
        gid = make_guid(rng)
        rows[gid] = (gid, b"g", rng.randrange(10**6), "new there", None, None, None, None)
    return rows, deletes


@pytest.mark.parametrize("lazy", [False, True], ids=["whole", "lazy"])
def test_other_process_when_writing_through_100_merges_then_every_row_is_logged(
    tmp_path: Path, lazy: bool
) -> None:
    rng = random.Random(f"concurrent {lazy}")
    table = make_table(6, name="trees", lazy=lazy)
    engine = create_file(tmp_path / "a.gpkg", table)
    first: list[Row] = [(make_guid(rng), b"g", n, "there", n, 0.5, None, None) for n in range(300)]
    insert_own(engine, table, first)
    service: Snapshot = {str(row[0]): row for row in snapshot(engine, table).values()}
    writers = [start_writer(tmp_path, seed) for seed in (1, 2)]
    kept = rolled_back = 0
    try:
        reports = [tmp_path / "report1", tmp_path / "report2"]
        while kept < MERGES:
            wait_for_edits(reports)
            rows, deletes = change_there(rng, service)
            clear_staging(engine, table)
            stage_rows(engine, table, rows.values())
            stage_deletes(engine, table, deletes)
            engine.execute("BEGIN IMMEDIATE")
            merge_table(engine, table, ConflictPolicy.LAST_SYNCED, now=NOW)
            if rng.random() < 0.15:
                engine.execute("ROLLBACK")
                rolled_back += 1
                continue
            service = {g: r for g, r in (service | rows).items() if g not in deletes}
            check_log(engine, service, lazy=lazy)
            engine.execute("COMMIT")
            kept += 1
    finally:
        (tmp_path / "stop").touch()
        codes = [writer.wait(60) for writer in writers]
    assert codes == [0, 0]
    check_log(engine, service, lazy=lazy)
    saved = check_nothing_lost(tmp_path, engine, lazy=lazy)
    pending = len(logged(engine, table))
    engine.close()
    print(
        f"{kept} merges kept, {rolled_back} rolled back, {saved} foreign transactions,"
        f" {pending} net edits at the end, 0 differences"
    )


def check_log(engine: sqlite3.Connection, service: Snapshot, *, lazy: bool) -> None:
    """What is pending is the difference between the service and the file, type by type."""
    table = make_table(6, name="trees", lazy=lazy)
    assert logged(engine, table) == net(table, service, snapshot(engine, table))
    # Of what only the service changes, the file has the service's value.
    for gid, row in snapshot(engine, table).items():
        if gid in service:
            assert row[1:4] == service[gid][1:4]


def check_nothing_lost(folder: Path, engine: sqlite3.Connection, *, lazy: bool) -> int:
    """The last value that was saved for a row is in the row, or in the conflict store."""
    table = make_table(6, name="trees", lazy=lazy)
    lines = [
        json.loads(line)
        for path in folder.glob("report*")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    values: dict[str, set[int | None]] = {}
    for line in lines:
        for gid, value in line.items():
            values.setdefault(gid, set()).add(value)
    here = snapshot(engine, table)
    stored = {c.global_id: c.mine for c in list_conflicts(engine, resolved=True)}
    for gid, saved in values.items():
        if gid in here:
            # Two processes write: the last value of one of them.
            assert here[gid][4] in saved, gid
        else:
            assert None in saved or (stored.get(gid) or {}).get("key") in saved, gid
    return len(lines)


def wait_for_edits(reports: list[Path]) -> None:
    """Until each of the other processes has committed once more."""
    sizes = [_size(path) for path in reports]
    deadline = time.monotonic() + 20
    while any(_size(path) == size for path, size in zip(reports, sizes, strict=True)):
        assert time.monotonic() < deadline, "the other process does not write"
        time.sleep(0.001)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_merge_when_killed_inside_then_the_flag_is_off_and_foreign_edits_are_logged(
    tmp_path: Path,
) -> None:
    rng = random.Random("killed")
    table = make_table(6, name="trees")
    path = tmp_path / "a.gpkg"
    engine = create_file(path, table)
    insert_own(
        engine,
        table,
        [(make_guid(rng), b"g", n, "there", n, 0.5, None, None) for n in range(2000)],
    )
    engine.close()
    killed = pending = 0
    for round_ in range(12):
        value = f"merge {round_}"
        steps = rng.randrange(100, 700_000)
        command = [sys.executable, "-m", "tests.engine.geodatabase.interrupted_merge"]
        done = subprocess.run([*command, str(path), value, str(steps)], check=False, timeout=60)
        assert done.returncode in (0, -signal.SIGKILL)
        killed += done.returncode != 0
        # A merge that went through had the earlier edits among the service's values.
        pending = 1 if done.returncode == 0 else pending + 1

        foreign = connect(path, engine=False)
        names = {v for (v,) in foreign.execute("SELECT DISTINCT id FROM trees")}
        assert len(names) == 1, "half a merge is visible"
        assert (value in names) == (done.returncode == 0)
        assert foreign.execute("SELECT applying FROM fieldsync_state").fetchall() == [(None,)]
        foreign.execute("UPDATE trees SET key=? WHERE fid=?", (10**9 + round_, round_ + 1))
        assert foreign.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        foreign.close()
        engine = connect(path)
        edits = pending_edits(engine, table)
        engine.close()
        assert [e.columns for e in edits] == [("key",)] * pending
    print(f"{killed} of 12 merges killed")
    assert 4 <= killed < 12
