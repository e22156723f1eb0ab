"""Whatever is edited comes out of a delta file as it went in: any value, geometry and bytes."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings, strategies as st

from engine.geodatabase import change_log
from engine.geodatabase.catalog import stored_layers
from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Cell, Row
from engine.geodatabase.geopackage import create_geopackage, insert_rows, load
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.logged_table import LoggedTable
from engine.geodatabase.replica import Replica
from engine.model import EditOperation
from engine.sync.delta_export import export_edits
from engine.sync.delta_file import DeltaFile, Piece
from engine.sync.delta_parts import CarriedEdit, TableParts, stored_parts, table_cells
from native import geometry
from tests.engine.geodatabase import schemas
from tests.native.documents import geometries
from tests.native.oracle import geometry as blob_of

KINDS = ["esriGeometryPoint", "esriGeometryMultipoint", "esriGeometryPolyline", None]
GIDS = "GLOBALID,REL_GLOBALID"

cells = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(max_size=40),
    st.sampled_from(["2024-05-01T12:00:00.000Z", "not\udcffunicode", "{not a guid}", "a" * 5000]),
)


@st.composite
def rows(draw: st.DrawFn, parts: TableParts) -> tuple[Cell, ...]:
    """A row behind its GlobalID, as any program may write it."""
    found: list[Cell] = [draw(cells) for _ in parts.table.columns]
    if parts.table.geometry is not None:
        shape = blob_of(draw(geometries(parts.layer)), parts.layer)
        found.insert(0, draw(st.sampled_from([shape, shape, None, b"no geometry"])))
    return tuple(found)


@contextmanager
def file(
    kind: str | None, *, has_z: bool, has_m: bool
) -> Iterator[tuple[sqlite3.Connection, TableParts, TableParts]]:
    """A loaded geodatabase in memory: a layer with every type of field, and attachments."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    geometry.register_functions(connection)
    fields = [schemas.field(name, field_type) for name, field_type in schemas.ALL_TYPES]
    layer = schemas.layer(geometry=kind, fields=fields, hasAttachments=True, hasZ=has_z, hasM=has_m)
    connection.execute("BEGIN")
    create_geopackage(connection, schemas.service(), [layer], Replica(replica_id="R"))
    features, photos = stored_parts(stored_layers(connection))
    empty = [None] * (len(features.table.row_names) - 1)
    insert_rows(connection, features.table, [(gid(n), *empty) for n in range(6)])
    old = [(gid(50 + n), gid(n), "image/png", "old", 3) for n in range(3)]
    insert_rows(connection, photos.table, old)
    load(connection)
    connection.execute("COMMIT")
    try:
        yield connection, features, photos
    finally:
        connection.close()


def gid(number: int) -> str:
    return f"{{00000000-0000-4000-8000-{number:012X}}}"


def storable(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Text that is no Unicode gets into a file only as bytes that are called text."""
    return tuple(
        None if isinstance(cell, str) and not cell.isprintable() and _is_odd(cell) else cell
        for cell in row
    )


def _is_odd(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), kind=st.sampled_from(KINDS), has_z=st.booleans(), has_m=st.booleans())
def test_edits_come_out_as_they_went_in(
    data: st.DataObject, kind: str | None, has_z: bool, has_m: bool
) -> None:
    with (
        file(kind, has_z=has_z, has_m=has_m) as (connection, features, photos),
        tempfile.TemporaryDirectory() as folder,
    ):
        logged = LoggedTable(connection, features.table)
        for number in range(data.draw(st.integers(0, 8))):
            what = data.draw(st.sampled_from(EditOperation))
            row = (gid(100 + number), *storable(data.draw(rows(features))))
            old = logged.stored(gid(number % 6))
            if what is EditOperation.ADD or old is None:
                logged.insert(row)
            elif what is EditOperation.DELETE:
                logged.delete(gid(number % 6))
            else:
                logged.replace_row(old.row, (old.row[0], *row[1:]))
        if data.draw(st.booleans()):
            connection.execute("UPDATE \"Trees\" SET words=CAST(x'ff00fe' AS TEXT) WHERE fid=1")
        photo = data.draw(st.binary(max_size=3000))
        for statement in data.draw(st.sets(st.sampled_from(PHOTO_EDITS))):
            connection.execute(statement, (photo,) if "?" in statement else ())
        edits = {
            e.global_id: e
            for parts in (features, photos)
            for e in change_log.iterate_pending(connection, parts.table)
        }

        path = Path(folder, "a.delta")
        exported = export_edits(connection, path, "2024-05-01T12:00:00.000Z")

        assert exported.edits + exported.attachments == len(edits)
        if not edits:
            assert not path.exists()
            return
        events = list(DeltaFile.open(path).edits())
        carried = {e.global_id: e for e in events if isinstance(e, CarriedEdit)}
        assert carried.keys() == edits.keys()
        for one, edit in edits.items():
            assert_same(carried[one], edit)
        for one, edit in edits.items():
            pieces = [e for e in events if isinstance(e, Piece) and e.global_id == one]
            if edit.data_changed and edit.operation is not EditOperation.DELETE:
                assert b"".join(p.data for p in pieces) == photo
                assert carried[one].size_bytes == len(photo)
            else:
                assert not pieces


PHOTO_EDITS = [
    f"INSERT INTO Trees__ATTACH({GIDS},ATT_NAME,DATA) VALUES('{gid(60)}','{gid(1)}','n',?)",
    f"UPDATE Trees__ATTACH SET DATA=? WHERE GLOBALID='{gid(50)}'",
    f"UPDATE Trees__ATTACH SET ATT_NAME='new' WHERE GLOBALID='{gid(51)}'",
    f"DELETE FROM Trees__ATTACH WHERE GLOBALID='{gid(52)}'",
]


def assert_same(carried: CarriedEdit, edit: Edit) -> None:
    assert (carried.operation, carried.first, carried.last) == (
        edit.operation,
        edit.first,
        edit.last,
    )
    table = edit.table
    changed = {*edit.columns, *([""] if edit.geometry_changed else [])}
    now, was = named(table, edit.row), named(table, edit.base)
    is_update = edit.operation is EditOperation.UPDATE
    if is_update:
        now = {name: now[name] for name in changed}
    if is_update and not table.is_attachment:
        was = {name: was[name] for name in changed}
    assert exactly(carried.cells) == exactly(now)
    assert exactly(carried.base) == exactly(was)


def named(table: LayerTable, row: Row | None) -> dict[str, Cell]:
    if row is None:
        return {}
    return {n: c for n, c in table_cells(table, row).items() if n != table.global_id}


def exactly(found: object) -> dict[str, str]:
    """Values with their types: 1 is not 1.0, and text that is no Unicode is its bytes."""
    assert isinstance(found, dict)
    return {name: repr(_bytes(cell)) for name, cell in found.items()}


def _bytes(cell: object) -> object:
    if isinstance(cell, str) and _is_odd(cell):
        return cell.encode("utf-8", "surrogateescape")
    return cell
