"""The replica's record comes back as it was written, and generations move with their rows."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.errors import GeodatabaseVersionError, NotAGeodatabaseError
from engine.geodatabase import bookkeeping
from engine.geodatabase.catalog import stored_layers
from engine.geodatabase.geopackage import create_geopackage
from engine.geodatabase.replica import (
    Replica,
    ReplicaLayer,
    get_replica,
    get_service,
    set_generations,
    set_last_sync,
    set_replica,
    set_resources,
)
from engine.model import AttachmentSyncDirection, SyncDirection, SyncModel
from tests.engine.geodatabase.schemas import URL, inspections, service, trees

REPLICA = Replica(
    replica_id="{A}",
    name="fieldsync-pi-1",
    service_url=URL,
    item_id="i",
    sync_model=SyncModel.PER_LAYER,
    server_generation=None,
    attachment_direction=AttachmentSyncDirection.UPLOAD,
    sync_direction=SyncDirection.UPLOAD,
    extent={"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4},
    created_at="2026-01-01T00:00:00.000Z",
    last_sync_at=None,
    machine_id="m",
    layers=(
        ReplicaLayer(layer_id=0, generation=2**62, options={"where": "a = 'ö'"}),
        ReplicaLayer(layer_id=1, generation=7, sync_direction=SyncDirection.DOWNLOAD),
    ),
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create_geopackage(connection, service(), [trees(), inspections()], REPLICA)
    yield connection
    connection.close()


def test_the_record_comes_back_whole(connection: sqlite3.Connection) -> None:
    assert get_replica(connection) == REPLICA


def test_the_record_can_be_replaced(connection: sqlite3.Connection) -> None:
    other = replace(
        REPLICA,
        replica_id="{B}",
        sync_model=SyncModel.PER_REPLICA,
        server_generation=2**62,
        extent=None,
        last_sync_at="2026-01-02T00:00:00.000Z",
        layers=(ReplicaLayer(layer_id=0), ReplicaLayer(layer_id=1)),
    )

    set_replica(connection, other)

    assert get_replica(connection) == other


def test_a_layer_that_is_not_there_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="no layer 9"):
        set_replica(connection, replace(REPLICA, layers=(ReplicaLayer(layer_id=9),)))


def test_generations_move_alone_and_only_where_told(connection: sqlite3.Connection) -> None:
    set_generations(connection, server=11)
    set_generations(connection, layers={1: 8})
    set_last_sync(connection, "2026-02-02T00:00:00.000Z")

    replica = get_replica(connection)
    assert replica.server_generation == 11
    assert [layer.generation for layer in replica.layers] == [2**62, 8]
    assert replica.last_sync_at == "2026-02-02T00:00:00.000Z"


def test_resources_are_kept_and_can_be_renewed(connection: sqlite3.Connection) -> None:
    assert get_service(connection) == service()
    assert [s.schema for s in stored_layers(connection)] == [trees(), inspections()]

    set_resources(
        connection,
        service={**service().resource, "serviceItemId": "other"},
        layers={1: {**inspections().resource, "name": "Checks"}},
    )

    assert get_service(connection).item_id == "other"
    assert [s.schema.name for s in stored_layers(connection)] == ["Trees", "Checks"]


def test_a_file_of_a_newer_fieldsync_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE fieldsync_meta SET value = '99'")

    with pytest.raises(GeodatabaseVersionError, match="schema version 99"):
        bookkeeping.migrate(connection)


def test_a_file_without_bookkeeping_is_refused() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(NotAGeodatabaseError, match="not one that fieldsync made"):
        bookkeeping.migrate(connection)
    connection.close()


def test_an_older_file_moves_forward_step_by_step(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    monkeypatch.setattr(bookkeeping, "SCHEMA_VERSION", 3)
    monkeypatch.setitem(bookkeeping.MIGRATIONS, 1, lambda _: steps.append(1))
    monkeypatch.setitem(bookkeeping.MIGRATIONS, 2, lambda _: steps.append(2))

    assert bookkeeping.migrate(connection) == 1
    assert steps == [1, 2]
    assert bookkeeping.schema_version(connection) == 3
