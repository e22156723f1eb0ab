"""A geodatabase is made whole, opened with care, and says what it is."""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from engine.errors import (
    BadParameterError,
    ChangeLogBrokenError,
    EditRefusedError,
    FeatureNotFoundError,
    GeodatabaseError,
    GeodatabaseVersionError,
    NotAGeodatabaseError,
    TransactionOpenError,
)
from engine.geodatabase import triggers
from engine.geodatabase.arming import arm
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.replica import Replica
from engine.model import SyncModel
from tests.engine.geodatabase import gdal
from tests.engine.geodatabase.made import ELM, OAK, made
from tests.engine.geodatabase.schemas import URL, field, layer, service, trees

FIXTURES = Path(__file__).parent / "fixtures"


async def test_a_geodatabase_says_what_it_is(geodatabase: Geodatabase, tmp_path: Path) -> None:
    assert geodatabase.path == tmp_path / "trees.gpkg"
    assert geodatabase.sync_id == "{R}"
    assert geodatabase.service_url == URL
    assert geodatabase.sync_model is SyncModel.PER_REPLICA
    assert [t.name for t in geodatabase.feature_tables] == ["Trees", "Inspections"]
    assert geodatabase.table("Trees") is geodatabase.table(0)
    assert geodatabase.table(0).has_attachments
    assert not geodatabase.table(1).has_attachments
    assert geodatabase.table(0).permissions.can_delete
    assert geodatabase.table(1).table_name == "Inspections"
    assert geodatabase.table(1).schema.geometry_type is None
    with pytest.raises(FeatureNotFoundError, match=r"no layer 'Bushes'; it has 0 \(Trees\), 1"):
        geodatabase.table("Bushes")
    assert not await geodatabase.has_local_edits()
    assert await geodatabase.conflicts() == []
    assert await geodatabase.quarantine() == []


async def test_it_is_the_same_when_opened_again(geodatabase: Geodatabase) -> None:
    await geodatabase.table(0).update_feature(ELM, {"height": 3})
    await geodatabase.close()

    async with await Geodatabase.open(geodatabase.path) as again:
        assert again.replica == geodatabase.replica
        assert again.layers == geodatabase.layers
        assert again.relations == geodatabase.relations
        assert [t.error for t in again.feature_tables] == [None, None]
        assert await again.has_local_edits()


async def test_nothing_is_made_over_another_file(tmp_path: Path) -> None:
    path = tmp_path / "x.gpkg"
    path.write_text("mine")

    with pytest.raises(GeodatabaseError, match="already exists"):
        await Geodatabase.create(path, service(), [trees()], Replica())
    assert path.read_text() == "mine"


async def test_a_geodatabase_that_cannot_be_made_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadParameterError, match="no GlobalID field"):
        await Geodatabase.create(
            tmp_path / "x.gpkg", service(), [layer(globalIdField="Nothing")], Replica()
        )

    assert list(tmp_path.iterdir()) == []


async def test_fields_without_a_form_in_json_are_left_out(tmp_path: Path) -> None:
    fields = [field("scan", "esriFieldTypeBlob"), field("note", "esriFieldTypeString")]
    async with await made(tmp_path / "x.gpkg", [layer(fields=fields)]) as geodatabase:
        table = geodatabase.table(0)

        assert table.omitted_fields == ("scan",)
        assert set((await table.add_feature()).attributes) == {"OBJECTID", "GlobalID", "note"}
        with pytest.raises(EditRefusedError, match="has no field 'scan'"):
            await table.add_feature({"scan": b""})


async def test_cancelling_at_any_turn_leaves_the_file_free(geodatabase: Geodatabase) -> None:
    await geodatabase.close()

    async def life() -> None:
        async with await Geodatabase.open(geodatabase.path) as again:
            async with again.transaction():
                await again.table(0).update_feature(OAK, {"height": 1})
                await again.table(0).add_attachment(OAK, "a", None, b"x")
            await again.table(0).delete_feature(ELM)

    other = sqlite3.connect(geodatabase.path, isolation_level=None, timeout=0)
    steps, done = 0, False
    while not done:
        task = asyncio.create_task(life())
        for _ in range(steps):
            await asyncio.sleep(0)
        done = task.done()
        task.cancel()
        with suppress(asyncio.CancelledError, FeatureNotFoundError):
            await task
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        # What was done in the transaction is there together or not at all.
        (height,) = other.execute("SELECT height FROM Trees WHERE fid = 1").fetchone()
        (photos,) = other.execute("SELECT count(*) FROM Trees__ATTACH").fetchone()
        assert (height == 1) == (photos > 0)
        steps += 7
    other.close()


async def test_a_database_that_is_no_geopackage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gpkg"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (a)")
    other.close()

    with pytest.raises(NotAGeodatabaseError, match=r"x\.gpkg: the file is an SQLite database, but"):
        await Geodatabase.open(path)


async def test_a_geopackage_of_another_program_is_refused(tmp_path: Path) -> None:
    gdal.require()
    path, source = tmp_path / "x.gpkg", tmp_path / "x.csv"
    source.write_text("a,b\n1,2\n")
    gdal.run("ogr2ogr", "-f", "GPKG", path, source)

    with pytest.raises(NotAGeodatabaseError, match="not one that fieldsync made"):
        await Geodatabase.open(path)


async def test_a_file_of_a_newer_fieldsync_is_refused(geodatabase: Geodatabase) -> None:
    await geodatabase.close()
    with sqlite3.connect(geodatabase.path) as other:
        other.execute("UPDATE fieldsync_meta SET value = '2' WHERE name = 'schema_version'")
    other.close()

    with pytest.raises(GeodatabaseVersionError, match="schema version 2"):
        await Geodatabase.open(geodatabase.path)


async def test_a_table_that_was_never_loaded_refuses_edits(tmp_path: Path) -> None:
    async with await Geodatabase.create(
        tmp_path / "x.gpkg", service(), [layer()], Replica()
    ) as geodatabase:
        with pytest.raises(GeodatabaseError, match="never loaded"):
            await geodatabase.table(0).add_feature()


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TRIGGER fieldsync_0_au",
        "DROP TABLE Trees",
        "ALTER TABLE Trees RENAME COLUMN height TO hoehe",
        "ALTER TABLE Trees RENAME TO Baeume",
        "DROP TRIGGER fieldsync_1_ai",
        "DROP TABLE Trees; CREATE TABLE Trees (fid INTEGER PRIMARY KEY, GlobalID TEXT UNIQUE)",
    ],
)
async def test_a_damaged_change_log_stops_its_layer_only(
    geodatabase: Geodatabase, damage: str
) -> None:
    await geodatabase.close()
    other = sqlite3.connect(geodatabase.path)
    other.executescript(damage)
    other.close()

    async with await Geodatabase.open(geodatabase.path) as again:
        broken, whole = again.feature_tables
        assert isinstance(broken.error, ChangeLogBrokenError)
        assert "Trees" in broken.error.message
        assert whole.error is None
        with pytest.raises(ChangeLogBrokenError):
            await broken.add_feature()
        with pytest.raises(ChangeLogBrokenError):
            await broken.edit_counts()
        assert await broken.has_local_edits()  # nobody can tell, so nothing may be thrown away
        await whole.add_feature({"note": "still works"})


async def test_a_layer_is_trusted_again_once_it_is_armed(geodatabase: Geodatabase) -> None:
    def drop(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TRIGGER fieldsync_0_au")

    await geodatabase.database.write(drop)
    await geodatabase.refresh()
    assert geodatabase.table(0).error is not None

    await geodatabase.database.write(arm, geodatabase.layers[0].features)
    await geodatabase.refresh()

    assert geodatabase.table(0).error is None


async def test_triggers_of_an_older_engine_are_exchanged(
    geodatabase: Geodatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await geodatabase.close()
    today = triggers.trigger_sql

    def tomorrow(*args: object) -> dict[str, str]:
        sql = today(*args)  # type: ignore[arg-type]  # passed on as they are
        return {name: text.replace(" BEGIN ", " BEGIN SELECT 1; ", 1) for name, text in sql.items()}

    monkeypatch.setattr(triggers, "trigger_sql", tomorrow)
    async with await Geodatabase.open(geodatabase.path) as again:
        assert [t.error for t in again.feature_tables] == [None, None]
        await again.table(0).update_feature(OAK, {"height": 1})
        assert (await again.table(0).edit_counts()).updates == 1
    with sqlite3.connect(geodatabase.path) as other:
        (sql,) = other.execute(
            "SELECT sql FROM sqlite_schema WHERE name = 'fieldsync_0_au'"
        ).fetchone()
    other.close()
    assert "SELECT 1;" in sql


async def test_a_transaction_is_kept_or_undone_together(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    async with geodatabase.transaction():
        await table.update_feature(OAK, {"height": 1})
        await table.update_feature(ELM, {"height": 2})
        assert geodatabase.is_in_transaction
        with pytest.raises(TransactionOpenError):
            geodatabase.require_no_transaction()
    geodatabase.require_no_transaction()
    with pytest.raises(FeatureNotFoundError):
        await _delete_twice(geodatabase)
    await geodatabase.begin_transaction()
    await table.delete_feature(ELM)
    await geodatabase.rollback_transaction()

    assert [f.attributes["height"] async for f in table.query_features()] == [1.0, 2.0]


async def _delete_twice(geodatabase: Geodatabase) -> None:
    async with geodatabase.transaction():
        await geodatabase.table(0).delete_feature(OAK)
        await geodatabase.table(0).delete_feature(OAK)


async def test_a_refused_edit_leaves_the_transaction_usable(geodatabase: Geodatabase) -> None:
    table = geodatabase.table(0)
    await geodatabase.begin_transaction()
    with pytest.raises(EditRefusedError):
        await table.update_feature(OAK, {"height": 500})
    await table.update_feature(OAK, {"height": 50})
    await geodatabase.commit_transaction()

    assert (await table.feature(OAK)).attributes["height"] == 50


async def test_a_file_of_schema_version_1_opens(tmp_path: Path) -> None:
    path = tmp_path / "v1.gpkg"
    with sqlite3.connect(path) as connection:
        connection.executescript((FIXTURES / "schema_v1.sql").read_text())
    connection.close()

    async with await Geodatabase.open(path) as geodatabase:
        table = geodatabase.table("Trees")
        assert [t.error for t in geodatabase.feature_tables] == [None, None]
        assert geodatabase.sync_id == "{R}"
        (updated,) = [f async for f in table.get_updated_features()]
        assert (updated.global_id, updated.attributes["height"]) == (ELM, 7.0)
        (added,) = [f async for f in table.get_added_features()]
        assert added.attributes["species"] == "OAK"
        (attachment,) = await table.attachments(OAK)
        data = b"".join([piece async for piece in table.attachment_data(attachment.global_id)])
        assert data == b"JPEG"
        await table.add_feature({"species": "ELM"})
