"""The tables of the change log: one set for the whole file, two more tables per layer.

Every value column of a base or sent table is declared without a type, so it has no affinity and
what went in comes out (sqlite.org/datatype3.html §3.1); it is named ``v_<column>``, so a
service's own columns ``id`` or ``key`` collide with nothing.
"""

from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.sql import quote

LOG_SCHEMA: tuple[str, ...] = (
    # Stays empty for ever: a row would need id to be NULL, and an INTEGER PRIMARY KEY never is.
    "CREATE TABLE fieldsync_latch(id INTEGER PRIMARY KEY CHECK(id IS NULL))",
    # seq only grows, also when the log is emptied. applying = 1 while the engine itself writes;
    # it refers to the latch, so a commit that forgot to clear it fails.
    "CREATE TABLE fieldsync_state(id INTEGER PRIMARY KEY CHECK(id=1), seq INTEGER NOT NULL,"
    " applying INTEGER REFERENCES fieldsync_latch(id) DEFERRABLE INITIALLY DEFERRED)",
    "INSERT INTO fieldsync_state(id,seq,applying) VALUES(1,0,NULL)",
    # One entry per touched row. id = seq of the first touch, seq = of the last, data = of the last
    # change of a large column (0 = none). had_base 0: the service has no such row.
    "CREATE TABLE fieldsync_change(id INTEGER PRIMARY KEY, layer INTEGER NOT NULL,"
    " gid TEXT NOT NULL, had_base INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " data INTEGER NOT NULL DEFAULT 0, UNIQUE(layer,gid))",
    # One row per edit in a batch that is not settled; its values are in fieldsync_sent_<number>.
    # overtaken: columns whose value on the service is known to be newer than the one sent.
    "CREATE TABLE fieldsync_sent(id INTEGER PRIMARY KEY, batch NOT NULL, number INTEGER NOT NULL,"
    " layer INTEGER NOT NULL, gid TEXT NOT NULL, operation TEXT NOT NULL, columns TEXT NOT NULL,"
    " geometry INTEGER NOT NULL, data INTEGER NOT NULL, key INTEGER, first INTEGER NOT NULL,"
    " last INTEGER NOT NULL, overtaken TEXT NOT NULL DEFAULT '[]',"
    " UNIQUE(batch,number), UNIQUE(layer,gid))",
    # base, mine and theirs are JSON objects of column values, NULL where there was no row.
    # held 1: the edit is not sent before a person decides.
    "CREATE TABLE fieldsync_conflict(id INTEGER PRIMARY KEY, layer INTEGER NOT NULL,"
    " gid TEXT NOT NULL, kind TEXT NOT NULL, policy TEXT NOT NULL, columns TEXT NOT NULL,"
    " base TEXT, mine TEXT, theirs TEXT, held INTEGER NOT NULL, recorded_at TEXT NOT NULL,"
    " resolved_at TEXT, resolution TEXT)",
    "CREATE INDEX fieldsync_conflict_row ON fieldsync_conflict(layer,gid)",
    # Rows that went with a feature deleted on the service: its attachments and unsent children.
    # row is a JSON object, too; its member "" says what was edited: none, row, or data.
    "CREATE TABLE fieldsync_conflict_part(id INTEGER PRIMARY KEY, conflict INTEGER NOT NULL,"
    " layer INTEGER NOT NULL, gid TEXT NOT NULL, row TEXT NOT NULL, data BLOB)",
    "CREATE INDEX fieldsync_conflict_part_of ON fieldsync_conflict_part(conflict)",
    # held_layer and held_gid name the parent whose quarantine holds this row.
    "CREATE TABLE fieldsync_quarantine(id INTEGER PRIMARY KEY, direction TEXT NOT NULL,"
    " layer INTEGER NOT NULL, gid TEXT NOT NULL, operation TEXT NOT NULL, code TEXT NOT NULL,"
    " reason TEXT NOT NULL, remedy TEXT NOT NULL, seq INTEGER NOT NULL, payload TEXT NOT NULL,"
    " held_layer INTEGER, held_gid TEXT, recorded_at TEXT NOT NULL, resolved_at TEXT,"
    " resolution TEXT)",
    "CREATE UNIQUE INDEX fieldsync_quarantine_open ON fieldsync_quarantine(layer,gid,direction)"
    " WHERE resolved_at IS NULL",
)
"""The statements that make the file-wide tables of the change log, in order."""

LOG_TABLES: tuple[str, ...] = (
    "fieldsync_latch",
    "fieldsync_state",
    "fieldsync_change",
    "fieldsync_sent",
    "fieldsync_conflict",
    "fieldsync_conflict_part",
    "fieldsync_quarantine",
)
"""The names of the tables that :data:`LOG_SCHEMA` makes."""


def sent_table(table: LayerTable) -> str:
    """The table with the values of ``table``'s edits as they were sent."""
    return f"fieldsync_sent_{table.number}"


def value_names(table: LayerTable) -> tuple[str, ...]:
    """Base and sent columns in the order of a row without its GlobalID, unquoted."""
    return tuple(f"v_{name}" for name in table.row_names[1:])


def table_log_sql(table: LayerTable) -> tuple[str, ...]:
    """The statements that make ``table``'s base and sent tables, if they are not there."""
    values = "".join(f",{quote(name)}" for name in value_names(table))
    base, sent = quote(table.base_table), quote(sent_table(table))
    # lazy 1: the geometry is not kept here, because the row still has the service's.
    return (
        f"CREATE TABLE IF NOT EXISTS {base}(id INTEGER PRIMARY KEY,key INTEGER,"
        f"lazy INTEGER NOT NULL DEFAULT 0{values})",
        f"CREATE TABLE IF NOT EXISTS {sent}(id INTEGER PRIMARY KEY{values})",
    )
