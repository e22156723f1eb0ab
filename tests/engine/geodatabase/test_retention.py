"""What was decided is kept for its time, whatever the clock says, and within bounds."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.clock import timestamp
from engine.errors import EditRefusedError
from engine.geodatabase.change_log import has_pending
from engine.geodatabase.conflicts import ConflictKind, Side, list_conflicts, record, resolve
from engine.geodatabase.retention import prune_resolved
from engine.model import ConflictPolicy
from tests.engine.geodatabase.log_oracle import attachments_of, create_file, insert_own
from tests.engine.geodatabase.tree_rows import G1, G2, NOW, TREES, merge, tree, two_rows

PHOTOS = attachments_of(TREES)
TODAY = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = create_file(tmp_path / "b.gpkg", TREES, PHOTOS)
    connection.execute(
        "CREATE TABLE gpkg_extensions(table_name TEXT, column_name TEXT, extension_name TEXT,"
        " definition TEXT, scope TEXT)"
    )
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def keep(
    connection: sqlite3.Connection,
    gid: str,
    when: datetime = TODAY,
    *,
    size: int = 10,
    is_open: bool = False,
) -> int:
    return record(
        connection,
        TREES,
        gid,
        kind=ConflictKind.UPDATED,
        policy=ConflictPolicy.LAST_SYNCED,
        base=None,
        mine=tree(TREES, gid, id="x" * size),
        theirs=None,
        now=timestamp(when),
        resolution=None if is_open else "mine",
    )


def kept(connection: sqlite3.Connection) -> list[str]:
    return [c.global_id for c in list_conflicts(connection, resolved=True)]


def test_prune_when_records_are_decided_then_old_and_surplus_ones_go_and_open_ones_stay(
    engine: sqlite3.Connection,
) -> None:
    keep(engine, "old open", size=5000, is_open=True)
    keep(engine, "old")
    prune_resolved(engine, TODAY)
    keep(engine, "large", size=5000)
    keep(engine, "small")
    keep(engine, "new", size=2000)

    removed = prune_resolved(engine, TODAY + timedelta(days=91), size_bytes=4000)
    again = prune_resolved(engine, TODAY + timedelta(days=91), size_bytes=4000)

    assert (removed, again) == (2, 0)
    assert kept(engine) == ["old open", "small", "new"]


@pytest.mark.parametrize("year", [1970, 2026, 2099])
def test_prune_when_a_record_was_decided_by_any_clock_then_it_stays_its_days(
    engine: sqlite3.Connection, year: int
) -> None:
    keep(engine, "one", TODAY.replace(year=year))

    removed = [prune_resolved(engine, TODAY + timedelta(days=days)) for days in (0, 89, 91)]

    assert removed == [0, 0, 1]


def test_prune_when_nobody_knows_the_time_then_nothing_is_old(engine: sqlite3.Connection) -> None:
    keep(engine, "one")
    prune_resolved(engine, TODAY)

    assert prune_resolved(engine, None) == 0
    assert prune_resolved(engine, TODAY + timedelta(days=91)) == 1


def test_prune_when_the_clock_was_ahead_then_nothing_is_kept_for_ever(
    engine: sqlite3.Connection,
) -> None:
    keep(engine, "one")
    prune_resolved(engine, TODAY.replace(year=2099))

    removed = [prune_resolved(engine, TODAY + timedelta(days=days)) for days in (0, 89, 91)]

    assert removed == [0, 0, 1]


def test_prune_when_a_record_was_decided_again_then_its_days_begin_anew(
    engine: sqlite3.Connection,
) -> None:
    keep(engine, "one")
    prune_resolved(engine, TODAY)
    again = timestamp(TODAY + timedelta(days=80))
    engine.execute("UPDATE fieldsync_conflict SET resolved_at=?", (again,))

    removed = [prune_resolved(engine, TODAY + timedelta(days=days)) for days in (80, 91, 171)]

    assert removed == [0, 0, 1]


def test_prune_when_the_newest_is_too_large_then_it_stays(engine: sqlite3.Connection) -> None:
    keep(engine, "older", size=10)
    keep(engine, "large", size=5000)

    prune_resolved(engine, TODAY, size_bytes=4000)

    assert kept(engine) == ["older", "large"]


def test_prune_when_a_record_goes_then_its_parts_go_with_it(engine: sqlite3.Connection) -> None:
    engine.execute("COMMIT")
    insert_own(engine, TREES, two_rows(TREES))
    engine.execute("UPDATE trees SET id='mine'")
    merge(engine, TREES, deletes=[G1, G2])
    first, _ = list_conflicts(engine)
    engine.execute("BEGIN IMMEDIATE")
    resolve(engine, first.id, [TREES], Side.THEIRS, now=NOW)
    prune_resolved(engine, TODAY)

    removed = prune_resolved(engine, TODAY + timedelta(days=91))

    assert removed == 1
    assert engine.execute("SELECT gid FROM fieldsync_conflict_part").fetchall() == [(G2,)]


def lost_photo(connection: sqlite3.Connection, gid: str, data: bytes) -> int:
    """The data of an attachment that gave way to the service's, as a merge keeps it."""
    row = (gid, G1, f"{gid}.jpg", len(data))
    conflict = record(
        connection,
        PHOTOS,
        gid,
        kind=ConflictKind.UPDATED,
        policy=ConflictPolicy.REMOTE_WINS,
        base=row,
        mine=row,
        theirs=row,
        now=timestamp(TODAY),
        resolution="theirs",
    )
    facts = {"GLOBALID": gid, "ATT_NAME": f"{gid}.jpg", "DATA_SIZE": len(data), "": "data"}
    connection.execute(
        "INSERT INTO fieldsync_conflict_part(conflict,layer,gid,row,data) VALUES(?,?,?,?,?)",
        (conflict, PHOTOS.number, gid, json.dumps(facts), data),
    )
    return conflict


def test_prune_when_data_takes_too_much_then_only_the_oldest_goes_and_is_accounted_for(
    engine: sqlite3.Connection,
) -> None:
    for gid, size in (("first", 3000), ("second", 1500), ("third", 2000), ("newest", 5000)):
        lost_photo(engine, gid, gid.encode() + b"x" * size)

    removed = prune_resolved(engine, TODAY, size_bytes=4000)

    assert removed == 0
    assert kept(engine) == ["first", "second", "third", "newest"]
    stored = engine.execute("SELECT gid,row,length(data) FROM fieldsync_conflict_part ORDER BY id")
    parts = {gid: (json.loads(row), size) for gid, row, size in stored}
    assert [size for _, size in parts.values()] == [None, 1506, 2005, 5006]
    facts = parts["first"][0]
    assert (facts["ATT_NAME"], facts["DATA_SIZE"]) == ("first.jpg", 3005)
    assert facts["sha256"] == hashlib.sha256(b"first" + b"x" * 3000).hexdigest()


def test_resolve_when_the_data_went_then_that_is_said_and_nothing_is_sent_empty(
    engine: sqlite3.Connection,
) -> None:
    engine.execute("COMMIT")
    insert_own(engine, TREES, two_rows(TREES))
    insert_own(engine, PHOTOS, [("first", G1, "first.jpg", 3)])
    engine.execute("BEGIN IMMEDIATE")
    conflict = lost_photo(engine, "first", b"mine" * 1000)
    lost_photo(engine, "newest", b"x")
    prune_resolved(engine, TODAY, size_bytes=2000)

    facts = r"first.jpg, 4000 bytes, SHA-256 [0-9a-f]{64}, is not kept"
    with pytest.raises(EditRefusedError, match=facts):
        resolve(engine, conflict, [TREES, PHOTOS], Side.MINE, now=NOW)

    assert not has_pending(engine, PHOTOS)
