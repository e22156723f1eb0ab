"""The triggers note every edit, whatever the statement."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from engine.geodatabase.change_log import has_pending, pending_edits
from engine.geodatabase.layer_table import LayerTable
from engine.model import normalise_guid
from tests.engine.geodatabase.log_oracle import (
    Found,
    Mutation,
    connect,
    make_table,
    run_mix,
    snapshot,
)
from tests.engine.geodatabase.tree_rows import (
    G1,
    G2,
    G3,
)


@pytest.mark.parametrize("lazy", [False, True], ids=["whole", "lazy"])
@pytest.mark.parametrize(("width", "seeds", "transactions"), [(13, 20, 60), (220, 5, 25)])
def test_random_statements_when_compared_with_snapshots_then_log_agrees(
    tmp_path: Path, width: int, seeds: int, transactions: int, lazy: bool
) -> None:
    statements = 0
    for seed in range(seeds):
        path = tmp_path / f"{seed}.gpkg"
        statements += run_mix(path, make_table(width, lazy=lazy), seed, transactions=transactions)

    print(f"{statements} statements, seeds 0 to {seeds - 1}, {width} columns, 0 differences")
    assert statements > seeds * transactions * 3


def test_random_statements_when_drawn_again_then_they_are_the_same(tmp_path: Path) -> None:
    """Otherwise the seed of a difference tells nothing."""
    table, ends = make_table(), []
    for name in ("a", "b"):
        run_mix(tmp_path / name, table, 3, transactions=20)
        with closing(connect(tmp_path / name)) as engine:
            ends.append(snapshot(engine, table))

    assert ends[0] == ends[1]


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [False, True], ids=["whole", "lazy"])
@pytest.mark.parametrize(("width", "seeds", "transactions"), [(13, 60, 60), (220, 16, 40)])
def test_random_statements_when_run_for_long_then_log_agrees(
    tmp_path: Path, width: int, seeds: int, transactions: int, lazy: bool
) -> None:
    statements = 0
    for seed in range(10_000, 10_000 + seeds):
        path = tmp_path / "a.gpkg"
        statements += run_mix(path, make_table(width, lazy=lazy), seed, transactions=transactions)
        for file in tmp_path.iterdir():
            file.unlink()

    print(f"{statements} statements, {seeds} seeds from 10000, {width} columns, 0 differences")


def without(suffix: str) -> Mutation:
    return lambda sql: {name: text for name, text in sql.items() if not name.endswith(suffix)}


def replacing(old: str, new: str) -> Mutation:
    def mutate(sql: Mapping[str, str]) -> Mapping[str, str]:
        assert any(old in text for text in sql.values()), old
        return {name: text.replace(old, new) for name, text in sql.items()}

    return mutate


def no_upsert(sql: Mapping[str, str]) -> Mapping[str, str]:
    upsert = " ON CONFLICT(layer,gid) DO UPDATE SET seq=excluded.seq;"
    return {
        name: text.replace(upsert, ";").replace(
            "INSERT INTO fieldsync_change", "INSERT OR IGNORE INTO fieldsync_change"
        )
        for name, text in sql.items()
    }


def lazy_too_soon(sql: Mapping[str, str]) -> Mapping[str, str]:
    """Keeps the geometry before the entry is there."""
    name = next(n for n in sql if n.endswith("_au"))
    text = sql[name]
    start = text.index('UPDATE "fieldsync_base_6" SET lazy=0')
    keep = text[start : text.index(";", start) + 1]
    text = text.replace(keep, "", 1)
    return {**sql, name: text.replace("BEGIN ", f"BEGIN {keep}", 1)}


@pytest.mark.parametrize(
    ("mutation", "lazy"),
    [
        (without("_bi"), False),
        (without("_bu"), False),
        (without("_ad"), False),
        (no_upsert, False),
        (replacing("THEN OLD.", "THEN NEW."), False),
        (replacing("BEFORE UPDATE ON", 'BEFORE UPDATE OF "fid","GlobalID" ON'), False),
        (replacing("s.seq-(x.", "s.seq-0*(x."), False),
        (lazy_too_soon, True),
        (replacing("WHERE lazy=1 AND id IN", "WHERE 0 AND id IN"), True),
    ],
    ids=[
        "no-before-insert",
        "no-before-update",
        "no-after-delete",
        "insert-or-ignore",
        "no-restored-globalid",
        "before-update-of",
        "one-number-for-two-victims",
        "lazy-before-entry",
        "lazy-victims-not-kept",
    ],
)
def test_random_statements_when_a_part_is_taken_out_then_the_difference_is_found(
    tmp_path: Path, mutation: Mutation, lazy: bool
) -> None:
    table = make_table(13, lazy=lazy)

    for seed in range(60):
        try:
            run_mix(tmp_path / f"{seed}.gpkg", table, seed, transactions=40, mutate=mutation)
        except (Found, sqlite3.Error):
            return
    pytest.fail("60 seeds did not notice")


@pytest.mark.parametrize("given", [None, "", G3[1:-1].lower(), G3.lower(), f" {G3} "])
def test_globalid_when_missing_or_spelled_otherwise_then_it_is_canonical(
    engine: sqlite3.Connection, table: LayerTable, given: str | None
) -> None:
    engine.execute("INSERT INTO trees(GlobalID) VALUES(?)", (given,))

    (gid,) = engine.execute("SELECT GlobalID FROM trees WHERE fid=3").fetchone()
    assert gid == normalise_guid(gid)
    assert [e.global_id for e in pending_edits(engine, table)] == [gid]
    if given:
        assert gid == normalise_guid(given)


@pytest.mark.parametrize("clause", ["", "OR IGNORE", "OR REPLACE", "OR FAIL", "OR ABORT"])
@pytest.mark.parametrize("given", ["tree 7", 7, b"\0", f"x{G1}", G1.lower(), G1[1:-1]])
def test_globalid_when_no_guid_or_another_spelling_of_a_taken_one_then_it_is_refused(
    engine: sqlite3.Connection, table: LayerTable, clause: str, given: object
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="must be a GUID that no other row has"):
        engine.execute(f"INSERT {clause} INTO trees(GlobalID) VALUES(?)", (given,))

    assert not has_pending(engine, table)
    assert set(snapshot(engine, table)) == {G1, G2}


def test_globalid_when_minted_many_times_then_each_is_a_version_4_guid(
    engine: sqlite3.Connection, table: LayerTable
) -> None:
    engine.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)"
        " INSERT INTO trees(OBJECTID) SELECT i FROM n"
    )

    gids = [gid for (gid,) in engine.execute("SELECT GlobalID FROM trees WHERE fid>2")]
    assert len(set(gids)) == 2000
    assert all(normalise_guid(g) == g and g[15] == "4" and g[20] in "89AB" for g in gids)
